"""What a plain Kafka consumer sees of a topic: the judge over archive and replay, without any of headrace's code."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

READ_TIMEOUT_S = 240.0


class Seen(NamedTuple):
    """All that a consumer can see of a record. `timestamp_type` has Kafka's ids: -1 none, 0 create, 1 append."""

    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True)
class TopicView:
    """The visible records by (partition, offset), and for each partition its first offset and its end."""

    records: dict[tuple[int, int], Seen]
    starts: dict[int, int]
    ends: dict[int, int]


def read_topic(kafka: str, topic: str, *, unreadable: Collection[tuple[int, int]] = ()) -> TopicView:
    """Read everything that a topic shows now, but for the places of records that the client cannot hand out."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": "oracle",  # librdkafka wants one; nothing is committed under it
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,  # the end of a partition is told after that long
            "isolation.level": "read_committed",
        }
    )
    try:
        partitions = sorted(consumer.list_topics(topic, timeout=READ_TIMEOUT_S).topics[topic].partitions)
        starts = {
            p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=READ_TIMEOUT_S)[0] for p in partitions
        }
        consumer.assign([TopicPartition(topic, p, start) for p, start in starts.items()])
        return _read_to_ends(consumer, topic, starts, unreadable)
    finally:
        consumer.close()


def _read_to_ends(
    consumer: Consumer, topic: str, starts: dict[int, int], unreadable: Collection[tuple[int, int]]
) -> TopicView:
    records: dict[tuple[int, int], Seen] = {}
    ends: dict[int, int] = {}
    deadline = time.monotonic() + READ_TIMEOUT_S
    while len(ends) < len(starts):
        assert time.monotonic() < deadline, f"reading {topic}: ends {ends} of {len(starts)} partitions in time"
        for message in consumer.consume(1000, 0.2):
            error = message.error()
            if error is None and (message.partition(), message.offset()) in unreadable:
                continue
            if error is None:
                seen = seen_of(message)
                records[seen.partition, seen.offset] = seen
            else:
                assert error.code() == KafkaError._PARTITION_EOF, f"reading {topic}: {error}"
                ends[_number(message.partition())] = _number(message.offset())
    return TopicView(records, starts, ends)


def seen_of(message: Message) -> Seen:
    """Return what a consumed message shows."""
    kind, timestamp = message.timestamp()
    headers: Sequence[tuple[str, bytes | None]] = message.headers() or []  # type: ignore[assignment]  # stub says str
    return Seen(
        partition=_number(message.partition()),
        offset=_number(message.offset()),
        timestamp=timestamp,
        timestamp_type=kind - 1,  # librdkafka counts from 0 what Kafka counts from -1
        key=_bytes(message.key()),
        value=_bytes(message.value()),
        headers=tuple(headers),
    )


def _number(value: int | None) -> int:
    assert value is not None
    return value


def _bytes(value: str | bytes | None) -> bytes | None:
    assert not isinstance(value, str)
    return value
