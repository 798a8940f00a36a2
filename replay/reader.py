"""Reads what a plan names, in order, and keeps the books: nothing leaves unchecked, and at the end all was read.

Per partition the records come in strictly increasing offset order, data and quarantined ones in their places.
Partitions take turns, so that each object is fetched once and only one unit of the plan is in memory.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from headrace.archiver.commit_log import read_entries, read_state, topics_of
from headrace.archiver.log_state import CommittedFile
from headrace.archiver.object_store import ObjectStore

from .errors import ArchiveDamaged, NothingChecked, RangeMissing, TopicUnknown, named
from .fetch_ahead import FetchAhead
from .loading import FileContext, LoadedPart, context_of, fetch, load_parts, parse
from .plan import Plan, Unit, make_plan
from .selection import Selection

FETCH_THREADS = 4


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records of one partition (RECORD_SCHEMA), offsets rising; `sources[i]` indexes into `contexts` for row i."""

    partition: int
    records: pa.RecordBatch
    sources: np.ndarray
    contexts: tuple[FileContext, ...]


@dataclass(slots=True)
class ReadCounts:
    """What was done so far. `records` went out; `rows` were read and checked, in `parts` parts and `bytes` bytes."""

    records: int = 0
    quarantined: int = 0
    rows: int = 0
    parts: int = 0
    bytes: int = 0


class Reading:
    """One pass over a plan. Iterate `chunks()` to its end; only then `counts` is proved complete."""

    def __init__(self, store: ObjectStore, plan: Plan, *, fetch_threads: int = FETCH_THREADS) -> None:
        self.store = store
        self.plan = plan
        self.counts = ReadCounts()
        self.records_by_partition: dict[int, int] = {covered.identity.partition: 0 for covered in plan.ranges}
        self._fetch_threads = fetch_threads
        self._last: dict[int, int] = {}

    def chunks(self) -> Iterator[Chunk]:
        """Yield the selected records.

        Raises ArchiveDamaged before any record of the damaged part, NothingChecked at the end when no part was read,
        and StoreError as the store answers.
        """
        for unit, bodies in self._fetched():
            yield from self._merged(unit, bodies)
        if self.counts.parts == 0:
            raise NothingChecked(
                f"{self.plan.topic} has no records in the selection ({self.plan.selection.describe()}) at snapshot "
                f"{self.plan.snapshot}: nothing was read, so nothing was checked. Widen the selection"
            )
        if (self.counts.parts, self.counts.rows) != (self.plan.parts, self.plan.rows):
            raise ArchiveDamaged(
                f"{self.plan.topic}: {self.counts.rows} rows in {self.counts.parts} parts were read, the plan has "
                f"{self.plan.rows} in {self.plan.parts}; don't use what came out, and report this"
            )

    # -- getting the bytes -------------------------------------------------------------------------------------------

    def _fetched(self) -> Iterator[tuple[Unit, list[bytes]]]:
        """Yield each unit with its objects; the next unit's are fetched while one is worked on."""
        files = [[read.committed for read in unit.files] for unit in self.plan.units]
        bodies: Iterator[list[bytes]]
        if self._fetch_threads == 0:
            bodies = ([self._fetch_one(committed) for committed in each] for each in files)
        else:
            bodies = FetchAhead(self._fetch_one, self._fetch_threads).lists(files)
        return zip(self.plan.units, bodies, strict=True)

    def _fetch_one(self, committed: CommittedFile) -> bytes:
        try:
            return fetch(self.store, committed)
        except ArchiveDamaged as error:
            changed = self._removed_since(committed.file.key)
            if changed is None:
                raise
            message = f"snapshot {self.plan.snapshot} of {self.plan.topic} can no longer be read: {changed}"
            raise RangeMissing(message) from error

    def _removed_since(self, key: str) -> str | None:
        """Name the later log entry that allowed an object to go, if there is one."""
        for entry, _ in read_entries(self.store, self.plan.topic, after=self.plan.snapshot):
            if key in entry.details.get("removes", ()):
                return f"entry {entry.seq} ({entry.kind}, {entry.at}) removed {key}; replay from a newer snapshot"
        return None

    # -- from bytes to chunks ----------------------------------------------------------------------------------------

    def _merged(self, unit: Unit, bodies: list[bytes]) -> Iterator[Chunk]:
        contexts: list[FileContext] = []
        by_partition: dict[int, list[tuple[int, LoadedPart]]] = defaultdict(list)
        for index, read in enumerate(unit.files):
            found = parse(self.store, self.plan.topic, read.committed, bodies[index])
            self.counts.bytes += len(bodies[index])
            bodies[index] = b""
            contexts.append(context_of(found))
            for loaded in load_parts(self.store, self.plan.topic, read.committed, found, read.parts):
                self.counts.parts += 1
                self.counts.rows += loaded.part.rows
                by_partition[loaded.part.partition].append((index, loaded))
        for partition in sorted(by_partition):
            yield from self._of_partition(partition, by_partition.pop(partition), tuple(contexts))

    def _of_partition(
        self, partition: int, loaded: list[tuple[int, LoadedPart]], contexts: tuple[FileContext, ...]
    ) -> Iterator[Chunk]:
        """Merge one partition's parts of a unit by offset, cut to the selection, and check the order."""
        loaded.sort(key=lambda item: item[1].part.first)
        sources = np.concatenate([np.full(each.records.num_rows, index, np.int32) for index, each in loaded])
        records = loaded[0][1].records
        if len(loaded) > 1:
            records = pa.concat_batches([each.records for _, each in loaded])
            offsets = records.column("offset").to_numpy()
            if not (np.diff(offsets) > 0).all():
                order = np.argsort(offsets, kind="stable")
                records, sources = records.take(pa.array(order)), sources[order]
        self._check_order(partition, records)
        keep = self._selected(partition, records)
        if keep is not None:
            records, sources = records.filter(pa.array(keep)), sources[keep]
        if not records.num_rows:
            return
        self.counts.records += records.num_rows
        self.records_by_partition[partition] += records.num_rows
        quarantine = [index for index, context in enumerate(contexts) if context.quarantine]
        self.counts.quarantined += int(np.isin(sources, quarantine).sum()) if quarantine else 0
        yield Chunk(partition, records, sources, contexts)

    def _check_order(self, partition: int, records: pa.RecordBatch) -> None:
        offsets = records.column("offset").to_numpy()
        rises = np.diff(offsets, prepend=self._last.get(partition, -1)) > 0
        if not rises.all():
            at = int(offsets[int(np.argmin(rises))])
            raise ArchiveDamaged(
                f"{self.plan.topic}/{partition}: offset {at} comes twice, or after a higher one; `headrace verify "
                f"{self.plan.topic}` names the files"
            )
        self._last[partition] = int(offsets[-1])

    def _selected(self, partition: int, records: pa.RecordBatch) -> np.ndarray | None:
        """Return a mask of the rows that the selection wants, None for all."""
        covered = self.plan.range_of(partition)
        offsets = records.column("offset").to_numpy()
        keep: np.ndarray = (offsets >= covered.start) & (offsets < covered.end)
        selection = self.plan.selection
        if selection.filters_records:
            stamps = records.column("timestamp").to_numpy()
            if selection.since_ms is not None:
                keep &= stamps >= selection.since_ms
            if selection.until_ms is not None:
                keep &= stamps < selection.until_ms
        return None if keep.all() else keep


