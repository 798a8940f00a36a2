"""What `headrace lag` says while a real archiver runs, is paused, is killed, and cannot reach S3."""

import json
from typing import Any

import pytest
from archiving import Archive
from kafka_changes import numbered, produce
from odd_s3 import relay
from servers import Servers
from worker_slots import wait_until

pytestmark = pytest.mark.servers


def seen(archive: Archive, topic: str) -> list[dict[str, Any]]:
    """The partitions as `headrace lag --json` has them, by number."""
    finished = archive.call("lag", "--topic", topic, "--group", archive.group, "--json")
    assert finished.code == 0, finished.output
    found: list[dict[str, Any]] = json.loads(finished.stdout)["partitions"]
    return sorted(found, key=lambda each: int(each["partition"]))


def checked(archive: Archive, topic: str, *more: str) -> tuple[int, str]:
    finished = archive.call("lag", "--topic", topic, "--group", archive.group, "--check", *more)
    return finished.code, finished.stdout


def test_the_worker_is_named_with_what_it_has_taken(servers: Servers) -> None:
    """Taken before durable, durable before the end: three positions of one partition, and who holds it."""
    archive, topic = Archive(servers), servers.new_topic(2)
    produce(servers.kafka, topic, numbered("v", 0, 300))
    with archive.archiving(raw=[topic], more=["--flush-interval", "1"]):

        def held_and_done() -> bool:
            return all(each["worker"] and each["state"] in ("caught-up", "idle") for each in seen(archive, topic))

        wait_until(held_and_done, "all is archived, and the worker is named")
        found = seen(archive, topic)
        assert len({each["worker"] for each in found}) == 1
        assert all(each["heartbeat_age_seconds"] < 60 for each in found)
        assert [each["taken"] for each in found] == [each["log_end"] for each in found]
        assert checked(archive, topic)[0] == 0


def test_what_is_taken_is_told_before_it_is_durable(servers: Servers) -> None:
    """With an hour between flushes the records are in memory: taken, not durable, and lag says both."""
    archive, topic = Archive(servers), servers.new_topic(1)
    with archive.archiving(raw=[topic], more=["--flush-interval", "3600"]):
        produce(servers.kafka, topic, numbered("v", 0, 50))
        wait_until(lambda: seen(archive, topic)[0]["taken"] == 50, "the worker says that it took 50")
        found = seen(archive, topic)[0]
        assert found["records_behind"] == 50
        assert found["durable_next"] in (None, 0)
        code, line = checked(archive, topic, "--warn-behind", "0", "--critical-behind", "3600")
        assert (code, line.split(":")[0]) == (1, "warning")


def test_a_worker_that_is_gone_is_said_to_be(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed with -9 and not started again: as soon as records wait and it was silent for long enough."""
    archive, topic = Archive(servers), servers.new_topic(1)
    produce(servers.kafka, topic, numbered("v", 0, 10))
    archive.archive(raw=[topic])
    produce(servers.kafka, topic, numbered("v", 0, 10))
    monkeypatch.setattr("headrace.archiver.oncall.rules.SILENT_S", 0.5)
    wait_until(lambda: checked(archive, topic)[0] == 2, "--check is critical")
    code, line = checked(archive, topic)
    assert (code, "not-running" in line) == (2, True)
    explained = archive.call("lag", "--group", archive.group, "--explain", f"{topic}/0").stdout
    assert "Start the archiver again" in explained
    assert "docs/runbook/not-running.md" in explained


def test_a_worker_without_s3_says_so(servers: Servers) -> None:
    """The way to S3 is cut while it runs: why, and since when, reach on-call through Kafka alone; then it goes on."""
    archive, topic = Archive(servers), servers.new_topic(1)
    produce(servers.kafka, topic, numbered("v", 0, 10))
    with relay(servers.env["AWS_ENDPOINT_URL_S3"]) as way:
        archive.env["AWS_ENDPOINT_URL_S3"] = way.endpoint
        direct = Archive(servers, archive.url)
        direct.group = archive.group
        with archive.archiving(raw=[topic], more=["--flush-interval", "1"]):
            wait_until(lambda: seen(direct, topic)[0]["state"] == "caught-up", "all is archived")
            way.set_cut(cut=True)
            produce(servers.kafka, topic, numbered("v", 10, 20))
            wait_until(lambda: bool(seen(direct, topic)[0]["trouble"]), "the worker tells of its trouble")
            code, line = checked(direct, topic)
            assert (code, "upload-failing" in line) == (2, True)
            way.set_cut(cut=False)
            wait_until(lambda: checked(direct, topic)[0] == 0, "the worker goes on")
            assert seen(direct, topic)[0]["durable_next"] == 20
