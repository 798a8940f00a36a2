"""Receipts of replays into Kafka: where each record went, what was altered, and that the target still holds it."""

import json
from pathlib import Path
from typing import Any

import pytest
from archiving import Archive
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from kafka_oracle import read_topic
from replay_kit import CLOCK, FOREVER, ODD, archive_of, contents, kafka, planned, replay
from servers import Servers
from small_archive import NOV_23_MS, Rec, SmallArchive, pin_value
from stores import s3_store

from headrace.replay.kafka_target import Allowances
from headrace.replay.receipts import TopicOutcome, decode_receipt, make_receipt
from headrace.replay.transform import Transform
from headrace.replay.verify_receipt import ReceiptReport, verify_receipt

pytestmark = pytest.mark.servers


def receipt(
    servers: Servers, archive: SmallArchive, target: str, outcome: TopicOutcome, transform: Transform | None = None
) -> dict[str, Any]:
    plan = planned(servers, archive, target, transform=transform)
    return decode_receipt(make_receipt(plan, [outcome], at="2026-11-23T00:00:00Z"), "the test's")


def verified(servers: Servers, said: dict[str, Any]) -> ReceiptReport:
    return verify_receipt(said, kafka=kafka(servers), clock=CLOCK)


def test_the_offset_map_says_where_each_record_went(servers: Servers) -> None:
    """For each run of the map a plain consumer finds the source's records at the target's offsets, rising strictly."""
    target = servers.new_topic(3, FOREVER)
    archive = archive_of(ODD, target)
    said = receipt(servers, archive, target, replay(servers, archive, target))
    assert (said["exact"], said["reasons"]) == (True, [])
    view = read_topic(servers.kafka, target)
    found = {}
    for part in said["topics"][0]["target"]["partitions"]:
        last = -1
        for partition, first, at, count in part["offsets"]:
            assert at > last
            last = at + count - 1
            for step in range(count):
                found[partition, first + step] = view.records[part["partition"], at + step].value
    assert found == {(r.partition, r.offset): r.value for r in ODD}
    assert verified(servers, said).ok


def test_what_is_appended_later_does_not_matter(servers: Servers) -> None:
    """The receipt speaks of its own offsets."""
    target = servers.new_topic(3, FOREVER)
    archive = archive_of(ODD, target)
    said = receipt(servers, archive, target, replay(servers, archive, target))
    producer = Producer(kafka(servers))
    producer.produce(target, b"later", partition=0)
    producer.flush()
    report = verified(servers, said)
    assert (report.ok, report.records) == (True, 5)


def test_deleted_records_and_topics_are_found(servers: Servers) -> None:
    """Retention that deleted some, and a topic that was made again: each is named."""
    target = servers.new_topic(3, FOREVER)
    archive = archive_of(ODD, target)
    said = receipt(servers, archive, target, replay(servers, archive, target))
    admin = AdminClient(kafka(servers))
    for future in admin.delete_records([TopicPartition(target, 0, 2)]).values():
        future.result(timeout=120)
    (finding,) = verified(servers, said).findings
    assert finding.where == f"{target}/0"
    assert "are gone" in finding.what
    said["topics"][0]["target"]["topic_id"] = "another"
    (finding,) = verified(servers, said).findings
    assert "made again" in finding.what
    said["topics"][0]["target"]["name"] = "never-made"
    (finding,) = verified(servers, said).findings
    assert "does not exist" in finding.what


@pytest.mark.parametrize(("field", "value"), [("digest", "0" * 64), ("records", 7), ("offsets", [[0, 0, 1, 4]])])
def test_a_receipt_that_says_something_else_differs(servers: Servers, field: str, value: object) -> None:
    """Digest, count and map are each compared."""
    target = servers.new_topic(1, FOREVER)
    archive = archive_of([Rec(0, o, b"%d" % o) for o in range(4)], target)
    said = receipt(servers, archive, target, replay(servers, archive, target))
    said["topics"][0]["target"]["partitions"][0][field] = value
    assert not verified(servers, said).ok


