"""`headrace store check`: each check finds what it is for, and nothing is left behind."""

import json
import os
import signal
import subprocess

import pytest
from archiving import HEADRACE, plain_environment
from faulty_s3 import KEY_ID, FaultyS3, faulty_s3
from odd_s3 import closed_port
from servers import Servers
from stores import s3_store
from worker_slots import wait_until

from headrace.archiver.object_store import StoreMissing
from headrace.archiver.s3 import S3Store
from headrace.archiver.s3_settings import S3Settings
from headrace.archiver.store_check import StoreReport, check_all
from headrace.archiver.store_checks import checks

FAULTS = {
    "no if-none-match": {"create": "wrong", "race": "wrong"},
    "refused creates overwrite": {"create": "wrong", "race": "wrong"},
    "another code for what exists": {"create": "wrong", "race": "wrong"},
    "creates race": {"race": "wrong"},
    "no checksums": {"checksum": "wrong"},
    "keeps what it refuses": {"checksum": "wrong"},
    "old bytes are read": {"read-after-write": "wrong"},
    "large bodies are cut": {"bytes": "wrong"},
    "no ranges from the end": {"ranges": "wrong"},
    "another code for what is missing": {"missing": "wrong", "delete": "wrong"},
    "deleted objects stay": {"delete": "wrong"},
    "no deletes": {"missing": "wrong", "delete": "wrong"},
    "listings lag behind": {"listing": "wrong"},
    "listings are not sorted": {"listing": "wrong"},
    "listings end after a page": {"listing": "wrong"},
    "no if-match": {"if-match": "wrong"},
    "multipart overwrites": {"multipart": "wrong"},
    "anybody": {"signature": "wrong"},
    "no encryption": {"encryption": "wrong"},
}
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1"}


def store_at(s3: FaultyS3, url: str = "s3://b/archive", settings: S3Settings | None = None) -> S3Store:
    return S3Store(
        url,
        settings=settings,
        read_attempts=1,
        endpoint_url=s3.endpoint,
        aws_access_key_id=KEY_ID,
        aws_secret_access_key="s",
        region_name="us-east-1",
    )


def report_on(store: S3Store, races: int = 2) -> StoreReport:
    return check_all(store, "id", checks(races=races, sse=store.settings.sse), left=[])


def not_ok(report: StoreReport) -> dict[str, str]:
    return {each.check.name: each.result for each in report.outcomes if each.result != "ok"}


def test_a_store_without_faults_is_fit_and_empty_afterwards() -> None:
    """Each check passes on the server whose faults the others show, encryption included; nothing stays."""
    with faulty_s3() as s3:
        report = report_on(store_at(s3, settings=S3Settings(sse="AES256")))
        assert (not_ok(report), report.fit, report.left, s3.objects, s3.uploads) == ({}, True, (), {}, {})
        written = {each.key for each in s3.requests if each.method in ("PUT", "POST", "DELETE")}
        assert written
        assert all(key.startswith("archive/probe/check-id/") for key in written)


@pytest.mark.parametrize(("fault", "found"), FAULTS.items(), ids=list(FAULTS))
def test_each_fault_is_found_by_the_checks_that_are_about_it(fault: str, found: dict[str, str]) -> None:
    """A server with one fault fails just the checks that name it; each check is failed by one of them."""
    with faulty_s3(fault) as s3:
        report = report_on(store_at(s3, settings=S3Settings(sse="AES256")))
        assert not_ok(report) == found
        assert set(s3.objects) <= {f"archive/{key}" for key in report.left}
    assert {name for names in FAULTS.values() for name in names} == {each.name for each in checks(sse="AES256")}


def test_a_missing_right_to_list_is_told_as_that() -> None:
    """Where a missing key is a 403, as on AWS without s3:ListBucket, nothing is written, and the advice names it."""
    with faulty_s3("what is missing is forbidden") as s3:
        done = run("--archive", "s3://b/archive", endpoint=s3.endpoint)
        assert done.returncode == 3
        assert "s3:ListBucket" in done.stderr
        assert {each.method for each in s3.requests} == {"GET"}


