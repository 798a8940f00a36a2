"""What processes write: a line a flush with what was done, in either form; never a payload, never a secret."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from archiving import Archive
from confluent_kafka import Producer
from kafka_changes import numbered, produce
from scraping import get
from servers import Servers
from verb_running import started
from worker_slots import wait_until

from headrace.archiver.group_offsets import committed_offsets
from headrace.archiver.kafka_metadata import KafkaMetadata
from headrace.archiver.oncall.heartbeat import decode
from headrace.archiver.source import TopicPartition
from headrace.producer import EventLog
from headrace.schemas import Pin

pytestmark = pytest.mark.servers

PAYLOAD = "canary-payload-7c1f"
KEY = "canary-key-50aa"
HEADER = "canary-header-e21b"
SECRET = "canary-secret-93d0"
CANARIES = (PAYLOAD, KEY, HEADER, SECRET)


def secret_in(text: str) -> list[str]:
    """The canaries in a text: as they are, as bytes are shown, in hexadecimal."""
    lowered = text.lower()
    return [each for each in CANARIES if each in lowered or each.encode().hex() in lowered]


def lines_of(text: str) -> list[dict[str, Any]]:
    """The lines of a JSON log; every one must be an object."""
    return [json.loads(line) for line in text.splitlines()]


def test_a_flush_is_one_line_with_what_was_done(servers: Servers) -> None:
    """JSON: time, level, worker, topic, commit number, records, files, bytes, seconds; human: the same in words."""
    archive, topic = Archive(servers), servers.new_topic(2)
    produce(servers.kafka, topic, numbered("v", 0, 30), partition=0)
    produce(servers.kafka, topic, numbered("v", 0, 12), partition=1)
    told = lines_of(archive.archive(raw=[topic], more=["--log-format", "json"]).stderr.split("archived: all")[0])
    commits = [each for each in told if each.get("event") == "commit"]
    assert sum(each["records"] for each in commits) == 42
    assert [each["seq"] for each in commits] == list(range(1, len(commits) + 1))
    assert {(each["level"], each["worker"], each["topic"]) for each in commits} == {("info", 0, topic)}
    assert all(each["bytes"] > 0 and each["files"] > 0 and 0 <= each["seconds"] < 90 for each in commits)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", each["at"]) and each["message"] for each in told)
    assert [each["worker"] for each in told if each.get("event") == "worker-started"] == [0]
    produce(servers.kafka, topic, numbered("v", 30, 35), partition=0)
    human = archive.archive(raw=[topic]).stderr
    (line,) = [each for each in human.splitlines() if "commit" in each and "records" in each]
    assert re.match(rf"[\d:]+ worker 0 \[\d+\] INFO {topic}: commit \d+: 5 records of 1 partitions in 1 files", line)


def write_canaries(servers: Servers, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": servers.kafka})
    for number in range(count):
        value = f'{{"token": "{PAYLOAD}", "n": {number}}}'.encode()
        # Some look like events and are none: what is wrong with them is said, what is in them is not.
        framed = b"\xc3\x01" + PAYLOAD.encode() * 2 if number % 3 == 0 else value
        producer.produce(topic, framed, key=f"{KEY}-{number}", headers=[("h", HEADER.encode())])
    assert producer.flush(120) == 0


def test_no_payload_and_no_secret_is_written(servers: Servers) -> None:
    """Canaries in values, keys, headers and S3 credentials; archivers that succeed and are refused, at every level.

    Nothing that any process wrote has one: logs, metrics, the page, lag in all its forms, heartbeats in Kafka.
    """
    archive, topic = Archive(servers), servers.new_topic(1)
    write_canaries(servers, topic, 40)
    done = archive.archive(topics=[topic], more=["-v"])  # undecodable as events: all of it is quarantined
    assert "quarantined" in done.output
    written = [done.output]
    write_canaries(servers, topic, 10)
    arguments = ("archive", "--topic", topic, "--group", archive.group, "--flush-interval", "0.2", "-v")
    form = ("--log-format", "json")
    with started(archive, *arguments, *form, "--metrics", "127.0.0.1:0", "--dashboard", "127.0.0.1:0") as (_, said):
        wait_until(lambda: len(said.urls()) >= 2, "both addresses are told")
        wait_until(lambda: said.find(r"(commit \d+: 10 records)") is not None, "the rest is committed")
        for url in said.urls()[:2]:
            base = url.removesuffix("/metrics")
            written += [get(base + path).body.decode() for path in ("", "/metrics", "/status.json")]
        beats: list[str] = []
        wait_until(lambda: bool(heard(servers, archive, topic, beats)), "the worker tells of itself in its commits")
    written += ["".join(said.lines), *beats]
    forms = (["-v"], ["--json"], ["--check"], ["--explain", topic])
    written += [archive.call("lag", "--topic", topic, "--group", archive.group, *options).output for options in forms]
    refused = Archive(servers, archive.url)
    refused.env |= {"AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": f"{SECRET}-token"}
    for done in (
        refused.run("archive", "--topic", topic, "--until-idle", "-v"),
        *(refused.call(*verb) for verb in (["lag", "--topic", topic], ["verify", topic])),
    ):
        assert done.code != 0
        written.append(done.output)
    with started(refused, "exporter", "--listen", "127.0.0.1:0", "--every", "1") as (_, said):
        written.append(get(said.url()).body.decode())
    written.append("".join(said.lines))
    assert len(written) >= 17
    assert canaries_of(written) == []


def heard(servers: Servers, archive: Archive, topic: str, beats: list[str]) -> list[str]:
    """What stands in the metadata of the group's commits; kept in `beats`."""
    where = TopicPartition(topic, 0)
    said = committed_offsets({"bootstrap.servers": servers.kafka}, archive.group, [where], pause=time.sleep)
    beats += [each.metadata for each in said.values() if decode(each.metadata) is not None]
    return beats


