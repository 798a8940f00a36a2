"""Decodes what could not be decoded, once its schema is there (docs/archive-format.md, "Rewrites").

Quarantine files are taken in groups. What decodes now goes into data files by its event's date, what still does not
into new quarantine files; both are opened again, and all their records, put in order, must have the digest of the old
ones. Then one entry of the log puts them in the old ones' place. A file of which nothing decodes is left alone.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from .flush_buffer import BuiltFile, FileContext, FlushBuffer
from .flush_buffer_rows import runs_of
from .log_entries import PartEntry
from .log_state import CommittedFile
from .object_store import ObjectNotFound, ObjectStore
from .parquet_file import FileCorrupt, read_file
from .part_digest import Part, PartDigest
from .restore import DigestMismatch, check_part, restore_records
from .rewriting import Rewriter
from .topic_decoder import SchemaSource, TopicDecoder, TopicSettings

GROUP_ROWS_MAX = 100_000
GROUP_BYTES_MAX = 32 << 20
"""Of the files that are taken together: bounds the memory that a retry takes."""

FENCED_MAX = 5


@dataclass(slots=True)
class Retried:
    """What was done: records that are decoded now, and that still are not; by which entries."""

    records: int = 0
    decoded: int = 0
    rewrites: list[int] = field(default_factory=list)
    fenced: int = 0
    may_remove: bool = True

    @property
    def left(self) -> int:
        """Records that are still in quarantine, of those that were looked at."""
        return self.records - self.decoded


@dataclass(slots=True)
class _Group:
    """Quarantine files of one topic id, and of one lineage a partition, with their records."""

    topic_id: str
    files: list[CommittedFile] = field(default_factory=list)
    records: list[pa.RecordBatch] = field(default_factory=list)
    lineages: dict[int, int] = field(default_factory=dict)
    rows: int = 0
    bytes: int = 0

    def fits(self, committed: CommittedFile, records: pa.RecordBatch) -> bool:
        """Whether a file may be taken in too."""
        if not self.files:
            return True
        return (
            self.topic_id == committed.topic_id
            and self.rows + records.num_rows <= GROUP_ROWS_MAX
            and self.bytes + records.nbytes <= GROUP_BYTES_MAX
            and all(self.lineages.get(partition, of) == of for partition, of in committed.lineages.items())
        )

    def add(self, committed: CommittedFile, records: pa.RecordBatch) -> None:
        """Take a file in."""
        self.files.append(committed)
        self.records.append(records)
        self.lineages.update(committed.lineages)
        self.rows += records.num_rows
        self.bytes += records.nbytes


class QuarantineRetry(Rewriter):
    """Retries one topic, with the schemas that a source knows. The other arguments are those of every rewriter."""

    VERB = "retry"

    def __init__(self, store: ObjectStore, topic: str, schemas: SchemaSource, **more: Any) -> None:
        super().__init__(store, topic, **more)
        self._schemas = schemas

    def run(self, dates: Collection[str] = (), on_rows: Callable[[int], None] = lambda _rows: None) -> Retried:
        """Retry the quarantine of these dates (none: all). `on_rows(n)` after each n records that were looked at.

        Raises FileCorrupt when a file is not what the log says, and then leaves it alone; StoreError; what the log and
        the schema source raise. The next call goes on where this one ended.
        """
        done = Retried()
        self._end_abandoned()
        self.log.refuse_hole()
        settings = self._settings()
        again = True
        while again:
            # Schemas that did not fit beside others may do so by themselves, and what another entry took is looked at
            # anew: until a pass changes nothing.
            before = done.decoded, done.fenced
            done.records = done.decoded
            for group in self._groups(settings, dates, done, on_rows):
                self._retry(settings, group, done)
            again = (done.decoded, done.fenced) != before and done.fenced < FENCED_MAX
        done.may_remove = self._clean(None)
        return done

    def _settings(self) -> TopicSettings:
        """Return how the topic is archived, as its newest commit says."""
        newest = next(self.log.commits_back(), None)
        found = None if newest is None else newest.details.get("settings")
        return TopicSettings.from_json(dict(found)) if found else TopicSettings(self._topic)

    # -- what to take ------------------------------------------------------------------------------------------------

    def _groups(
        self, settings: TopicSettings, dates: Collection[str], done: Retried, on_rows: Callable[[int], None]
    ) -> Iterator[_Group]:
        """Yield the files of which something decodes now, together as far as they may be."""
        decoder = TopicDecoder(settings, self._schemas)
        group: _Group | None = None
        for committed in list(self.log.state.files.select(dates=dates, kinds=["quarantine"])):
            records = self._records(committed)
            if records is None:
                continue
            done.records += records.num_rows
            on_rows(records.num_rows)
            decoder.writers.forget_columns()
            if not decoder.decode(records).data.records.num_rows:
                continue
            if group is not None and not group.fits(committed, records):
                yield group
                group = None
            group = group or _Group(committed.topic_id)
            group.add(committed, records)
        if group is not None:
            yield group

    def _records(self, committed: CommittedFile) -> pa.RecordBatch | None:
        """Return a file's records, checked against its entry; None when a rewrite has taken the file."""
        file = committed.file
        where = f"{self._store.url}/{file.key} (entry {committed.seq})"
        try:
            body = self._store.get(file.key)
        except ObjectNotFound as error:
            if self._taken([committed]):
                return None
            raise FileCorrupt("the object does not exist, and the log names it", where) from error
        return _restored(body, file.parts, file.sha256, "quarantine", where)

    # -- what becomes of it ------------------------------------------------------------------------------------------

    def _built(self, settings: TopicSettings, group: _Group) -> tuple[list[BuiltFile], int]:
        """Return the new files of a group, proved to hold its records, and how many of these decode."""
        records = _in_order(group.records)
        buffer = FlushBuffer(settings, self._schemas, new_id=self._new_id)
        buffer.add(records)
        spans = tuple(
            {"partition": partition, "lineage": group.lineages[partition], "from": first}
            for partition, first in sorted(buffer.first_offsets.items())
        )
        state = self.log.state
        context = FileContext(self._topic, group.topic_id, state.cluster_id, self._writer, spans, state.closed_dates)
        files = buffer.build(context)
        self._prove(records, files)
        return files, sum(file.rows for file in files if file.kind == "data")

    def _prove(self, records: pa.RecordBatch, files: Sequence[BuiltFile]) -> None:
        """Open the new files, and compare their records, put in order, with the old ones."""
        back = [_restored(each.body, each.parts, each.sha256, each.kind, f"the new {each.key}") for each in files]
        old, new = _digests(records), _digests(_in_order(back))
        if old != new:
            raise FileCorrupt(f"their records are not those in quarantine: {new}, not {old}", "the new files")

    def _retry(self, settings: TopicSettings, group: _Group, done: Retried) -> None:
        files, decoded = self._built(settings, group)
        if not decoded or self._taken(group.files):
            return
        self._reached("built")
        entry = self._replace(group.files, files, group.lineages, details={"decodes": True})
        if entry is None:
            done.fenced += 1
            return
        done.rewrites.append(entry.seq)
        done.decoded += decoded