def test_a_bucket_that_is_not_there_is_not_judged() -> None:
    """A missing bucket is an error that says so, and nothing is written."""
    with faulty_s3() as s3, pytest.raises(StoreMissing):
        report_on(store_at(s3, "s3://none/archive"))
    assert {each.method for each in s3.requests} == {"GET"}


def test_errors_of_the_store_are_no_judgement() -> None:
    """A check that gets a 503 is unknown: neither fit nor wrong."""
    with faulty_s3() as s3:
        s3.failures["PUT"] = 1
        report = report_on(store_at(s3))
        assert (not_ok(report), report.fit) == ({"create": "unknown"}, False)


def run(*arguments: str, endpoint: str) -> "subprocess.CompletedProcess[str]":
    environment = {**plain_environment(), **ENVIRONMENT, "AWS_ENDPOINT_URL_S3": endpoint}
    command = [*HEADRACE, "store", "check", *arguments]
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=300)


def test_the_verb_says_what_is_wrong_and_what_to_do() -> None:
    """A store that is not fit: exit 1, the check, what was seen, the advice; as JSON the same."""
    with faulty_s3("no if-none-match", "anybody") as s3:
        done = run("--archive", "s3://b/a", "--races", "1", endpoint=s3.endpoint)
        assert done.returncode == 1
        assert "WRONG" in done.stdout
        assert "seen: a second create: answered 200, expected 412 PreconditionFailed" in done.stdout
        assert "what to do: do not archive to this store" in done.stdout
        assert "NOT FIT for an archive: create, race" in done.stdout
        as_json = run("--archive", "s3://b/a", "--races", "1", "--json", endpoint=s3.endpoint)
        report = json.loads(as_json.stdout)
        assert (as_json.returncode, report["version"], report["fit"], report["left"]) == (1, 1, False, [])
        results = {each["name"]: (each["needed"], each["result"]) for each in report["checks"]}
        assert results["create"] == ("exactness", "wrong")
        assert results["signature"] == ("nothing", "wrong")
        assert results["bytes"] == ("exactness", "ok")


def test_what_is_not_needed_does_not_fail_the_verb() -> None:
    """Listings that end early are a warning, with exit 0: nothing is lost by them."""
    with faulty_s3("listings end after a page") as s3:
        done = run("--archive", "s3://b/a", "--races", "1", endpoint=s3.endpoint)
        assert (done.returncode, "WARNING" in done.stdout, "fit: " in done.stdout) == (0, True, True)


def test_a_store_that_is_not_there() -> None:
    """No connection is exit 3 with the address."""
    with closed_port() as port:
        done = run("--archive", "s3://b/a", endpoint=f"http://127.0.0.1:{port}")
    assert (done.returncode, f"127.0.0.1:{port}" in done.stderr) == (3, True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_check_leaves_nothing(number: signal.Signals, code: int) -> None:
    """Ctrl-C or SIGTERM in the middle of the races ends the verb, with all objects removed."""
    with faulty_s3() as s3:
        environment = {**plain_environment(), **ENVIRONMENT, "AWS_ENDPOINT_URL_S3": s3.endpoint}
        process = subprocess.Popen(
            [*HEADRACE, "store", "check", "--archive", "s3://b/a", "--races", "1000"],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_until(lambda: len([key for key in s3.objects if "/race-" in key]) > 3, "some races are over")
        os.kill(process.pid, number)
        _, said = process.communicate(timeout=120)
        assert (process.returncode, s3.objects, "not removed" in said) == (code, {}, False)


def test_what_could_not_be_removed_is_named() -> None:
    """Without the right to delete the keys that stay are told one by one."""
    with faulty_s3("no deletes") as s3:
        done = run("--archive", "s3://b/a", "--races", "1", endpoint=s3.endpoint)
        assert {f"s3://b/{key}" for key in s3.objects} == {
            line.removeprefix("not removed: ") for line in done.stderr.splitlines()
        }


@pytest.mark.servers
def test_the_s3_server_that_comes_along_is_fit(servers: Servers) -> None:
    """SeaweedFS passes every check, and nothing stays."""
    store = s3_store(servers)
    report = report_on(store, races=10)
    assert (not_ok(report), report.left, list(store.list(""))) == ({}, (), [])
