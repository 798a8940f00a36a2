"""Many partitions at once whose offset is not there: each is told, whichever of the client's answers comes first.

With many partitions the answers to assigning, looking up and seeking come in all orders; with one they hardly do.
"""

import os
from collections.abc import Collection, Mapping
from threading import Event
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient
from servers import Servers
from worker_slots import wait_until

from headrace.archiver.clock import SystemClock
from headrace.archiver.default_names import READINGS
from headrace.archiver.kafka_source import consumer_config
from headrace.archiver.source import OffsetLost, Records, SourceEvent, Start, TopicPartition
from headrace.archiver.sources import make_source

pytestmark = [pytest.mark.servers, pytest.mark.parametrize("reading", READINGS)]

PARTITIONS, WRITTEN, ROUNDS = 30, 10, 5


class From:
    """An assignee that reads each partition from the same start."""

    def __init__(self, start: Start) -> None:
        self._start = start

    def assigned(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Start]:
        return dict.fromkeys(partitions, self._start)

    def revoked(self, partitions: Collection[TopicPartition]) -> None: ...

    def lost(self, partitions: Collection[TopicPartition]) -> None: ...


def written_topic(servers: Servers) -> str:
    """Return a topic with the records 0 to WRITTEN - 1 in each partition, all of leader epoch 0."""
    topic, producer = servers.new_topic(PARTITIONS), Producer({"bootstrap.servers": servers.kafka})
    for partition in range(PARTITIONS):
        for _ in range(WRITTEN):
            producer.produce(topic, value=b"x", partition=partition)
    assert producer.flush(60) == 0
    return topic


def first_events(servers: Servers, topic: str, start: Start, reading: str) -> dict[int, SourceEvent]:
    """Return the first thing that a new source says of each partition."""
    config = consumer_config(servers.kafka, uuid4().hex, instance_id=None, queue_kb_max=10_000)
    source = make_source(
        reading, config, [topic], From(start), clock=SystemClock(Event()), warn=print, random_bytes=os.urandom
    )
    told: dict[int, SourceEvent] = {}

    def all_told() -> bool:
        for event in source.poll(1_000, 0.1):
            if isinstance(event, Records):
                for partition in event.batch.column("partition").to_pylist():
                    told.setdefault(partition, event)
            else:
                told.setdefault(event.partition.partition, event)
        return len(told) == PARTITIONS

    try:
        wait_until(all_told, f"a word on each of {PARTITIONS} partitions")
    finally:
        source.close()
    return told


def test_each_log_that_ends_before_its_offset_is_told_with_its_end(servers: Servers, reading: str) -> None:
    """Offsets beyond the log's end: for all partitions the client's comparison comes through, and names the end."""
    topic = written_topic(servers)
    for _ in range(ROUNDS):
        told = first_events(servers, topic, Start(WRITTEN + 15, 0), reading)
        assert [type(event) for event in told.values()] == [OffsetLost] * PARTITIONS
        assert all(f"broker end offset is {WRITTEN} " in str(event) for event in told.values())


def test_no_record_is_handed_out_of_a_log_that_begins_behind_its_offset(servers: Servers, reading: str) -> None:
    """Offsets that retention took: for all partitions that comes first, and no record from behind them."""
    topic = written_topic(servers)
    deleted = [KafkaPartition(topic, partition, WRITTEN // 2) for partition in range(PARTITIONS)]
    admin = AdminClient({"bootstrap.servers": servers.kafka})
    for future in admin.delete_records(deleted).values():
        future.result(60)
    for _ in range(ROUNDS):
        told = first_events(servers, topic, Start(1, 0), reading)
        assert [type(event) for event in told.values()] == [OffsetLost] * PARTITIONS


def test_a_log_that_has_its_offset_is_read_on_from_there(servers: Servers, reading: str) -> None:
    """The check changes nothing where the histories are the same: the records from the offset on come, no others."""
    topic = written_topic(servers)
    for offset in (1, WRITTEN - 1):
        told = first_events(servers, topic, Start(offset, 0), reading)
        assert {type(event) for event in told.values()} == {Records}
        offsets = [
            o for event in told.values() if isinstance(event, Records) for o in event.batch["offset"].to_pylist()
        ]
        assert min(offsets) == offset