def test_headers_are_stripped_and_provenance_added_when_asked(servers: Servers) -> None:
    """Both are said in the receipt; what arrives is compared all the same."""
    target = servers.new_topic(3, FOREVER)
    archive = archive_of(ODD, target)
    transform = Transform(strip_headers=True, provenance=True)
    outcome = replay(servers, archive, target, transform=transform)
    said = receipt(servers, archive, target, outcome, transform)
    assert (said["exact"], len(said["reasons"])) == (False, 2)
    found = [record.headers for record in contents(servers, target)[0]]
    names = ("headrace.topic", "headrace.partition", "headrace.offset")
    assert found == [
        list(zip(names, (target.encode(), b"0", b"%d" % r.offset), strict=True)) for r in ODD if r.partition == 0
    ]
    assert verified(servers, said).ok


def test_fewer_partitions_are_taken_when_allowed(servers: Servers) -> None:
    """All records arrive, in the plan's order; the map says from which partition each run came."""
    target = servers.new_topic(1, FOREVER)
    archive = archive_of(ODD, target)
    outcome = replay(servers, archive, target, allow=Allowances(fewer_partitions=True))
    said = receipt(servers, archive, target, outcome)
    assert "records of 3 partitions went into 1" in said["reasons"][0]
    values = [r.value for r in contents(servers, target)[0]]
    assert sorted(map(repr, values)) == sorted(repr(r.value) for r in ODD)
    assert [value for value in values if value != ODD[4].value] == [r.value for r in ODD[:4]]
    assert {entry[0] for entry in said["topics"][0]["target"]["partitions"][0]["offsets"]} == {0, 2}
    assert verified(servers, said).ok


def test_records_of_timestamp_zero_verify_later(servers: Servers) -> None:
    """Their places are in the receipt, since the target has another time there."""
    target = servers.new_topic(1, FOREVER)
    archive = archive_of([Rec(0, o, b"%d" % o, timestamp=o % 2) for o in range(6)], target)
    outcome = replay(servers, archive, target, allow=Allowances(timestamp_zero=True))
    said = receipt(servers, archive, target, outcome)
    assert not said["exact"]
    assert verified(servers, said).ok


def test_a_slow_replay_keeps_its_rate(servers: Servers) -> None:
    """60 records at 20 a second take over two seconds of the clock that it was given."""
    target = servers.new_topic(1, FOREVER)
    archive = archive_of([Rec(0, o, b"%d" % o) for o in range(60)], target)
    started = CLOCK.monotonic()
    replay(servers, archive, target, rate=20)
    assert CLOCK.monotonic() - started > 2


def test_the_command_line_from_dry_run_to_verification(servers: Servers, tmp_path: Path) -> None:
    """Two topics at once: dry run, refusal, allowance, receipt in the archive, verify by its id."""
    real = Archive(servers)
    suffix = servers.new_topic(1, FOREVER)
    store = s3_store(servers, real.url)
    for topic, timestamp in (("pin", NOV_23_MS), ("follow", 0)):
        SmallArchive(topic, store=store).commit([Rec(0, o, pin_value(o), b"k", timestamp) for o in range(3)])
        servers.new_topic(1, FOREVER, name=f"{topic}-{suffix}")
    command = ("replay", "pin", "follow", "--into", f"kafka:{{topic}}-{suffix}")
    assert real.call(*command, "--plan-only").code == 0
    dry = real.call(*command, "--dry-run")
    assert dry.code == 2
    assert "would be refused: the record at partition 0, offset 0 has timestamp 0" in dry.stderr
    assert read_topic(servers.kafka, f"pin-{suffix}").records == {}
    refused = real.call(*command)
    assert refused.code == 2
    assert "--allow-timestamp-zero" in refused.stderr
    done = real.call(*command, "--allow-timestamp-zero", "--receipt", str(tmp_path / "receipt"))
    assert done.code == 0, done.output
    assert "receipt (inexact)" in done.stderr
    again = real.call(*command, "--allow-timestamp-zero")
    assert again.code == 0, again.output
    name = json.loads((tmp_path / "receipt").read_text())["id"]
    checked = real.call("verify", "--receipt", name, "--json")
    assert checked.code == 0, checked.output
    assert json.loads(checked.stdout)["checked"] == {"records": 6, "targets": 2}
    assert real.call("verify", "--receipt", str(tmp_path / "receipt")).code == 0
