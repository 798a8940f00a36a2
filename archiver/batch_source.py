"""A Source that reads whole record batches: librdkafka keeps the place in the group, the batches are fetched here.

The partitions are assigned to librdkafka and paused, so that it never fetches: what it does for the group, for offsets
and for questions stays as it is in KafkaSource. Leader epochs are compared by the broker with each fetch (KIP-320's
comparison, as KIP-595 has it), so nothing of epoch_check.py is needed.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from confluent_kafka import KafkaError
from confluent_kafka import TopicPartition as KafkaPartition

from headrace.schemas.kafka_trouble import DENIED_ADVICE

from .batch_columns import BatchColumns, Fetched
from .broker_connection import BrokerConnection, tls_of
from .clock import Clock
from .fetch_protocol import Limits
from .fetch_state import Arrived
from .fetcher import Fetcher
from .kafka_source import OFFSET_LOST, POLL_BYTES, KafkaSource
from .record_batches import Batch, BatchDamaged
from .source import (
    Assignee,
    OffsetLost,
    Reached,
    Records,
    SourceError,
    SourceEvent,
    Start,
    TopicPartition,
    Unreadable,
)

GROUP_S = 0.1  # so often the group is looked after while nothing comes
GROUP_MESSAGES = 1_000
FETCH_BYTES, PARTITION_BYTES, WAIT_MS = 4 << 20, 1 << 20, 200
# librdkafka fetches nothing; should it do so between being assigned and being paused, then little.
_NO_FETCHING = {"queued.min.messages": 1, "queued.max.messages.kbytes": 64, "fetch.message.max.bytes": 1024}


class BatchSource(KafkaSource):
    """A KafkaSource that fetches for itself; see there for the arguments."""

    def __init__(
        self,
        config: Mapping[str, Any],
        topics: Sequence[str],
        assignee: Assignee,
        *,
        clock: Clock,
        warn: Callable[[str], None],
        poll_bytes: int = POLL_BYTES,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._columns = BatchColumns()
        self._called = False  # whether the group called the assignee in this poll
        context = tls_of(config)
        self._fetcher = Fetcher(
            str(config["bootstrap.servers"]),
            lambda broker: BrokerConnection(broker, config, context=context, random_bytes=random_bytes),
            limits_of(config),
            monotonic=clock.monotonic,
            warn=self._passing,
            denied=self._may_not_read,
        )
        settings = {name: value for name, value in config.items() if name not in _FETCH_NAMES}
        super().__init__({**settings, **_NO_FETCHING}, topics, assignee, clock=clock, warn=warn, poll_bytes=poll_bytes)

    # -- reading -----------------------------------------------------------------------------------------------------

    def poll(self, max_records: int, timeout_s: float) -> list[SourceEvent]:
        """Return what came, by whole record batches: the last one may be more than `max_records`."""
        self._care.look()
        self._called = False
        deadline_s = self._clock.monotonic() + timeout_s
        while True:
            events = self._look_after_group()
            if events or self._called:
                return events  # records of before a rebalance do not come together with those of after it
            self._fetcher.work(0)
            if events := self._taken(max_records):
                return events
            left_s = deadline_s - self._clock.monotonic()
            if left_s <= 0:
                return []
            self._fetcher.work(min(left_s, GROUP_S))

    def _look_after_group(self) -> list[SourceEvent]:
        """Serve the group's calls; return what there is to tell. Partitions are paused: of them nothing counts."""
        events: list[SourceEvent] = []
        for message in self._consumed(GROUP_MESSAGES, 0):
            error = message.error()
            if error is not None and error.code() not in OFFSET_LOST and error.code() != KafkaError._PARTITION_EOF:
                events += self._problem(message, error)
        return events

    def _taken(self, max_records: int) -> list[SourceEvent]:
        """Return what has been fetched, up to about so many records, or `poll_bytes`."""
        by_topic: dict[str, list[Fetched]] = defaultdict(list)
        told: list[SourceEvent] = []
        records = size = 0
        while records < max_records and size < self._poll_bytes:
            arrived = self._fetcher.take()
            if arrived is None:
                self._fetcher.work(0)
                if (arrived := self._fetcher.take()) is None:
                    break
            fetched = by_topic[arrived.partition.topic]
            for at, batch in enumerate(arrived.batches):
                if records >= max_records or size >= self._poll_bytes:
                    self._fetcher.put_back(replace(arrived, batches=arrived.batches[at:]))
                    break
                each = Fetched(arrived.partition.partition, arrived.floor, batch, self._body(arrived, batch))
                fetched.append(each)
                records += max(1, batch.records)
                size += len(each.body)
            else:
                told += _told(arrived)
        events: list[SourceEvent] = []
        for topic, fetched in by_topic.items():
            if fetched:
                found, unreadable = self._decoded(topic, fetched)
                events += [found] if found.batch.num_rows else []
                told = [*unreadable, *told]
        # Records first: what a problem cuts off came before it.
        return [*events, *told]

    def _body(self, arrived: Arrived, batch: Batch) -> memoryview:
        try:
            return batch.decompressed()
        except BatchDamaged as error:
            raise _damaged(arrived.partition.topic, arrived.partition.partition, error) from error

    def _decoded(self, topic: str, fetched: Sequence[Fetched]) -> tuple[Records, list[Unreadable]]:
        try:
            return self._columns.decode(topic, fetched)
        except BatchDamaged as error:
            numbers = sorted({each.partition for each in fetched})
            raise _damaged(topic, ", ".join(map(str, numbers)), error) from error

    def _may_not_read(self, partition: TopicPartition) -> None:
        told = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED).str()
        self._denied(
            f"consuming {partition.topic}/{partition.partition}: {told}; {DENIED_ADVICE}. Nothing is lost while Kafka "
            "keeps it"
        )

    def _passing(self, text: str) -> None:
        self._warn_once(f"Kafka at {self._bootstrap}: {text}")

    # -- where to read -----------------------------------------------------------------------------------------------

    def restart_at(self, starts: Mapping[TopicPartition, Start]) -> None:
        """Read from other offsets; the group is not concerned."""
        self._fetcher.assign({partition: start for partition, start in starts.items() if partition in self._fetcher})

    def _assign(self, starts: Mapping[TopicPartition, Start]) -> None:
        self._called = True
        partitions = [KafkaPartition(p.topic, p.partition, start.offset) for p, start in starts.items()]
        self._consumer.incremental_assign(partitions)
        if partitions:
            self._consumer.pause(partitions)
        self._fetcher.assign(starts)

    def _forget(self, partitions: Collection[KafkaPartition]) -> None:
        self._called = True
        self._fetcher.forget([TopicPartition(p.topic, p.partition) for p in partitions])

    def close(self) -> None:
        """Leave the group."""
        super().close()
        self._fetcher.close()


_FETCH_NAMES = (
    *("queued.min.messages", "queued.max.messages.kbytes", "fetch.max.bytes", "fetch.message.max.bytes"),
    *("max.partition.fetch.bytes", "receive.message.max.bytes"),
)


def limits_of(config: Mapping[str, Any]) -> Limits:
    """Return what an answer may bring, as librdkafka's settings have it."""
    partition = config.get("fetch.message.max.bytes", config.get("max.partition.fetch.bytes", PARTITION_BYTES))
    return Limits(
        int(config.get("fetch.wait.max.ms", WAIT_MS)), int(config.get("fetch.max.bytes", FETCH_BYTES)), int(partition)
    )


def _told(arrived: Arrived) -> list[SourceEvent]:
    """Return what there is to tell of a partition behind its records."""
    if arrived.lost is not None:
        return [OffsetLost(arrived.partition, arrived.lost)]
    return [] if arrived.end is None else [Reached(arrived.partition, arrived.end)]


def _damaged(topic: str, partitions: object, error: BatchDamaged) -> SourceError:
    return SourceError(f"reading {topic}/{partitions}: {error}; are network and disk sound?")
