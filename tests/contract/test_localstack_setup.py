"""LocalStack as it is set up for an archive, by its own start and by hand, and what it makes of policies.

Collected only where LocalStack was asked for (`make contract`).
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from archiving import Finished, plain_environment, run_headrace
from botocore.exceptions import ClientError
from localstack_server import RUN, LocalStack
from worker_slots import wait_until

from headrace.archiver.store_policies import policy
from headrace.local.places import default_cache

SCRIPT = RUN.parent / "init" / "ready.d" / "archive.py"
pytestmark = pytest.mark.timeout(900)


def assert_set_up(s3: Any, url: str) -> None:
    bucket = url.removeprefix("s3://").partition("/")[0]
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"] == policy("ownership", url)
    assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"] == policy("public-access", url)
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert rules == policy("lifecycle", url)["Rules"]
    kept = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    wanted = policy("bucket", url)
    wanted["Statement"] = [each for each in wanted["Statement"] if each["Sid"] != "TlsOnly"]
    assert kept == wanted


def has_policy(s3: Any) -> bool:
    """Whether the last step is done."""
    try:
        return bool(s3.get_bucket_policy(Bucket="headrace")["Policy"])
    except ClientError:
        return False


def test_its_own_start_makes_the_bucket(localstack: LocalStack) -> None:
    """localstack/run has LocalStack run what is in ready.d: versions, lifecycle, ownership, public access, policy."""
    wait_until(lambda: has_policy(localstack.s3()), "ready.d has run")
    assert_set_up(localstack.s3(), "s3://headrace/archive")


@pytest.mark.parametrize("url", ["s3://by-hand/team/archive", "s3://by-hand-alone"])
def test_it_may_be_run_by_hand_and_again(localstack: LocalStack, url: str) -> None:
    """The same script on any S3, for any archive, twice."""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, str(SCRIPT)],
            env={**plain_environment(), **localstack.env, "HEADRACE_ARCHIVE": url},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "is ready for an archive" in done.stdout
    assert_set_up(localstack.s3(), url)


def test_it_takes_no_notice_of_policies(localstack: LocalStack) -> None:
    """It keeps the bucket's policy and lets everybody overwrite and delete all the same: no proof of any right."""
    s3 = localstack.s3()
    s3.create_bucket(Bucket="lenient")
    s3.put_bucket_policy(Bucket="lenient", Policy=json.dumps(policy("bucket", "s3://lenient/a")))
    s3.put_object(Bucket="lenient", Key="a/log/1.json", Body=b"1", IfNoneMatch="*")
    s3.put_object(Bucket="lenient", Key="a/log/1.json", Body=b"2")
    assert s3.get_object(Bucket="lenient", Key="a/log/1.json")["Body"].read() == b"2"
    s3.delete_object(Bucket="lenient", Key="a/log/1.json")


def test_it_says_how_an_object_is_encrypted(localstack: LocalStack) -> None:
    """Asked for SSE-S3, it names it with the object. (SSE-KMS needs its KMS, which is not started.)"""
    localstack.s3().put_object(Bucket=localstack.bucket, Key="encrypted", Body=b"1", ServerSideEncryption="AES256")
    assert localstack.s3().head_object(Bucket=localstack.bucket, Key="encrypted")["ServerSideEncryption"] == "AES256"


def test_local_up_with_localstack(tmp_path: Path) -> None:
    """`headrace local up --s3 localstack` is a whole set-up: events are archived and verified, and all goes away."""
    cache = tmp_path / "cache" / "headrace"
    cache.mkdir(parents=True)
    (cache / "maven").symlink_to(default_cache(os.environ))
    (cache / "localstack").symlink_to(RUN.parent / ".venv")  # as `localstack/run --install` made it
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    folder = ("--dir", str(tmp_path / "set-up"))

    def local(*arguments: str) -> Finished:
        done = run_headrace(["local", *arguments, *folder], env)
        assert done.code == 0, done.output
        return done

    try:
        assert "installing" not in local("up", "--detach", "--s3", "localstack").output
        said = shlex.split(local("env").stdout.replace("export ", ""))
        env |= dict(word.split("=", 1) for word in said)
        lines = "".join(f'{{"user_id": {n}, "pin_id": {n}, "action": "SAVE"}}\n' for n in range(20))
        assert run_headrace(["produce", "pin", "--create-topic", "1"], env, stdin=lines).code == 0
        for verb in (
            ["archive", "--topic", "pin", "--until-idle"],
            ["verify", "pin"],
            ["store", "check", "--races", "1"],
        ):
            done = run_headrace(verb, env)
            assert done.code == 0, done.output
        other = run_headrace(["local", "up", "--detach", "--s3", "seaweedfs", *folder], env)
        assert (other.code, "has localstack" in other.output) == (1, True)
    finally:
        local("down", "--purge")
    assert not (tmp_path / "set-up").exists()
