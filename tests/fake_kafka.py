"""A Kafka in memory with one-member groups, for tests of the archiver's decisions: no threads, no waiting.

It does what archiver/source.py states; tests/integration show that the real Kafka does the same where it matters.
"""

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from headrace.archiver.records import record_batch
from headrace.archiver.source import (
    NO_NOTES,
    Assignee,
    OffsetLost,
    Reached,
    Records,
    SourceEvent,
    Start,
    TopicPartition,
)

Value = bytes | None


@dataclass
class FakeLog:
    """One partition: `slots` by offset; a slot without a record is a marker or compacted away."""

    start: int = 0
    end: int = 0
    epoch: int = 0
    slots: dict[int, Value] = field(default_factory=dict)

    def write(self, *values: Value) -> None:
        for value in values:
            self.slots[self.end] = value
            self.end += 1

    def marker(self, count: int = 1) -> None:
        self.end += count

    def retain_from(self, offset: int) -> None:
        self.start = offset
        self.end = max(self.end, offset)
        self.slots = {at: value for at, value in self.slots.items() if at >= offset}

    def truncate_to(self, offset: int) -> None:
        self.end = offset
        self.epoch += 1
        self.slots = {at: value for at, value in self.slots.items() if at < offset}


class FakeKafka:
    """Topics with ids; a topic that is made again has a new one."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self.topics: dict[str, list[FakeLog]] = {}
        self.ids: dict[str, str] = {}

    def create(self, topic: str, partitions: int = 1) -> list[FakeLog]:
        self.topics[topic] = [FakeLog() for _ in range(partitions)]
        self.ids[topic] = f"id-{next(self._ids)}"
        return self.topics[topic]

    def delete(self, topic: str) -> None:
        del self.topics[topic], self.ids[topic]

    def log(self, partition: TopicPartition) -> FakeLog:
        return self.topics[partition.topic][partition.partition]


class FakeSource:
    """One member. The test says when partitions are assigned, revoked and lost; poll() hands records out."""

    def __init__(self, kafka: FakeKafka, assignee: Assignee) -> None:
        self.kafka = kafka
        self.assignee = assignee
        self.reading: dict[TopicPartition, int] = {}
        self.told_end: set[TopicPartition] = set()
        self.committed: dict[TopicPartition, int] = {}
        self.notes: dict[TopicPartition, str] = {}
        self.pending_calls: list[tuple[str, list[TopicPartition]]] = []
        self.stale: list[SourceEvent] = []
        self.closed = False

    def give(self, *partitions: TopicPartition) -> None:
        """Assign at the next poll."""
        self.pending_calls.append(("assigned", list(partitions)))

    def take(self, *partitions: TopicPartition, how: str = "revoked") -> None:
        """Revoke (or `how="lost"`) at the next poll."""
        self.pending_calls.append((how, list(partitions)))

    def cluster_id(self) -> str:
        return "cluster-1"

    def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        return {topic: self.kafka.ids[topic] for topic in topics if topic in self.kafka.ids}

    def log_ranges(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        return {p: (self.kafka.log(p).start, self.kafka.log(p).end) for p in partitions}

    def poll(self, max_records: int, timeout_s: float) -> list[SourceEvent]:
        del timeout_s
        for call, partitions in self.pending_calls:
            if call == "assigned":
                self.restart_at(self.assignee.assigned(partitions), assign=True)
            else:
                getattr(self.assignee, call)(partitions)
                for partition in partitions:
                    self.reading.pop(partition, None)
        self.pending_calls.clear()
        events, self.stale = self.stale, []
        for partition in sorted(self.reading):
            if partition.topic in self.kafka.topics:
                events.extend(self._read(partition, max_records))
        return events

    def _read(self, partition: TopicPartition, max_records: int) -> list[SourceEvent]:
        log, position = self.kafka.log(partition), self.reading[partition]
        if not log.start <= position <= log.end:
            del self.reading[partition]
            return [OffsetLost(partition, "Broker: Offset out of range")]
        offsets = sorted(at for at in log.slots if at >= position)[:max_records]
        events: list[SourceEvent] = []
        if offsets:
            count = len(offsets)
            batch = record_batch(
                [partition.partition] * count,
                offsets,
                [1_700_000_000_000] * count,
                [0] * count,
                [None] * count,
                [log.slots[at] for at in offsets],
                [None] * count,
            )
            events.append(Records(partition.topic, batch, {partition.partition: log.epoch}))
            self.reading[partition] = offsets[-1] + 1
            self.told_end.discard(partition)
        if not any(at >= self.reading[partition] for at in log.slots) and partition not in self.told_end:
            self.reading[partition] = log.end
            self.told_end.add(partition)
            events.append(Reached(partition, log.end))
        return events

    def restart_at(self, starts: Mapping[TopicPartition, Start], *, assign: bool = False) -> None:
        del assign
        for partition, start in starts.items():
            self.reading[partition] = start.offset
            self.told_end.discard(partition)

    def commit_offsets(
        self, offsets: Mapping[TopicPartition, int], notes: Mapping[TopicPartition, str] = NO_NOTES
    ) -> None:
        self.committed.update(offsets)
        self.notes.update(notes)

    def close(self) -> None:
        self.assignee.revoked(sorted(self.reading))
        self.reading.clear()
        self.closed = True
