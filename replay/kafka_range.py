"""Reads ranges of a Kafka topic's partitions with a consumer of its own, for comparing: it shares no code and no
settings with the archiver's consumer, so that one's mistake is not the other's.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np
import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from headrace.archiver.records import record_batch

from .errors import KafkaUnusable

BATCH_RECORDS = 10_000
QUEUED_KB_MAX = 32_768
QUEUED_RECORDS_MAX = 20_000
POLL_S = 0.5
SILENCE_S_MAX = 30.0


class RangeReader:
    """A read_committed consumer without a group, at given offsets. Context manager; poll() until satisfied.

    Raises KafkaUnusable when a partition cannot be read, or nothing comes for `silence_s_max` although more was asked.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        topic: str,
        starts: Mapping[int, int],
        *,
        monotonic: Callable[[], float],
        silence_s_max: float = SILENCE_S_MAX,
    ) -> None:
        self.topic = topic
        self._monotonic = monotonic
        self._silence_s_max = silence_s_max
        self._consumer = Consumer(
            {
                "log_level": 0,
                **kafka,
                "group.id": "headrace-compare",  # required by the client; nothing is ever committed to it
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "enable.auto.commit": False,
                "enable.partition.eof": False,
                "check.crcs": True,
                "allow.auto.create.topics": False,
                # Held are at most so many bytes in all, and so many messages of a partition: without the second, small
                # ones would take several times the first, each having a price of its own. What is full is looked at
                # again soon, not after the second that the client would wait.
                "queued.max.messages.kbytes": QUEUED_KB_MAX,
                "queued.min.messages": QUEUED_RECORDS_MAX,
                "fetch.queue.backoff.ms": 20,
                "error_cb": lambda _error: None,
            }
        )
        self._positions = dict(starts)
        self._consumer.assign([TopicPartition(topic, partition, start) for partition, start in starts.items()])
        self._heard = monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def poll(self) -> list[tuple[int, pa.RecordBatch]]:
        """Return what came within half a second, as (partition, records in RECORD_SCHEMA)."""
        messages = self._consumer.consume(BATCH_RECORDS, POLL_S)
        by_partition: dict[int, list[Message]] = {}
        for message in messages:
            error = message.error()
            if error is not None:
                self._refuse(error)
                continue
            by_partition.setdefault(int(message.partition() or 0), []).append(message)
        if by_partition:
            self._heard = self._monotonic()
        return [(partition, _batch(partition, each)) for partition, each in sorted(by_partition.items())]

    def drop(self, partition: int) -> None:
        """Stop reading a partition."""
        self._positions.pop(partition, None)
        self._consumer.incremental_unassign([TopicPartition(self.topic, partition)])

    def positions(self) -> dict[int, int]:
        """Return the next offset of each partition; it passes over markers and aborted records."""
        asked = [TopicPartition(self.topic, partition) for partition in self._positions]
        for answer in self._consumer.position(asked) if asked else []:
            if answer.offset > self._positions[answer.partition]:
                self._positions[answer.partition] = answer.offset
                self._heard = self._monotonic()
        return dict(self._positions)

    @property
    def silent(self) -> bool:
        """Whether nothing has moved for too long."""
        return self._monotonic() - self._heard > self._silence_s_max

    def _refuse(self, error: KafkaError) -> None:
        if error.retriable() or error.code() in {
            KafkaError._TRANSPORT,
            KafkaError._ALL_BROKERS_DOWN,
            KafkaError._TIMED_OUT,
            KafkaError._RESOLVE,
        }:
            return
        raise KafkaUnusable(f"reading {self.topic} from Kafka: {error.str()}; is the range still there?")


def read_ranges(
    kafka: Mapping[str, Any],
    topic: str,
    ranges: Mapping[int, tuple[int, int]],
    *,
    monotonic: Callable[[], float],
    silence_s_max: float = SILENCE_S_MAX,
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the visible records of offsets [start, end) of each partition, as (partition, batch).

    It ends when every position has reached its end, so that a marker as the last offset does not hold it up.
    """
    ends = {partition: end for partition, (start, end) in ranges.items() if start < end}
    starts = {partition: ranges[partition][0] for partition in ends}
    if not ends:
        return
    try:
        with RangeReader(kafka, topic, starts, monotonic=monotonic, silence_s_max=silence_s_max) as reader:
            while ends:
                for partition, batch in reader.poll():
                    below = int(np.searchsorted(batch.column("offset").to_numpy(), ends.get(partition, 0)))
                    if below:
                        yield partition, batch.slice(0, below)
                for partition, position in reader.positions().items():
                    if position >= ends.get(partition, position + 1):
                        del ends[partition]
                        reader.drop(partition)
                if ends and reader.silent:
                    left = ", ".join(f"{topic}/{p} at {o} of {ends[p]}" for p, o in reader.positions().items())
                    raise KafkaUnusable(f"reading from Kafka: nothing came for {silence_s_max:.0f} s; {left}")
    except KafkaException as error:
        raise KafkaUnusable(f"reading {topic} from Kafka: {error}; is the address right, and is Kafka up?") from error


def _batch(partition: int, messages: list[Message]) -> pa.RecordBatch:
    stamps = [message.timestamp() for message in messages]
    headers: list[Any] = [message.headers() for message in messages]
    return record_batch(
        [partition] * len(messages),
        [int(message.offset() or 0) for message in messages],
        [stamp[1] for stamp in stamps],
        [stamp[0] - 1 for stamp in stamps],  # the client counts the types from 0, Kafka from -1
        [message.key() for message in messages],
        [message.value() for message in messages],
        headers,
    )
