"""A Kafka in memory with all of its history: what the simulation archives from, and what its checker holds against it.

A partition's log is a list of slots, one an offset, which never changes its past: deleting moves the log's start,
compaction marks slots, a truncation begins another branch and keeps the old one. tests/contract/test_source.py shows
that the real Kafka does what is stated here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from headrace.archiver.source import TopicPartition


class Slot(NamedTuple):
    """What was written at an offset. `txn` None: outside of transactions. `marker`: ends the transaction `txn`."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp: int
    txn: int | None = None
    marker: bool = False
    unreadable: bool = False


@dataclass
class Branch:
    """One history of a partition: offsets 0..len(slots). Shares its beginning with the branch that it came from.

    `epochs`: (leader epoch, its first offset). `decided`: whether each finished transaction committed.
    """

    number: int
    slots: list[Slot] = field(default_factory=list)
    epochs: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])
    decided: dict[int, bool] = field(default_factory=dict)
    compacted: set[int] = field(default_factory=set)

    @property
    def end(self) -> int:
        return len(self.slots)

    @property
    def epoch(self) -> int:
        return self.epochs[-1][0]

    def epoch_at(self, offset: int) -> int:
        """Return the leader epoch in which an offset was written."""
        for epoch, start in reversed(self.epochs):
            if start <= offset:
                return epoch
        return -1

    def end_of_epoch(self, epoch: int, log_start: int) -> int:
        """Answer OffsetForLeaderEpoch: where the newest epoch that is not above `epoch` ends, as far as is known.

        Epochs of which retention has deleted everything are forgotten; an older one "ends" where the log starts.
        """
        for _, start in ((e, s) for e, s in self.epochs if e > epoch):
            return max(start, log_start)
        return self.end

    @property
    def last_stable(self) -> int:
        """The first offset of an open transaction, or the end."""
        if not self.open_txns:
            return self.end
        return min(self.open_txns.values())

    open_txns: dict[int, int] = field(default_factory=dict)  # txn -> its first offset

    def visible(self, offset: int) -> bool:
        """Whether a read_committed consumer is given this offset (compaction and retention aside)."""
        slot = self.slots[offset]
        return not slot.marker and (slot.txn is None or self.decided.get(slot.txn, False))


@dataclass
class Partition:
    """A partition of one incarnation of a topic: its branches, the newest of which is the log."""

    log_start: int = 0
    branches: list[Branch] = field(default_factory=lambda: [Branch(0)])
    cuts: list[int] = field(default_factory=list)
    starts: set[int] = field(default_factory=set)  # where the log has started, once retention deleted something

    @property
    def log(self) -> Branch:
        return self.branches[-1]

    def append(self, slot: Slot) -> int:
        """Write one slot and return its offset. A marker's transaction is decided by decide()."""
        log = self.log
        if slot.txn is not None and not slot.marker:
            log.open_txns.setdefault(slot.txn, log.end)
        log.slots.append(slot)
        return log.end - 1

    def decide(self, txn: int, commit: bool) -> None:
        """End a transaction with its marker."""
        log = self.log
        del log.open_txns[txn]
        log.decided[txn] = commit
        self.append(Slot(None, None, (), -1, txn, marker=True))

    def retain(self, offset: int) -> None:
        """Delete what lies before an offset."""
        self.log_start = offset
        self.starts.add(offset)

    def new_epoch(self) -> None:
        """Another leader, with the same records."""
        self._begin_epoch(self.log, self.log.epoch + 1)

    @staticmethod
    def _begin_epoch(log: Branch, epoch: int) -> None:
        if log.epochs[-1][1] == log.end:
            log.epochs.pop()  # nothing was written in it
        log.epochs.append((epoch, log.end))

    def truncate(self, offset: int) -> None:
        """An unclean election: the records from `offset` on are lost. Transactions decided there are so again."""
        old = self.log
        self.cuts.append(offset)
        new = Branch(
            number=old.number + 1,
            slots=old.slots[:offset],
            epochs=[(epoch, start) for epoch, start in old.epochs if start < offset] or [(0, 0)],
            compacted={at for at in old.compacted if at < offset},
        )
        self._begin_epoch(new, old.epoch + 1)
        first: dict[int, int] = {}
        for at, slot in enumerate(new.slots):
            if slot.txn is not None:
                if slot.marker:
                    new.decided[slot.txn] = old.decided[slot.txn]
                    first.pop(slot.txn, None)
                else:
                    first.setdefault(slot.txn, at)
        new.open_txns = first
        self.branches.append(new)
        # The coordinator still knows what it had decided, and writes the lost markers again.
        for txn in list(first):
            if txn in old.decided:
                self.decide(txn, old.decided[txn])


@dataclass
class Topic:
    """One incarnation of a topic."""

    topic_id: str
    partitions: list[Partition]


class SimKafka:
    """Topics by name; `incarnations` keeps the deleted ones too, by topic id."""

    def __init__(self) -> None:
        self.topics: dict[str, Topic] = {}
        self.incarnations: dict[str, Topic] = {}
        self.down = False
        self.group_offsets: dict[TopicPartition, int] = {}

    def create(self, name: str, partitions: int) -> Topic:
        topic = Topic(f"{name}-id{len(self.incarnations) + 1}", [Partition() for _ in range(partitions)])
        self.topics[name] = self.incarnations[topic.topic_id] = topic
        return topic

    def delete(self, name: str) -> None:
        del self.topics[name]

    def partition(self, topic: str, number: int) -> Partition | None:
        found = self.topics.get(topic)
        return found.partitions[number] if found is not None and number < len(found.partitions) else None

    def all_partitions(self) -> Iterator[tuple[str, int]]:
        """Yield (topic, partition) of all that exist now."""
        for name, topic in self.topics.items():
            for number in range(len(topic.partitions)):
                yield name, number
