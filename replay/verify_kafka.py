"""Compares the archive with Kafka itself, record by record, as far as Kafka still has the range.

First one pass over each side makes a digest for each partition; only where these differ the records are laid side by
side, to say which are missing, extra or different. Memory is bounded by a flush and a fetch.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.archiver.group_offsets import committed_offsets
from headrace.archiver.kafka_admin import KafkaAdmin, LogEnds
from headrace.archiver.kafka_metadata import KafkaMetadata
from headrace.archiver.log_entries import Gap
from headrace.archiver.log_state import LogState, PartitionState
from headrace.archiver.object_store import ObjectStore
from headrace.archiver.part_digest import PartDigest
from headrace.archiver.records import RECORD_SCHEMA
from headrace.archiver.source import TopicPartition

from .errors import KafkaUnusable, RequestRefused
from .findings import Finding, KafkaCompared, VerifyReport
from .kafka_range import read_ranges
from .kafka_target import Clock, topic_config
from .plan import make_plan
from .reader import Reading
from .removed import Removed
from .selection import Selection

Range = tuple[int, int]
REPORT_BUG = "keep Kafka's retention long enough to look into it, and report this as a bug"


def compare_with_kafka(
    store: ObjectStore,
    state: LogState,
    kafka: Mapping[str, Any],
    *,
    group: str,
    clock: Clock,
    report: VerifyReport,
    on_progress: Callable[[int], None] = lambda _records: None,
) -> None:
    """Compare the newest identities with Kafka; add to `report` what was compared and what differs.

    `on_progress` gets the number of records read from Kafka. Raises RequestRefused when this is another cluster than
    the archive's, KafkaUnusable, SourceError, and what reading the archive raises.
    """
    report.kafka = KafkaCompared()
    metadata = KafkaMetadata(kafka)
    admin = KafkaAdmin(kafka, pause=clock.pause, monotonic=clock.monotonic)
    cluster_id = metadata.cluster_id()
    if cluster_id != state.cluster_id:
        message = f"the log of {state.topic} belongs to Kafka cluster {state.cluster_id}; this is {cluster_id}"
        raise RequestRefused(f"{message}: name the right one by --kafka")
    if metadata.topic_ids([state.topic]).get(state.topic) != state.topic_id:
        return  # deleted, or made again: Kafka has nothing of what is archived
    archived = {each.identity.partition: each for each in state.partitions()}
    report.kafka.ranges = _ranges(state.topic, archived, admin)
    _check_committed(state, archived, report, kafka=kafka, group=group, pause=clock.pause)
    if not report.kafka.ranges:
        return
    compacted = "compact" in topic_config(kafka, state.topic)["cleanup.policy"]
    removed = {p: _removed(report, each) for p, each in archived.items()}
    erased = {
        p: [Gap(*pair, "erased") for r in each if r.what == "erased" for pair in r.offsets]
        for p, each in removed.items()
    }
    sides = _Sides(store, state, kafka, clock, {p: (*each.gaps, *erased[p]) for p, each in archived.items()})
    differing = sides.differing(report.kafka, on_progress)
    for partition in differing:
        found = sides.differences(partition, report.kafka.ranges[partition])
        found.forget_expired(removed[partition])
        report.kafka.records += found.equal
        report.findings += found.findings(f"{state.topic}/{partition}", compacted=compacted)


def _removed(report: VerifyReport, at: PartitionState) -> list[Removed]:
    own = at.identity
    return [
        r for r in report.removed if (r.topic_id, r.partition, r.lineage) == (own.topic_id, own.partition, own.lineage)
    ]


def _ranges(topic: str, archived: Mapping[int, PartitionState], admin: KafkaAdmin) -> dict[int, Range]:
    """Return what both sides have: partition -> offsets [from, to), without the empty ones."""
    ranges: dict[int, Range] = {}
    for where, ends in admin.log_ends([TopicPartition(topic, partition) for partition in archived]).items():
        if not isinstance(ends, LogEnds):
            raise KafkaUnusable(f"asking Kafka how far {topic}/{where.partition} is: {ends}; try again")
        own = archived[where.partition]
        start, end = max(own.origin, ends.log_start), min(own.next, ends.last_stable)
        if start < end:
            ranges[where.partition] = (start, end)
    return ranges


def _check_committed(
    state: LogState,
    archived: Mapping[int, PartitionState],
    report: VerifyReport,
    *,
    kafka: Mapping[str, Any],
    group: str,
    pause: Callable[[float], None],
) -> None:
    """The group's offset in Kafka may lag behind the log, and must never be ahead of it."""
    asked = [TopicPartition(state.topic, partition) for partition in archived]
    for where, said in committed_offsets(kafka, group, asked, pause=pause).items():
        own = archived[where.partition]
        if said.offset > own.next:
            what = f"group {group} has committed offset {said.offset} in Kafka, the archive's next is {own.next}"
            advice = "is this the archive that the group archives to? If so, log entries were lost: restore them"
            report.findings.append(Finding(f"{state.topic}/{where.partition}", what, advice))


