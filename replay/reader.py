"""Reads what a plan names, in order, and keeps the books: nothing leaves unchecked, and at the end all was read.

Per partition the records come in strictly increasing offset order, data and quarantined ones in their places.
Partitions take turns, so that each object is fetched once and only files that reach over each other are in memory
together (merging.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.archiver.commit_log import read_entries, read_state, topics_of
from headrace.archiver.log_state import CommittedFile
from headrace.archiver.object_store import ObjectStore

from .checkpoint_range import between
from .columns import Columns, Condition, plan_schema
from .errors import ArchiveDamaged, NothingChecked, RangeMissing, TopicUnknown, named
from .fetch_ahead import FetchAhead
from .loading import FileContext, context_of, fetch, load_parts, load_places, parse
from .merging import Merge, Rows
from .plan import FileRead, Plan, make_plan
from .removed import Removed, removed_of
from .selection import Selection

FETCH_THREADS = 4


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records of one partition (RECORD_SCHEMA), offsets rising; `sources[i]` indexes into `contexts` for row i.

    `table` has the same rows as the archive's columns, when the reading was asked for them.
    """

    partition: int
    records: pa.RecordBatch
    sources: np.ndarray
    contexts: tuple[FileContext, ...]
    table: pa.Table | None = None


@dataclass(frozen=True, slots=True)
class PartRead:
    """A part that was read, and the digest that its records were found to have."""

    key: str
    partition: int
    rows: int
    digest: str


@dataclass(slots=True)
class ReadCounts:
    """What was done so far. `records` went out; `rows` were read and checked, in `parts` parts and `bytes` bytes."""

    records: int = 0
    quarantined: int = 0
    rows: int = 0
    parts: int = 0
    bytes: int = 0


