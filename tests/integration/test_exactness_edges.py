"""Exactness at the edges of what Kafka holds: compaction's holes, and records that no client library would write."""

import time
from pathlib import Path
from random import Random

import pytest
from archiving import Archive
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from kafka_history import take
from kafka_oracle import read_topic
from kafka_wire import WireRecord, produce_on_the_wire
from record_zoo import distinct_keys, named_cases
from servers import Servers
from watched_topic import ANY_TIME, WatchedTopic, publish_schemas

pytestmark = pytest.mark.servers

# Kafka rolls segments by the records' own times and by a megabyte at least; but a full index rolls one too.
TINY_SEGMENTS = {**ANY_TIME, "index.interval.bytes": "0", "segment.index.bytes": "48"}
COMPACTING = {
    **TINY_SEGMENTS,
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.01",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "100",
    "delete.retention.ms": "0",
}
COMPACTION_TIMEOUT_S = 240.0


@pytest.mark.parametrize("raw", [False, True], ids=["avro", "raw"])
def test_records_that_no_client_would_write(servers: Servers, tmp_path: Path, raw: bool) -> None:
    """Timestamps 0, -1 and below come back; a record whose header the client cannot give out is a gap of its own.

    Nothing else is held up by it: not the records around it, not those in other partitions.
    """
    topic = WatchedTopic.create(servers, Random(1), partitions=2, raw=raw)
    sound = [
        WireRecord(b"at zero", b"v", (), 0),
        WireRecord(b"without a time", None, ((b"name", None),), -1),
        WireRecord(b"before 1970", b"", (), -62_135_596_800_000),
        WireRecord(b"far beyond 9999", b"v", ((b"", b""),), 2**62),
        WireRecord(b"NUL in a name", b"v", ((b"n\0x", b"1"), (b"\0", b"2")), 1),
    ]
    unreadable = WireRecord(b"k", b"v", ((b"first", b"1"), (b"\xff\xfe", b"2")), 1)
    for partition, batch in ((0, [*sound, unreadable, *sound]), (0, [unreadable, unreadable]), (1, sound)):
        first = produce_on_the_wire(servers.kafka, topic.name, partition, batch)
        topic.foreign |= {(partition, first + index) for index in range(len(batch))}
        topic.unreadable |= {(partition, first + index) for index, each in enumerate(batch) if each is unreadable}
    topic.watch()
    assert (len(topic.expected), len(topic.unreadable)) == (15, 3)
    # The client's library ends names at a NUL byte; nobody who uses it can see more.
    assert {seen.headers for seen in topic.expected.values() if seen.key == b"NUL in a name"} == {
        (("n", b"1"), ("", b"2"))
    }

    archive = Archive(servers)
    archive.archive([] if raw else [topic.name], [topic.name] if raw else [])
    topic.check_replay(archive.replay(topic.name, tmp_path / "lines"))
    topic.check_offsets(topic.log_entries(archive))
    archive.must("verify", topic.name)


def test_holes_of_compaction_are_passed_over(servers: Servers, tmp_path: Path) -> None:
    """What compaction took away is neither missed nor waited for; what is left comes back, tombstones too."""
    rng = Random(1)
    topic = WatchedTopic.create(servers, rng, config=TINY_SEGMENTS)
    name = topic.name
    records = distinct_keys(topic.records, keys=7)
    topic.history.write(distinct_keys(iter(named_cases(rng)), keys=7))
    topic.history.write_in_transactions(take(records, 60))
    _alter(servers, name, COMPACTING)
    deadline = time.monotonic() + COMPACTION_TIMEOUT_S
    while len(read_topic(servers.kafka, name).records) > len(topic.history.journal) // 2:
        assert time.monotonic() < deadline, "Kafka did not compact the topic"
        topic.history.write(take(records, 3))  # a new record rolls a segment, and a closed segment can be compacted
    # From here on nothing may vanish between what is seen and what is archived.
    _alter(servers, name, {**COMPACTING, "cleanup.policy": "delete"})
    before = topic.watch()
    assert len(before.records) < len(topic.history.journal), "no hole: nothing was shown"

    archive = Archive(servers)
    archive.archive([name], more=["--schema-topic", publish_schemas(servers)])
    assert read_topic(servers.kafka, name) == before, "Kafka compacted while it was archived: nothing was shown"
    topic.check_replay(archive.replay(name, tmp_path / "lines"))
    topic.history.journal = {place: each for place, each in topic.history.journal.items() if place in before.records}
    entries = topic.log_entries(archive)
    topic.check_offsets(entries)
    topic.check_quarantine(archive, entries)
    archive.must("verify", name)


def test_what_is_deleted_before_the_first_record_is_archived(servers: Servers) -> None:
    """A partition that was empty when it was first archived is watched from then on: what goes unread is a gap.

    And a run that is to end when all is archived ends, also where there is nothing left of what was there.
    """
    topic = WatchedTopic.create(servers, Random(1), partitions=2)
    archive = Archive(servers)
    topic.history.write(take(topic.records, 5), partition=0)
    topic.history.delete_before({0: 5})
    topic.watch()
    assert topic.ends == {0: 5, 1: 0}
    archive.archive(raw=[topic.name])

    topic.history.write(take(topic.records, 40))
    ends = read_topic(servers.kafka, topic.name).ends
    topic.history.delete_before(ends)
    topic.watch()
    assert topic.gaps == [(0, 5, ends[0]), (1, 0, ends[1])]
    archive.archive(raw=[topic.name])
    topic.check_offsets(topic.log_entries(archive))
    archive.must("log", topic.name)


def _alter(servers: Servers, topic: str, config: dict[str, str]) -> None:
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in config.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": servers.kafka})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(timeout=120)
