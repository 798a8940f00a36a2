"""An S3 that lets each role do its work and nothing more, encrypts as asked, and takes rights away while we run."""

import json
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from archiving import Archive
from botocore.exceptions import ClientError
from confluent_kafka import Producer
from secured_s3 import BUCKET, KMS_KEY, URL, SecuredS3, printed, secured_s3
from servers import Servers
from small_archive import pin_value
from verb_running import started
from worker_slots import wait_until

from headrace.archiver.store_policies import ROLES

pytestmark = pytest.mark.servers

PREFIX = URL.removeprefix(f"s3://{BUCKET}/")
FOLDERS = ("data", "fold", "log", "names", "probe", "quarantine", "replays", "schemas")
DATE = "2026-11-23"  # of small_archive's events
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
ARCHIVES = ("data", "fold", "log", "quarantine")


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredS3]:
    with secured_s3(tmp_path_factory.mktemp("secured-s3")) as server:
        yield server


class Roles:
    """One archive and the verbs on it, each run as a role."""

    def __init__(self, servers: Servers, s3: SecuredS3, url: str = URL) -> None:
        self._archive = Archive(servers, url)
        self._servers_env = self._archive.env
        self._s3 = s3
        self.topic = servers.new_topic(1)
        self._producer = Producer({"bootstrap.servers": servers.kafka})

    def may(self, role: str) -> Archive:
        self._archive.env = {**self._servers_env, **self._s3.env(role)}
        return self._archive

    def write(self, users: range) -> None:
        for user in users:
            self._producer.produce(self.topic, pin_value(user), b"user-%d" % user)
        assert self._producer.flush(120) == 0

    def call(self, role: str, *arguments: str, code: int = 0) -> str:
        done = self.may(role).call(*arguments)
        assert done.code == code, (role, arguments, done.output)
        assert "secret-of" not in done.output
        return done.output


def keys(s3: SecuredS3, prefix: str) -> list[str]:
    pages = s3.admin.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{PREFIX}/{prefix}")
    return [each["Key"] for page in pages for each in page.get("Contents", [])]


@pytest.fixture(scope="module")
def roles(servers: Servers, s3: SecuredS3) -> Roles:
    """An archive of ten events in two files, made by the archiver's user."""
    made = Roles(servers, s3)
    for users in (range(5), range(5, 10)):
        made.write(users)
        kept = made.may("archiver").archive([made.topic])
        assert "denied" not in kept.output
    return made


def test_each_role_does_its_work(roles: Roles, s3: SecuredS3, servers: Servers, tmp_path: Path) -> None:
    """With only its printed policy: archive, compact, collect garbage, erase with old versions, verify, replay."""
    topic = roles.topic
    assert "\nfit: it does all" in roles.call("archiver", "store", "check", "--races", "1")
    (file, other) = keys(s3, f"data/topic={topic}/")
    stray = f"{file.rpartition('/')[0]}/0193a000-0000-7000-8000-00000000dead.parquet"
    s3.admin.copy_object(Bucket=BUCKET, Key=stray, CopySource={"Bucket": BUCKET, "Key": file})
    assert "1 object" in roles.call("gc", "gc", topic, "--delete")
    assert keys(s3, f"data/topic={topic}/") == [file, other]
    roles.call("compact", "compact", topic, "--dt", DATE)
    assert len(keys(s3, f"data/topic={topic}/")) == 1
    roles.call("erase", "erase", topic, "--where", "user_id=7", "--why", "GDPR-1", "--yes")
    versions = s3.admin.list_object_versions(Bucket=BUCKET, Prefix=f"{PREFIX}/data/topic={topic}/")
    assert [each["IsLatest"] for each in versions["Versions"]] == [True]
    assert "DeleteMarkers" not in versions
    roles.call("reader", "verify", topic)
    shown = roles.call("reader", "replay", topic, "--into", "stdout", "--format", "raw")
    assert shown.count('"offset"') == 9
    roles.call("replay", "replay", topic, "--into", f"jsonl:{tmp_path / 'out'}", "--format", "raw")
    roles.call("replay", "checkpoint", "create", topic, topic)
    replayed = roles.call("replay", "replay", topic, "--into", f"kafka:{servers.new_topic(1)}")
    assert "target verified" in replayed