def canaries_of(written: list[str]) -> list[tuple[str, list[str]]]:
    """The texts that have a canary."""
    return [(each[:200], secret_in(each)) for each in written if secret_in(each)]


SASL = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": SECRET}


@pytest.mark.parametrize("given", ["by environment", "by file"])
def test_kafkas_password_is_never_said(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """A broker that takes none of it: each verb says that SASL failed and ends with 3, or serves it; none says it."""
    archive, topic = Archive(servers), servers.new_topic(1)
    (tmp_path / "kafka.json").write_text(json.dumps(SASL))
    archive.env["HEADRACE_KAFKA_CONFIG"] = json.dumps(SASL) if given == "by environment" else f"@{tmp_path}/kafka.json"
    monkeypatch.setattr("headrace.archiver.kafka_metadata.FIRST_CONTACT_TIMEOUT_S", 2.0)
    done = [archive.call("lag", "--topic", topic), archive.call("lag", "--check", "--topic", topic)]
    if given == "by environment":
        done.append(archive.run("archive", "--raw", topic, "-v"))
        with started(archive, "exporter", "--listen", "127.0.0.1:0", "--every", "1", "--log-format", "json") as (
            _,
            said,
        ):
            served = get(said.url()).body.decode()
        assert 'headrace_verdict{verdict="cannot-tell"} 1.0' in served
        assert canaries_of([served, *said.lines]) == []
    for each in done:
        assert each.code == 3, each.output
        assert "SASL PLAIN mechanism handshake failed" in each.output
        assert "HEADRACE_KAFKA_CONFIG" in each.output
    assert canaries_of([each.output for each in done]) == []


def test_the_shippers_password_is_never_said(servers: Servers, tmp_path: Path) -> None:
    """The same for `headrace ship`, in both forms of its log, and for settings that are no JSON."""
    archive = Archive(servers)
    if "pin" not in KafkaMetadata({"bootstrap.servers": servers.kafka}).topics():
        servers.new_topic(1, name="pin")
    log = EventLog(service="web", spool=tmp_path, ship="separate")
    assert log.emit(Pin(user_id=7, pin_id=1, action="SAVE"))
    log.close(5)
    archive.env["HEADRACE_KAFKA_CONFIG"] = json.dumps({**SASL, "message.timeout.ms": 2000})
    written: list[str] = []
    for form in ("human", "json"):
        with started(archive, "ship", str(tmp_path), "--log-format", form) as (
            _,
            said,
        ):
            wait_until(lambda: said.find(r"(Kafka: )") is not None, "it says that it cannot")
        written.append("".join(said.lines))
    bad = archive.call("ship", str(tmp_path), "--kafka-config", f'{{"sasl.password": "{SECRET}"')
    assert bad.code == 2
    assert canaries_of([*written, bad.output]) == []


def test_the_search_finds_a_canary() -> None:
    """In plain text, in another case, and in hexadecimal."""
    assert secret_in(f"x {PAYLOAD} y {SECRET.upper()}") == [PAYLOAD, SECRET]
    assert secret_in(f"key={KEY.encode().hex()}") == [KEY]
    assert secret_in("nothing") == []
