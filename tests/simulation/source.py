"""A Source on the simulated Kafka: what archiver/source.py states, with all the freedom that it leaves.

It does what KafkaSource on librdkafka does: tests/contract/test_source.py holds both to the same statements.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from headrace.archiver.source import (
    NO_NOTES,
    Assignee,
    OffsetLost,
    Reached,
    Records,
    SourceError,
    SourceEvent,
    SourceFenced,
    Start,
    TopicPartition,
    Unreadable,
)

from .codec import batch_of
from .group import Group, Member
from .kafka import Partition, SimKafka, Slot
from .scheduler import Scheduler

CLUSTER_ID = "sim-cluster"

Taken = list[tuple[int, int, int, Slot]]  # (partition, offset, leader epoch, slot)
OnCommit = Callable[[Mapping[TopicPartition, int]], None]


@dataclass
class Reading:
    """Where a partition is read. `epoch` of the last thing read, -1 not known; `unvalidated`: to be compared first."""

    position: int
    epoch: int
    unvalidated: bool
    log_epoch: int = -1
    told_end: int = -1


class SimSource:
    """One member of the group. Every call comes back to the hub, so that anything may happen in between."""

    def __init__(
        self,
        scheduler: Scheduler,
        kafka: SimKafka,
        group: Group,
        assignee: Assignee,
        *,
        instance: str | None,
        on_commit: OnCommit,
    ) -> None:
        self._scheduler = scheduler
        self._kafka = kafka
        self._group = group
        self._assignee = assignee
        self._instance = instance
        self.member: Member = group.join(instance)
        self.reading: dict[TopicPartition, Reading] = {}
        self._on_commit = on_commit
        self.stale = 0.25  # how often records fetched before a rebalance come after it

    # -- questions -----------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        self._scheduler.step()
        if self._kafka.down:
            self._scheduler.count("kafka: no answer")
            raise SourceError("simulated: no broker answers")

    def cluster_id(self) -> str:
        self._ask()
        return CLUSTER_ID

    def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        if topics:
            self._ask()
        return {name: topic.topic_id for name, topic in self._kafka.topics.items() if name in topics}

    def log_ranges(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        self._ask()
        found: dict[TopicPartition, tuple[int, int]] = {}
        for where in partitions:
            partition = self._kafka.partition(*where)
            if partition is None:
                raise SourceError(f"simulated: {where} does not exist")
            found[where] = (partition.log_start, partition.log.last_stable)
        self._scheduler.step()  # the answer is on its way: it may be old when it comes
        return found

    def date_ends(self, topic: str, timestamp_ms: int) -> dict[int, int | None]:
        """Answer ListOffsets by timestamp: see sealing.DateEnds."""
        self._ask()
        found = self._kafka.topics.get(topic)
        if found is None:
            raise SourceError(f"simulated: {topic} does not exist")
        return {number: _end_of_date(each, timestamp_ms) for number, each in enumerate(found.partitions)}

    # -- poll ----------------------------------------------------------------------------------------------------------

    def poll(self, max_records: int, timeout_s: float) -> list[SourceEvent]:
        self._scheduler.step()
        taken: dict[str, Taken] = {}
        others: list[SourceEvent] = []
        if self.member.fenced:
            raise SourceFenced("simulated: another member has this instance id")
        if not self._kafka.down:
            if self._scheduler.chance(self.stale):
                self._fetch(taken, others, max_records)
            self._rebalance()
            self._fetch(taken, others, max_records)
        events: list[SourceEvent] = []
        for topic, found in taken.items():
            records = _records(topic, [each for each in found if not each[3].unreadable])
            if records is not None:
                events.append(records)
        for topic, found in taken.items():
            events += [
                Unreadable(TopicPartition(topic, p), o, "simulated") for p, o, _, slot in found if slot.unreadable
            ]
        events += others
        if not events:
            self._scheduler.sleep(timeout_s)
        return events

    def _rebalance(self) -> None:
        group, member = self._group, self.member
        if not member.alive:
            lost = sorted(self.reading)
            self._scheduler.count("group: lost")
            self.reading.clear()
            member.owned.clear()
            if lost:
                self._assignee.lost(lost)
            self.member = group.join(self._instance)
            return
        if going := group.to_revoke(member):
            self._scheduler.count("group: revoked")
            self._assignee.revoked(going)
            for partition in going:
                self.reading.pop(partition, None)
            group.revoked(member, going)
        if member.alive and not member.fenced and (coming := group.to_assign(member)):
            self._scheduler.count("group: assigned")
            group.assigned(member, coming)
            self._assign(self._assignee.assigned(coming))

    def _fetch(self, taken: dict[str, Taken], others: list[SourceEvent], max_records: int) -> None:
        for where in sorted(self.reading):
            partition = self._kafka.partition(*where)
            if partition is not None:
                self._fetch_one(where, partition, taken, others, max_records)

    def _fetch_one(
        self,
        where: TopicPartition,
        partition: Partition,
        taken: dict[str, Taken],
        others: list[SourceEvent],
        max_records: int,
    ) -> None:
        at, log = self.reading[where], partition.log
        # The client compares epochs when it begins with one, and again whenever the leader's epoch has changed.
        compares = at.epoch >= 0 and (at.unvalidated or at.log_epoch not in (-1, log.epoch))
        if compares and (end := log.end_of_epoch(at.epoch, partition.log_start)) < at.position:
            del self.reading[where]
            detail = f"simulated: log truncated at {at.position}: broker end offset is {end}"
            others.append(OffsetLost(where, detail))
            return
        at.unvalidated, at.log_epoch = False, log.epoch
        if not partition.log_start <= at.position <= log.end:
            del self.reading[where]
            others.append(OffsetLost(where, "simulated: offset out of range"))
            return
        stable = log.last_stable
        room = 1 + int(self._scheduler.random.random() * 12)
        found = taken.get(where.topic) or []
        while at.position < stable and room and max_records:
            offset = at.position
            at.position += 1
            at.epoch = log.epoch_at(offset)
            if log.visible(offset) and offset not in log.compacted:
                found.append((where.partition, offset, at.epoch, log.slots[offset]))
                room -= 1
        if found:
            taken[where.topic] = found
        if at.position == stable and at.told_end != stable:
            at.told_end = stable
            others.append(Reached(where, stable))

    # -- the rest ------------------------------------------------------------------------------------------------------

    def restart_at(self, starts: Mapping[TopicPartition, Start]) -> None:
        self._scheduler.step()
        self._assign({p: start for p, start in starts.items() if p in self.member.owned})

    def _assign(self, starts: Mapping[TopicPartition, Start]) -> None:
        for partition, start in starts.items():
            validate = start.leader_epoch >= 0 and start.offset > 0
            self.reading[partition] = Reading(start.offset, start.leader_epoch if validate else -1, validate)

    def commit_offsets(
        self, offsets: Mapping[TopicPartition, int], notes: Mapping[TopicPartition, str] = NO_NOTES
    ) -> None:
        del notes
        self._on_commit(offsets)
        self._scheduler.step()
        if not self._kafka.down and self.member.alive and not self.member.fenced:
            self._kafka.group_offsets.update(offsets)

    def close(self) -> None:
        self._scheduler.step()
        if self.member.fenced or not self.member.alive:
            return
        if held := sorted(self.reading):
            self._assignee.revoked(held)
        self.reading.clear()
        self._group.leave(self.member)


def _end_of_date(partition: Partition, timestamp_ms: int) -> int | None:
    log = partition.log
    for offset in range(partition.log_start, log.end):
        if log.slots[offset].timestamp >= timestamp_ms and offset not in log.compacted:
            return offset
    return None if log.open_txns else log.end


def _records(topic: str, taken: Taken) -> Records | None:
    if not taken:
        return None
    batch = batch_of([(p, offset, s.timestamp, s.key, s.value, s.headers) for p, offset, _, s in taken])
    return Records(topic, batch, {partition: epoch for partition, _, epoch, _ in taken})