def allowed(role: str, action: str, folder: str) -> bool:
    """What the documents are meant to say, told once more and from the other side."""
    reads = {"archiver": {*ARCHIVES, "probe", "schemas"}, "gc": {*ARCHIVES}}
    writes = {
        "archiver": reads["archiver"],
        "replay": {"names", "replays"},
        "compact": {*ARCHIVES},
        "erase": {*ARCHIVES},
    }
    removes = {"archiver": {"probe"}} | {each: {"data", "quarantine"} for each in ("gc", "compact", "erase")}
    if action == "read":
        return folder in reads.get(role, FOLDERS)
    if action == "write":
        return folder in writes.get(role, set())
    if action == "remove":
        return folder in removes.get(role, set())
    return role == "erase" and folder in {"data", "quarantine"}


def answer(call: Any, **arguments: Any) -> str:
    try:
        call(Bucket=BUCKET, **arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


@pytest.mark.parametrize("role", ROLES)
def test_no_role_does_more(s3: SecuredS3, role: str) -> None:
    """Every folder of the archive and every action: what is not a role's is refused; outside of the prefix, all is."""
    client = s3.client(role)
    wrong = []
    for folder, action in product(FOLDERS, ("read", "write", "remove", "remove version")):
        key = f"{PREFIX}/{folder}/{role}/{action}"
        version = s3.admin.put_object(Bucket=BUCKET, Key=key, Body=b"1")["VersionId"]
        if action == "read":
            found = answer(client.get_object, Key=key)
        elif action == "write":
            found = answer(client.put_object, Key=key, Body=b"2")
        elif action == "remove":
            found = answer(client.delete_object, Key=key)
        else:
            found = answer(client.delete_object, Key=key, VersionId=version)
        if found != ("done" if allowed(role, action, folder) else "AccessDenied"):
            wrong.append(f"{action} {folder}: {found}")
        s3.admin.delete_object(Bucket=BUCKET, Key=key, VersionId=version)
    s3.admin.put_object(Bucket=BUCKET, Key="elsewhere/x", Body=b"1")
    outside = {
        "read": answer(client.get_object, Key="elsewhere/x"),
        "write": answer(client.put_object, Key="elsewhere/y", Body=b"1"),
        "remove": answer(client.delete_object, Key="elsewhere/x"),
        "list": answer(client.list_objects_v2, Prefix="elsewhere/"),
        "policy": answer(client.put_bucket_policy, Policy=json.dumps(printed("bucket"))),
        "bucket": answer(client.delete_bucket),
    }
    assert (wrong, set(outside.values())) == ([], {"AccessDenied"}), outside
    assert answer(client.get_object, Key=f"{PREFIX}/log/not-there") == "NoSuchKey"
    assert answer(client.list_objects_v2, Prefix=f"{PREFIX}/data/") == "done"
    assert answer(client.list_object_versions, Prefix=f"{PREFIX}/data/") == (
        "done" if role == "erase" else "AccessDenied"
    )


def test_who_lacks_a_right_is_told_which(roles: Roles, s3: SecuredS3) -> None:
    """Each verb as the wrong role ends with what it was doing, to which object, and no secret; nothing changes."""
    topic = roles.topic
    stray = f"{PREFIX}/data/topic={topic}/dt={DATE}/0193a000-0000-7000-8000-0000000bad00.parquet"
    file = next(key for key in keys(s3, f"data/topic={topic}/") if key.endswith(".parquet"))
    s3.admin.copy_object(Bucket=BUCKET, Key=stray, CopySource={"Bucket": BUCKET, "Key": file})
    before = keys(s3, "")
    for role, verb, where in (
        ("reader", ("archive", "--topic", topic, "--until-idle"), f"writing {URL}/probe/"),
        ("reader", ("gc", topic, "--delete"), f"deleting {URL}/data/topic={topic}/"),
        ("compact", ("checkpoint", "create", "n", topic), f"writing {URL}/names/n.json"),
    ):
        told = roles.call(role, *verb, code=3)
        assert where in told, told
        assert "access denied (AccessDenied); check the credentials and their rights" in told
    assert keys(s3, "") == before
    unseen = roles.call("compact", "erase", topic, "--where", "user_id=99", "--why", "T-1", "--yes", code=1)
    assert "old versions" in unseen
    s3.admin.delete_object(Bucket=BUCKET, Key=stray)


def test_the_bucket_refuses_what_nobody_may(s3: SecuredS3) -> None:
    """TLS only, and nothing is deleted from the log, by an administrator either; objects are the bucket owner's.

    SeaweedFS knows no s3:if-none-match, and so refuses every PUT under WriteOnce: leave it out there. What the
    statement does where the key is known is tested in tests/archiver/test_store_policies.py.
    """
    bucket = "refusing"
    url = f"s3://{bucket}/a"
    s3.admin.create_bucket(Bucket=bucket)
    s3.admin.put_object(Bucket=bucket, Key="a/log/topic=t/1.json", Body=b"1")

    def put(name: str) -> str:
        return code(lambda: s3.admin.put_object(Bucket=bucket, Key=f"a/log/topic=t/{name}", Body=b"1", IfNoneMatch="*"))

    def code(call: Any) -> str:
        try:
            call()
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "done"

    def remove() -> str:
        return code(lambda: s3.admin.delete_object(Bucket=bucket, Key="a/log/topic=t/1.json"))

    def demand(*without: str) -> None:
        words = [word for each in without for word in ("--without", each)]
        s3.admin.put_bucket_policy(Bucket=bucket, Policy=json.dumps(printed("bucket", *words, url=url)))

    demand("TlsOnly", "WriteOnce")
    wait_until(lambda: remove() == "AccessDenied", "the policy holds")
    assert put("2.json") == "done"
    demand("TlsOnly")
    wait_until(lambda: put("3.json") == "AccessDenied", "SeaweedFS refuses where it does not know a condition")
    s3.admin.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=printed("ownership", url=url))  # type: ignore[arg-type]
    owned = s3.admin.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
    assert owned == printed("ownership", url=url)
    s3.admin.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration=printed("lifecycle", url=url),  # type: ignore[arg-type]
    )
    demand("WriteOnce")
    wait_until(lambda: put("4.json") == "AccessDenied", "without TLS nothing is taken")


