"""Decides what a replay reads: which identities and offsets, which files and parts, and in which order. Pure.

A replay reads *units*, one after the other: sets of files that must be read together. The rows of a partition may lie
in several files of one commit, one a date, their offsets interleaved; such files are one unit, and its rows are merged.
Between units the offsets of each partition only rise. Within one, merging.py reads a file after the other.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from headrace.archiver.log_entries import Gap, PartEntry
from headrace.archiver.log_removals import Removal
from headrace.archiver.log_state import CommittedFile, Identity, LogState, PartitionState

from .errors import ArchiveDamaged, RangeMissing
from .selection import Selection


@dataclass(frozen=True, slots=True)
class PartitionRange:
    """The offsets [start, end) of one identity that a plan covers, and the recorded gaps in them.

    `removals`: what was erased or expired there, as far as the state tells (removed.py knows more). `origin` and
    `next` say what the archive has of it.
    """

    identity: Identity
    start: int
    end: int
    origin: int
    next: int
    gaps: tuple[Gap, ...]
    removals: tuple[Removal, ...] = ()


@dataclass(frozen=True, slots=True)
class FileRead:
    """One file to read, and those of its parts that are wanted."""

    committed: CommittedFile
    parts: tuple[PartEntry, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """Files whose rows interleave, to be read together and merged by offset."""

    files: tuple[FileRead, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a replay will read. `parts`, `rows` and `bytes` count what is fetched and checked.

    `rows` is also the number of records that come out (`counted`), unless offsets cut a part, or times, keys or columns
    filter.
    """

    topic: str
    snapshot: int
    head_sha256: str
    selection: Selection
    ranges: tuple[PartitionRange, ...]
    units: tuple[Unit, ...]
    parts: int
    rows: int
    bytes: int
    counted: bool

    def range_of(self, partition: int) -> PartitionRange:
        """Return a partition's range. Raises KeyError when the plan does not cover it."""
        for covered in self.ranges:
            if covered.identity.partition == partition:
                return covered
        raise KeyError(partition)

    @property
    def files(self) -> int:
        """How many files are read."""
        return sum(len(unit.files) for unit in self.units)

    def gaps(self) -> Iterator[tuple[Identity, Gap]]:
        """Yield the recorded gaps in the selection."""
        for covered in self.ranges:
            for gap in covered.gaps:
                yield covered.identity, gap


def make_plan(state: LogState, selection: Selection) -> Plan:
    """Plan a replay of what `selection` names in a snapshot.

    Raises RangeMissing, naming what the archive has, and ArchiveDamaged for a log that cannot be planned from.
    """
    ranges = tuple(_range(state, chosen, selection) for chosen in _chosen(state, selection))
    _refuse_expired(state, selection)
    reads = _reads(state, {covered.identity: covered for covered in ranges}, selection)
    parts = [part for read in reads for part in read.parts]
    bounds = {covered.identity.partition: covered for covered in ranges}
    cut = any(part.first < bounds[part.partition].start or part.last >= bounds[part.partition].end for part in parts)
    return Plan(
        topic=state.topic,
        snapshot=state.seq,
        head_sha256=state.head_sha256,
        selection=selection,
        ranges=ranges,
        units=_units(reads),
        parts=len(parts),
        rows=sum(part.rows for part in parts),
        bytes=sum(read.committed.file.bytes for read in reads),
        counted=not cut and not selection.filters_records,
    )


def plan_everything(state: LogState) -> tuple[Unit, ...]:
    """Return units over every file of a snapshot, of all identities: what a full check reads."""
    return _units([FileRead(committed, committed.file.parts) for committed in state.files.values()])


# -- which offsets -----------------------------------------------------------------------------------------------------


def _chosen(state: LogState, selection: Selection) -> list[PartitionState]:
    topic_id = state.topic_id if selection.topic_id is None else selection.topic_id
    known = sorted({identity.topic_id for identity in state.identities})
    if topic_id not in known:
        raise RangeMissing(f"topic id {topic_id!r} of {state.topic} is not in the archive, which has {_listed(known)}")
    present = sorted({identity.partition for identity in state.identities if identity.topic_id == topic_id})
    wanted = sorted(set(selection.partitions)) or present
    chosen = []
    for partition in wanted:
        if partition not in present:
            message = f"partition {partition} of {state.topic} is not in the archive, which has partitions "
            raise RangeMissing(message + _listed(present))
        newest = state.newest(partition, topic_id)
        if selection.lineage is None:
            found = newest
        else:
            found = state.identities.get(Identity(topic_id, partition, selection.lineage))
        if found is None or newest is None:
            last = "none" if newest is None else f"0 to {newest.identity.lineage}"
            message = (
                f"lineage {selection.lineage} of {state.topic}/{partition} is not in the archive, which has {last}"
            )
            raise RangeMissing(message)
        chosen.append(found)
    return chosen