class Reading:
    """One pass over a plan. Iterate `chunks()` to its end; only then `counts` is proved complete.

    `columns` asks for the decoded columns too; `allow_empty`: a plan without a single part is fine.
    Without `digests` records are not restored: chunks have PLACE_SCHEMA, and the tables are what is wanted.
    """

    def __init__(
        self,
        store: ObjectStore,
        plan: Plan,
        *,
        fetch_threads: int = FETCH_THREADS,
        columns: Columns | None = None,
        allow_empty: bool = False,
        digests: bool = True,
    ) -> None:
        self.store = store
        self.plan = plan
        self.counts = ReadCounts()
        self.records_by_partition: dict[int, int] = {covered.identity.partition: 0 for covered in plan.ranges}
        self.parts_read: list[PartRead] = []
        self._allow_empty = allow_empty
        self._load = load_parts if digests else load_places
        self._columns = columns
        if plan.selection.where is not None and columns is None:
            self._columns = Columns(plan_schema(store, plan))
        self._where = None if plan.selection.where is None else Condition(plan.selection.where)
        self._tables_out = columns is not None
        self._keys = None if not plan.selection.keys else pa.array(plan.selection.keys, pa.binary())
        self._fetch_threads = fetch_threads
        self._last: dict[int, int] = {}

    @property
    def schema(self) -> pa.Schema | None:
        """The columns of the chunks' tables, None when they have none."""
        return self._columns.schema if self._columns is not None and self._tables_out else None

    def removed(self) -> list[Removed]:
        """Return what was erased or expired in the plan's ranges. Raises what reading the log raises."""
        return removed_of(self.store, self.plan)

    def chunks(self) -> Iterator[Chunk]:
        """Yield the selected records.

        Raises ArchiveDamaged before any record of the damaged part, NothingChecked at the end when no part was read,
        and StoreError as the store answers.
        """
        merges = [Merge(unit) for unit in self.plan.units]
        bodies = self._fetched([read.committed for merge in merges for read in merge.files])
        for merge in merges:
            yield from self._merged(merge, bodies)
        if self.counts.parts == 0 and not self._allow_empty:
            gone = "".join(f" ({each.text(self.plan.topic)})" for each in self.removed())
            raise NothingChecked(
                f"{self.plan.topic} has no records in the selection ({self.plan.selection.describe()}) at snapshot "
                f"{self.plan.snapshot}{gone}: nothing was read, so nothing was checked. Widen the selection, or say "
                "--allow-empty"
            )
        if (self.counts.parts, self.counts.rows) != (self.plan.parts, self.plan.rows):
            raise ArchiveDamaged(
                f"{self.plan.topic}: {self.counts.rows} rows in {self.counts.parts} parts were read, the plan has "
                f"{self.plan.rows} in {self.plan.parts}; don't use what came out, and report this"
            )

    # -- getting the bytes -------------------------------------------------------------------------------------------

    def _fetched(self, files: Sequence[CommittedFile]) -> Iterator[bytes]:
        """Yield each file's bytes; the next ones are fetched while one is worked on."""
        if self._fetch_threads == 0:
            return map(self._fetch_one, files)
        return FetchAhead(self._fetch_one, self._fetch_threads).each(files, size=lambda each: each.file.bytes)

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

    def _merged(self, merge: Merge, bodies: Iterator[bytes]) -> Iterator[Chunk]:
        contexts: list[FileContext] = []
        for read in merge.files:
            for partition, rows in self._loaded(read, next(bodies), contexts):
                merge.add(partition, rows)
                ready = merge.ready(partition)
                if ready is not None:
                    yield from self._chunk(partition, ready, tuple(contexts))

    def _loaded(self, read: FileRead, body: bytes, contexts: list[FileContext]) -> Iterator[tuple[int, Rows]]:
        """Yield a file's parts, each checked, with their partitions; add what it says of them to the contexts."""
        file = read.committed.file
        found = parse(self.store, self.plan.topic, read.committed, body)
        self.counts.bytes += len(body)
        source = len(contexts)
        contexts.append(context_of(found))
        table = None if self._columns is None else self._columns.conform(found.table, file.dt)
        mask = None if self._where is None or table is None else self._where.mask(table)
        for loaded in self._load(self.store, self.plan.topic, read.committed, found, read.parts):
            part = loaded.part
            self.counts.parts += 1
            self.counts.rows += part.rows
            self.parts_read.append(PartRead(file.key, part.partition, part.rows, loaded.digest))
            rows = slice(part.row_start, part.row_start + part.rows)
            yield (
                part.partition,
                Rows(
                    loaded.records,
                    np.full(part.rows, source, np.int32),
                    None if table is None or not self._tables_out else table.slice(part.row_start, part.rows),
                    None if mask is None else mask[rows],
                ),
            )

    def _chunk(self, partition: int, rows: Rows, contexts: tuple[FileContext, ...]) -> Iterator[Chunk]:
        """Cut rows to the selection, and check the order."""
        self._check_order(partition, rows.records)
        keep = self._selected(partition, rows)
        if keep is not None:
            rows = rows.filter(keep)
        if not rows.records.num_rows:
            return
        self.counts.records += rows.records.num_rows
        self.records_by_partition[partition] += rows.records.num_rows
        quarantine = [index for index, context in enumerate(contexts) if context.quarantine]
        self.counts.quarantined += int(np.isin(rows.sources, quarantine).sum()) if quarantine else 0
        yield Chunk(partition, rows.records, rows.sources, contexts, rows.table)

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

    def _selected(self, partition: int, rows: Rows) -> np.ndarray | None:
        """Return a mask of the rows that the selection wants, None for all."""
        covered, records = self.plan.range_of(partition), rows.records
        offsets = records.column("offset").to_numpy()
        keep: np.ndarray = (offsets >= covered.start) & (offsets < covered.end)
        selection = self.plan.selection
        if selection.by_time:
            stamps = records.column("timestamp").to_numpy()
            if selection.since_ms is not None:
                keep &= stamps >= selection.since_ms
            if selection.until_ms is not None:
                keep &= stamps < selection.until_ms
        if self._keys is not None:
            keep &= pc.is_in(records.column("key"), value_set=self._keys).to_numpy(zero_copy_only=False)
        if rows.mask is not None:
            keep &= rows.mask
        return None if keep.all() else keep


def open_reading(
    store: ObjectStore,
    topic: str,
    selection: Selection | None = None,
    *,
    at: int | None = None,
    fetch_threads: int = FETCH_THREADS,
    columns: bool = False,
    checkpoints: tuple[str | None, str | None] = (None, None),
) -> Reading:
    """Pin a snapshot (`at`: a log seq, None for the newest), plan, and return the reading.

    `columns`: whether chunks have the decoded columns too. `checkpoints`: names of the range's start and end.

    Raises TopicUnknown, RangeMissing, StoreError, and LogCorrupt, LogTooNew, LogViolation for a damaged log.
    """
    try:
        state = read_state(store, topic, at=at)
    except KeyError as error:
        raise RangeMissing(str(error.args[0])) from error
    if state.seq == 0:
        raise unknown_topic(store, topic)
    plan = make_plan(state, between(store, state, selection or Selection(), *checkpoints))
    wanted = Columns(plan_schema(store, plan)) if columns else None
    return Reading(store, plan, fetch_threads=fetch_threads, columns=wanted)


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