def open_reading(
    store: ObjectStore,
    topic: str,
    selection: Selection | None = None,
    *,
    at: int | None = None,
    fetch_threads: int = FETCH_THREADS,
) -> Reading:
    """Pin a snapshot (`at`: a log seq, None for the newest), plan, and return the reading.

    Raises TopicUnknown, RangeMissing, StoreError, and LogCorrupt, LogTooNew, LogViolation for a damaged log.
    """
    try:
        state = read_state(store, topic, at=at)
    except KeyError as error:
        raise RangeMissing(str(error.args[0])) from error
    if state.seq == 0:
        raise unknown_topic(store, topic)
    return Reading(store, make_plan(state, selection or Selection()), fetch_threads=fetch_threads)


def unknown_topic(store: ObjectStore, topic: str) -> TopicUnknown:
    """Return the error for a topic without a log, naming the topics that there are."""
    known = named(topics_of(store), "no topics yet")
    return TopicUnknown(f"the archive at {store.url} has no topic {topic!r}; it has {known}")


def read(
    store: ObjectStore, topic: str, selection: Selection | None = None, *, at: int | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the records of an archived range as batches of one partition each, in RECORD_SCHEMA, checked.

    Per partition offsets rise strictly. `at` is a snapshot: a log seq. The errors are those of open_reading() and
    Reading.chunks(); only an iteration that ends without one has given everything.
    """
    for chunk in open_reading(store, topic, selection, at=at).chunks():
        yield chunk.records