def _listed(items: list[str] | list[int]) -> str:
    return ", ".join(str(item) for item in items) or "none"


def _range(state: LogState, archived: PartitionState, selection: Selection) -> PartitionRange:
    identity = archived.identity
    asked_start, asked_end = selection.bounds(identity.partition)
    start = archived.origin if asked_start is None else asked_start
    end = archived.next if asked_end is None else asked_end
    if start < archived.origin or end > archived.next or start > end:
        to_end = "its end" if asked_end is None else str(end)
        raise RangeMissing(
            f"offsets {start} to {to_end} of {state.topic}/{identity.partition} are not all in the archive, which has "
            f"[{archived.origin}, {archived.next}) at snapshot {state.seq}; choose within it"
        )
    # A gap without an end begins where the identity ends: it belongs to a selection that reaches that far.
    gaps = tuple(
        gap for gap in archived.gaps if (gap.start <= end if gap.end is None else gap.start < end and gap.end > start)
    )
    removals = tuple(
        each for each in state.removals if Identity(*each.of) == identity and each.first < end and each.last >= start
    )
    return PartitionRange(identity, start, end, archived.origin, archived.next, gaps, removals)


def _refuse_expired(state: LogState, selection: Selection) -> None:
    """A date that is named, and that expired, is not to be taken for one without records."""
    for date in sorted(set(selection.dates) & state.expired.keys()):
        if not any(True for _ in state.files.select(dates=[date])):
            raise RangeMissing(
                f"dt {date} of {state.topic} expired, by entry {state.expired[date]} of its log: nothing of it is left "
                "in the archive; leave it out"
            )


# -- which files -------------------------------------------------------------------------------------------------------


def _reads(state: LogState, ranges: dict[Identity, PartitionRange], selection: Selection) -> list[FileRead]:
    reads = []
    for committed in state.files.select(dates=selection.dates):
        parts = tuple(part for part in committed.file.parts if _wanted(state, committed, part, ranges))
        if parts:
            reads.append(FileRead(committed, parts))
    return reads


def _wanted(state: LogState, committed: CommittedFile, part: PartEntry, ranges: dict[Identity, PartitionRange]) -> bool:
    lineage = committed.lineages.get(part.partition)
    if lineage is None:
        where = f"entry {committed.seq} of {state.topic}, file {committed.file.key}"
        raise ArchiveDamaged(f"{where}: does not say which lineage of partition {part.partition} its rows are of")
    covered = ranges.get(Identity(committed.topic_id, part.partition, lineage))
    return covered is not None and part.first < covered.end and part.last >= covered.start


# -- in which order ----------------------------------------------------------------------------------------------------


def _units(reads: list[FileRead]) -> tuple[Unit, ...]:
    """Group files whose offsets interleave, and order the groups so that each partition's offsets rise."""
    groups = _Groups(len(reads))
    while True:
        before: dict[int, set[int]] = {groups.of(index): set() for index in range(len(reads))}
        for intervals in _intervals(reads).values():
            reach, holder = -1, -1
            for first, last, index in intervals:
                if first <= reach:
                    groups.join(holder, index)
                elif holder >= 0:
                    before.setdefault(groups.of(index), set()).add(groups.of(holder))
                if last > reach:
                    reach, holder = last, index
        # Joining may have renamed groups that were noted as predecessors before.
        edges: dict[int, set[int]] = defaultdict(set)
        for group, earlier in before.items():
            edges[groups.of(group)] |= {groups.of(other) for other in earlier} - {groups.of(group)}
        try:
            order = list(TopologicalSorter(edges).static_order())
        except CycleError as error:
            # Files that lie before and after each other in different partitions have to be read together.
            first, *others = error.args[1]
            for other in others:
                groups.join(first, other)
            continue
        members: dict[int, list[FileRead]] = defaultdict(list)
        for index, read in enumerate(reads):
            members[groups.of(index)].append(read)
        return tuple(Unit(tuple(members[group])) for group in order)


def _intervals(reads: list[FileRead]) -> dict[Identity, list[tuple[int, int, int]]]:
    """Return for each identity its parts as (first, last, index of the file), by first offset."""
    intervals: dict[Identity, list[tuple[int, int, int]]] = defaultdict(list)
    for index, read in enumerate(reads):
        for part in read.parts:
            lineage = read.committed.lineages.get(part.partition, 0)
            identity = Identity(read.committed.topic_id, part.partition, lineage)
            intervals[identity].append((part.first, part.last, index))
    for each in intervals.values():
        each.sort()
    return intervals


class _Groups:
    """Disjoint sets of file indexes."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def of(self, index: int) -> int:
        while self._parent[index] != index:
            self._parent[index] = self._parent[self._parent[index]]
            index = self._parent[index]
        return index

    def join(self, one: int, other: int) -> None:
        self._parent[self.of(one)] = self.of(other)