@pytest.mark.parametrize(("sse", "key"), [("AES256", ()), ("aws:kms", ("--sse-kms-key-id", KMS_KEY))])
def test_objects_are_encrypted_as_asked(servers: Servers, s3: SecuredS3, sse: str, key: tuple[str, ...]) -> None:
    """Every object of an archive carries the encryption that was asked for, reads need no word about it, and
    `store check` sees it."""
    roles = Roles(servers, s3, f"{URL}-{sse.replace(':', '-')}")
    roles.write(range(3))
    archive = roles.may("archiver")
    archive.env.update({"AWS_ACCESS_KEY_ID": "administrator", "AWS_SECRET_ACCESS_KEY": "secret-of-administrator"})
    asked = ("--sse", sse, *key)
    archive.archive([roles.topic], more=asked)
    prefix = f"{PREFIX}-{sse.replace(':', '-')}/"
    found = {}
    for name in s3.admin.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]:
        head = s3.admin.head_object(Bucket=BUCKET, Key=name["Key"])
        found[name["Key"]] = (head.get("ServerSideEncryption"), head.get("SSEKMSKeyId"))
    assert {key.removeprefix(prefix).partition("/")[0] for key in found} >= {"data", "log"}
    assert set(found.values()) == {(sse, KMS_KEY if key else None)}
    assert archive.call("verify", roles.topic).code == 0
    checked = archive.call("store", "check", "--races", "1", "--json", *asked)
    report = {each["name"]: each for each in json.loads(checked.stdout)["checks"]}
    assert (checked.code, report["encryption"]["seen"]) == (0, f"the store says {sse}")