def _restored(body: bytes, parts: Sequence[Part | PartEntry], sha256: str, kind: str, where: str) -> pa.RecordBatch:
    """Return a file's records, each part held against its digest. Raises FileCorrupt."""
    found = read_file(body, sha256=sha256, kind="data" if kind == "data" else "quarantine", where=where)
    records = restore_records(found.table, found.footer, where)
    for part in parts:
        wanted = Part(part.partition, part.row_start, part.rows, part.first, part.last, part.digest)
        try:
            check_part(records.slice(part.row_start, part.rows), wanted, where)
        except DigestMismatch as error:
            raise FileCorrupt(str(error), where) from error
    if sum(part.rows for part in parts) != records.num_rows:
        raise FileCorrupt(f"it has {records.num_rows} rows, and its parts another number", where)
    return records


def _in_order(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Return records by partition and offset."""
    whole = batches[0] if len(batches) == 1 else pa.concat_batches(batches)
    order = np.lexsort((whole.column(1).to_numpy(), whole.column(0).to_numpy()))
    return whole.take(pa.array(order))


def _digests(records: pa.RecordBatch) -> Mapping[int, str]:
    """Return the part digest of each partition's records."""
    found: dict[int, PartDigest] = defaultdict(PartDigest)
    for partition, start, stop in runs_of(records.column(0).to_numpy()):
        found[partition].update(records.slice(start, stop - start))
    return {partition: digest.hexdigest() for partition, digest in found.items()}