@dataclass(slots=True)
class _Found:
    """What laying the records of one partition side by side gave: offsets."""

    equal: int = 0
    missing: list[int] = field(default_factory=list)
    extra: list[int] = field(default_factory=list)
    different: list[tuple[int, str]] = field(default_factory=list)

    def forget_expired(self, removed: Iterable[Removed]) -> None:
        """Take out what Kafka still has of records that expired here: as many as the log says, where it says."""
        for each in removed:
            if each.what != "expired":
                continue
            ((first, end),) = each.offsets
            inside = [offset for offset in self.missing if first <= offset < end]
            if len(inside) <= each.rows:
                self.missing = [offset for offset in self.missing if not first <= offset < end]

    def findings(self, where: str, *, compacted: bool) -> Iterator[Finding]:
        """Yield one finding for each kind of difference. Compaction may have removed what is archived."""
        if self.missing:
            what = f"{len(self.missing)} records are in Kafka and not in the archive, the first at offset "
            yield Finding(where, f"{what}{self.missing[0]}", REPORT_BUG)
        if self.extra and not compacted:
            what = f"{len(self.extra)} records are in the archive and not in Kafka, the first at offset "
            yield Finding(where, f"{what}{self.extra[0]}", REPORT_BUG)
        if self.different:
            offset, names = self.different[0]
            what = f"{len(self.different)} records differ from Kafka's, the first at offset {offset} in {names}"
            yield Finding(where, what, REPORT_BUG)


class _Sides:
    """Reads the same ranges of the archive and of Kafka."""

    def __init__(
        self,
        store: ObjectStore,
        state: LogState,
        kafka: Mapping[str, Any],
        clock: Clock,
        gaps: Mapping[int, tuple[Gap, ...]],
    ) -> None:
        self._store = store
        self._state = state
        self._kafka = kafka
        self._clock = clock
        self._gaps = gaps

    def differing(self, compared: KafkaCompared, on_progress: Callable[[int], None]) -> list[int]:
        """Return the partitions whose records are not all equal; the records of the others are counted as equal."""
        ours = {partition: PartDigest() for partition in compared.ranges}
        theirs = {partition: PartDigest() for partition in compared.ranges}
        for partition, batch in self._archive(compared.ranges):
            ours[partition].update(batch)
        read = 0
        for partition, batch in self._from_kafka(compared.ranges):
            theirs[partition].update(batch)
            read += batch.num_rows
            on_progress(read)
        differing = [p for p in compared.ranges if ours[p].hexdigest() != theirs[p].hexdigest()]
        compared.records += sum(ours[p].rows for p in compared.ranges if p not in differing)
        return differing

    def differences(self, partition: int, range_: Range) -> _Found:
        """Lay the records of a partition side by side."""
        found = _Found()
        empty = pa.RecordBatch.from_pylist([], schema=RECORD_SCHEMA)
        ours = (batch for _, batch in self._archive({partition: range_}))
        theirs = (batch for _, batch in self._from_kafka({partition: range_}))
        one, other = next(ours, None), next(theirs, None)
        while one is not None or other is not None:
            cut = min(_last(batch) for batch in (one, other) if batch is not None)
            own, one = _split(one, cut)
            foreign, other = _split(other, cut)
            _compare(own or empty, foreign or empty, found)
            one = one or next(ours, None)
            other = other or next(theirs, None)
        return found

    def _archive(self, ranges: Mapping[int, Range]) -> Iterator[tuple[int, pa.RecordBatch]]:
        selection = Selection(partitions=tuple(sorted(ranges)))
        if len(ranges) == 1:
            ((start, end),) = ranges.values()
            selection = Selection(partitions=tuple(ranges), start=start, end=end)
        plan = make_plan(self._state, selection)
        if plan.parts == 0:
            return
        for chunk in Reading(self._store, plan).chunks():
            low, high = ranges[chunk.partition]
            offsets = chunk.records.column("offset").to_numpy()
            keep = (offsets >= low) & (offsets < high)
            if keep.any():
                yield chunk.partition, chunk.records if keep.all() else chunk.records.filter(pa.array(keep))

    def _from_kafka(self, ranges: Mapping[int, Range]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield Kafka's records, without those in recorded gaps: that these are not archived is known."""
        topic, clock = self._state.topic, self._clock
        for partition, batch in read_ranges(self._kafka, topic, ranges, monotonic=clock.monotonic):
            offsets = batch.column("offset").to_numpy()
            keep = np.ones(len(offsets), bool)
            for gap in self._gaps[partition]:
                keep &= (offsets < gap.start) | (offsets >= (gap.start if gap.end is None else gap.end))
            if keep.any():
                yield partition, batch if keep.all() else batch.filter(pa.array(keep))


def _last(batch: pa.RecordBatch) -> int:
    return int(batch.column("offset")[-1].as_py())


def _split(batch: pa.RecordBatch | None, cut: int) -> tuple[pa.RecordBatch | None, pa.RecordBatch | None]:
    """Split at offset `cut`, which goes to the first part; None stands for no rows."""
    if batch is None:
        return None, None
    below = int(np.searchsorted(batch.column("offset").to_numpy(), cut, side="right"))
    return (batch.slice(0, below) if below else None), (batch.slice(below) if below < batch.num_rows else None)


def _compare(ours: pa.RecordBatch, theirs: pa.RecordBatch, found: _Found) -> None:
    own, foreign = ours.column("offset").to_numpy(), theirs.column("offset").to_numpy()
    found.missing += np.setdiff1d(foreign, own, assume_unique=True).tolist()
    found.extra += np.setdiff1d(own, foreign, assume_unique=True).tolist()
    ours = ours.filter(pa.array(np.isin(own, foreign)))
    theirs = theirs.filter(pa.array(np.isin(foreign, own)))
    if ours.equals(theirs):
        found.equal += ours.num_rows
        return
    for one, other in zip(ours.to_pylist(), theirs.to_pylist(), strict=True):
        names = [name for name in one if one[name] != other[name]]
        if names:
            found.different.append((one["offset"], ", ".join(names)))
        else:
            found.equal += 1