def test_rights_that_are_taken_and_given_back_while_it_archives(
    servers: Servers, s3: SecuredS3, tmp_path: Path
) -> None:
    """The right to write is taken, later the secret is changed, under a running archiver: it says what is wrong, waits
    in its place without being started again, and goes on by itself once the right is back, or the new secret is in
    the profile's file. Nothing is lost or doubled."""
    roles = Roles(servers, s3, f"{URL}-revoked")
    url = f"{URL}-revoked"
    own = {role: printed(role, url=url) for role in ("archiver", "reader")}
    client = s3.client("archiver")

    def change(becomes: str, **how: Any) -> None:
        """Change rights or secrets, and wait until the server goes by them: until the archiver's old keys get this."""
        s3.change(policies=own | how.get("policies", {}), secrets=how.get("secrets"))
        probe = {"Key": f"{PREFIX}-revoked/probe/x", "Body": b"1"}
        wait_until(lambda: answer(client.put_object, **probe) == becomes, f"the change is seen: {becomes}")

    change("done")
    profile = tmp_path / "credentials"

    def keep(secret: str) -> None:
        profile.write_text(f"[default]\naws_access_key_id = archiver\naws_secret_access_key = {secret}\n")

    keep("secret-of-archiver")
    archive = roles.may("archiver")
    env = {name: value for name, value in archive.env.items() if name not in SECRETS}
    archive.env = {**env, "AWS_SHARED_CREDENTIALS_FILE": str(profile)}

    def commits() -> int:
        names = s3.admin.list_objects_v2(Bucket=BUCKET, Prefix=f"{PREFIX}-revoked/log/").get("Contents", [])
        return len(names)

    arguments = ["archive", "--topic", roles.topic, "--group", archive.group, "--flush-interval", "0.3", "--no-seal"]
    with started(archive, *arguments) as (_process, said):
        roles.write(range(3))
        wait_until(lambda: commits() == 1, "the first records are committed")
        change("AccessDenied", policies={"archiver": own["reader"]})
        roles.write(range(3, 6))
        wait_until(
            lambda: bool(said.find(r"(writing \S+/data/\S+ at \S+ access denied \(AccessDenied\))")), "it is told"
        )
        wait_until(lambda: len(waits(said.lines)) >= 2, "it waits")
        assert commits() == 1
        change("done")
        wait_until(lambda: commits() == 2, "it goes on with the right")
        change("SignatureDoesNotMatch", secrets={"archiver": "secret-of-next-week"})
        roles.write(range(6, 9))
        wait_until(lambda: bool(said.find(r"(access denied \(SignatureDoesNotMatch\))")), "it is told")
        keep("secret-of-next-week")
        wait_until(lambda: commits() == 3, "it goes on with the new secret")
        assert sum("started, pid" in line for line in said.lines) == 1, said.lines
    assert waits(said.lines)[:2] == ["0.5", "1.0"]
    assert "secret-of" not in "".join(said.lines)
    roles.call("reader", "verify", roles.topic)
    shown = roles.call("reader", "replay", roles.topic, "--into", "stdout", "--format", "raw")
    offsets = [json.loads(line)["offset"] for line in shown.splitlines() if line.startswith("{")]
    assert offsets == list(range(9))
    s3.change()


def waits(lines: list[str]) -> list[str]:
    return [found[1] for line in lines if (found := re.search(r"Waiting (\S+) s for rights", line))]
