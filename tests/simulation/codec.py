"""The light codec of most seeds: files as marshalled rows instead of Parquet, which costs a fiftieth.

Replaced with it are FlushBuffer (decoding Avro, columns, digests, Parquet) and the part of replay that opens files. All
that the simulation is about runs as it is: the worker, what is held, fences, uploads, the log, garbage, plans, the
reader's order and counts. Every 25th seed runs the full codec, and tests/archiver prove it record by record.
"""

import hashlib
import marshal
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.archiver import compactor, eraser, garbage, held, topic_archive
from headrace.archiver.compaction_merge import Merged
from headrace.archiver.erasing import Trimmed, ranges_of
from headrace.archiver.flush_buffer import BuiltFile, FileContext, OffsetStepBack
from headrace.archiver.log_entries import PartEntry
from headrace.archiver.log_removals import ErasedPart
from headrace.archiver.log_state import CommittedFile
from headrace.archiver.object_store import ObjectNotFound, ObjectStore
from headrace.archiver.parquet_file import FileCorrupt, Footer, Kind, footer_of
from headrace.archiver.part_digest import Part
from headrace.archiver.records import HEADERS_TYPE, RECORD_SCHEMA
from headrace.archiver.topic_decoder import TopicSettings
from headrace.replay import loading, reader
from headrace.replay.errors import ArchiveDamaged
from headrace.replay.loading import LoadedPart

from .days import day_of

Row = tuple[int, int, int, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]
"""(partition, offset, timestamp, key, value, headers)"""
Place = tuple[int, int]
"""(partition, offset)"""
UNSEEN = b"\x00value kept as columns\x00"
BAD_VALUE = b"!"
_MAGIC = b"LIGHT"


class LightBuffer:
    """FlushBuffer's interface over lists of rows. Values that begin with `!` are quarantined."""

    def __init__(self, settings: TopicSettings, _schemas: object, *, new_id: Callable[[], str]) -> None:
        self._topic = settings.topic
        self._new_id = new_id
        self.clear()

    def clear(self) -> None:
        self._rows: list[Row] = []
        self._last: dict[int, int] = {}
        self.max_timestamps: dict[int, int] = {}

    @property
    def rows(self) -> int:
        return len(self._rows)

    @property
    def bytes(self) -> int:
        return len(self._rows) * 100

    def add(self, batch: pa.RecordBatch) -> None:
        columns = [column.to_pylist() for column in batch.columns]
        for partition, offset, timestamp, _, key, value, headers in zip(*columns, strict=True):
            if offset <= self._last.get(partition, -1):
                raise OffsetStepBack(f"{self._topic}/{partition}: offset {offset} after {self._last[partition]}")
            self._last[partition] = offset
            self.max_timestamps[partition] = max(timestamp, self.max_timestamps.get(partition, timestamp))
            pairs = tuple((each["name"], each["value"]) for each in headers)
            self._rows.append((partition, offset, timestamp, key, value, pairs))

    def drop(self, partitions: Collection[int]) -> None:
        gone = set(partitions)
        if gone:
            self._rows = [row for row in self._rows if row[0] not in gone]
            for partition in gone:
                self._last.pop(partition, None)
                self.max_timestamps.pop(partition, None)

    def build(self, context: FileContext, partitions: Collection[int] | None = None) -> list[BuiltFile]:
        wanted = {row[0] for row in self._rows} if partitions is None else set(partitions)
        by_file: dict[tuple[Kind, str], list[Row]] = defaultdict(list)
        for row in self._rows:
            if row[0] in wanted:
                kind: Kind = "quarantine" if row[4] is not None and row[4].startswith(BAD_VALUE) else "data"
                by_file[kind, day_of(row[2])].append(row)
        return [self._file(kind, dt, sorted(rows), context) for (kind, dt), rows in sorted(by_file.items())]

    def _file(self, kind: Kind, dt: str, rows: list[Row], context: FileContext) -> BuiltFile:
        footer = Footer(
            kind, context.topic, context.topic_id, context.cluster_id, dt, context.spans, context.writer, {}
        )
        late = [row[:2] for row in rows] if kind == "data" and dt in context.sealed else []
        body = encode(footer, rows, late)
        key = f"{kind}/topic={context.topic}/dt={dt}/{self._new_id()}.parquet"
        sha256 = hashlib.sha256(body).hexdigest()
        return BuiltFile(kind, key, dt, body, len(body), sha256, len(rows), len(late), tuple(parts_of(rows)))


def parts_of(rows: Sequence[Row]) -> Iterator[Part]:
    """Yield the parts of a file's rows."""
    start = 0
    while start < len(rows):
        partition = rows[start][0]
        own = [row for row in rows[start:] if row[0] == partition]
        yield Part(partition, start, len(own), own[0][1], own[-1][1], digest(own))
        start += len(own)


def digest(rows: Sequence[Row]) -> str:
    return hashlib.sha256(marshal.dumps(list(rows), 2)).hexdigest()


def encode(footer: Footer, rows: Sequence[Row], late: Collection[Place] = ()) -> bytes:
    """Return a file's bytes. `late`: which of its rows came after their date's seal."""
    return _MAGIC + marshal.dumps((footer.to_json(), list(rows), list(late)), 2)


def decode(body: bytes) -> tuple[str, list[Row]]:
    text, rows, _ = _decode(body)
    return text, rows


def _decode(body: bytes) -> tuple[str, list[Row], list[Place]]:
    if not body.startswith(_MAGIC):
        raise FileCorrupt("not a light file", "simulated")
    try:
        text, rows, late = marshal.loads(body[len(_MAGIC) :])
    except (ValueError, EOFError, TypeError) as error:
        raise FileCorrupt(str(error), "simulated") from error
    return text, rows, late


# -- in the place of production code -----------------------------------------------------------------------------------


def light_footer_of(source: Any, where: str = "the file") -> Footer:
    return Footer.from_json(decode(source)[0], where)


def light_offset_bounds(batch: pa.RecordBatch) -> list[tuple[int, int, int]]:
    bounds: dict[int, tuple[int, int]] = {}
    pairs = zip(batch.column("partition").to_pylist(), batch.column("offset").to_pylist(), strict=True)
    for partition, offset in pairs:
        low, high = bounds.get(partition, (offset, offset))
        bounds[partition] = min(low, offset), max(high, offset)
    return [(partition, low, high) for partition, (low, high) in bounds.items()]


def _read(store: ObjectStore, committed: CommittedFile) -> tuple[bytes, str]:
    """Return a committed file's bytes, which have the hash that the log names, and what errors call it."""
    file, where = committed.file, f"{committed.file.key} (entry {committed.seq})"
    try:
        body = store.get(file.key)
    except ObjectNotFound as error:
        raise FileCorrupt("the object does not exist, and the log names it", where) from error
    if hashlib.sha256(body).hexdigest() != file.sha256:
        raise FileCorrupt("it has another hash", where)
    return body, where


def light_merge_files(
    store: ObjectStore,
    files: Sequence[CommittedFile],
    *,
    topic: str,
    writer: str,
    new_id: Callable[[], str],
    on_rows: Callable[[int], None] = lambda _rows: None,
) -> Merged | None:
    """Make one file of as many as go together, by the rules of compaction_merge.py."""
    del topic
    rows: list[Row] = []
    late: list[Place] = []
    lineages: dict[int, int] = {}
    last: dict[int, int] = {}
    taken: list[Footer] = []
    for committed in files:
        file = committed.file
        body, where = _read(store, committed)
        own = {part.partition: committed.lineages[part.partition] for part in file.parts}
        if any(lineages.get(p, of) != of for p, of in own.items()):
            break
        if any(last.get(part.partition, -1) >= part.first for part in file.parts):
            break
        text, own_rows, own_late = _decode(body)
        taken.append(Footer.from_json(text, where))
        lineages.update(own)
        last.update({part.partition: part.last for part in file.parts})
        rows += own_rows
        late += own_late
        on_rows(len(own_rows))
    if len(taken) < 2:
        return None
    rows.sort(key=lambda row: row[:2])
    return Merged(_merged_file(rows, late, lineages, taken[0], writer, new_id), len(taken), lineages)


def _merged_file(  # noqa: PLR0917 - what there is
    rows: list[Row],
    late: list[Place],
    lineages: Mapping[int, int],
    old: Footer,
    writer: str,
    new_id: Callable[[], str],
) -> BuiltFile:
    parts = tuple(parts_of(rows))
    spans = tuple({"partition": p.partition, "lineage": lineages[p.partition], "from": p.first} for p in parts)
    body = encode(replace(old, spans=spans, writer=writer), rows, late)
    key = f"{old.kind}/topic={old.topic}/dt={old.dt}/{new_id()}.parquet"
    sha256 = hashlib.sha256(body).hexdigest()
    return BuiltFile(old.kind, key, old.dt, body, len(body), sha256, len(rows), len(late), parts)


@dataclass(frozen=True)
class Every:
    """Erases each nth row by its offset: what an Eraser asks, for both codecs."""

    every: int
    begin: int

    def __call__(self, table: pa.Table, _committed: CommittedFile) -> np.ndarray:
        wanted: np.ndarray = table.column("_offset").to_numpy() % self.every == self.begin
        return wanted

    def takes(self, row: Row) -> bool:
        return row[1] % self.every == self.begin


def light_trim_file(
    store: ObjectStore,
    committed: CommittedFile,
    judge: Every,
    *,
    topic: str,
    writer: str,
    new_id: Callable[[], str],
) -> Trimmed | None:
    """Return a file without the rows that are to go, by the rules of erasing.py."""
    del topic
    body, where = _read(store, committed)
    text, rows, late = _decode(body)
    gone = [row for row in rows if judge.takes(row)]
    if not gone:
        return None
    kept = _kept_rows(rows, judge)
    places = {row[:2] for row in gone}
    erased = tuple(
        _erased_part(committed, [row for row in gone if row[0] == p], late) for p in sorted({r[0] for r in gone})
    )
    if not kept:
        return Trimmed(committed, None, erased)
    late = [place for place in late if tuple(place) not in places]
    footer = Footer.from_json(text, where)
    return Trimmed(committed, _merged_file(kept, late, dict(committed.lineages), footer, writer, new_id), erased)


def _kept_rows(rows: Sequence[Row], judge: Every) -> list[Row]:
    return [row for row in rows if not judge.takes(row)]


def _erased_part(committed: CommittedFile, rows: list[Row], late: Collection[Place]) -> ErasedPart:
    offsets = ranges_of(np.array([row[1] for row in rows]))
    places, partition = {tuple(place) for place in late}, rows[0][0]
    of_these = sum(row[:2] in places for row in rows)
    file = committed.file
    return ErasedPart(file.kind, file.dt, partition, committed.lineages[partition], len(rows), of_these, offsets)


class LightFile:
    """A parsed file, as replay.loading wants one."""

    def __init__(self, body: bytes, where: str) -> None:
        text, self.rows = decode(body)
        self.footer = Footer.from_json(text, where)


def light_parse(store: ObjectStore, topic: str, committed: CommittedFile, body: bytes) -> Any:
    found = LightFile(body, f"{store.url}/{committed.file.key}")
    if (found.footer.topic, found.footer.topic_id, len(found.rows)) != (topic, committed.topic_id, committed.file.rows):
        raise ArchiveDamaged(f"{committed.file.key}: its footer is not what the log says")
    return found


def light_load_parts(
    _store: ObjectStore, topic: str, committed: CommittedFile, found: Any, parts: Sequence[PartEntry]
) -> list[LoadedPart]:
    loaded = []
    for part in parts:
        rows = found.rows[part.row_start : part.row_start + part.rows]
        if digest(rows) != part.digest or any(row[0] != part.partition for row in rows):
            raise ArchiveDamaged(f"{committed.file.key}, {topic}/{part.partition}: digest differs")
        loaded.append(LoadedPart(part, batch_of(rows), part.digest))
    return loaded


def light_context_of(found: Any) -> loading.FileContext:
    return loading.FileContext(found.footer.kind == "quarantine", {}, {})


def batch_of(rows: Sequence[Row]) -> pa.RecordBatch:
    """Return rows in RECORD_SCHEMA: what records.record_batch() makes, at a fraction of its cost for a few rows."""
    partitions, offsets, timestamps, keys, values, headers = zip(*rows, strict=True)
    columns = [
        _partition_column(partitions),
        pa.array(offsets, _INT64),
        pa.array(timestamps, _INT64),
        _type_column(len(rows)),
        pa.array(keys, _BINARY),
        pa.array(values, _BINARY),
        _header_column(headers),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=RECORD_SCHEMA)


_INT64, _BINARY = pa.int64(), pa.binary()


@lru_cache(1000)
def _partition_column(partitions: tuple[int, ...]) -> pa.Array:
    return pa.array(partitions, pa.int32())


@lru_cache(1000)
def _type_column(rows: int) -> pa.Array:
    return pa.array([0] * rows, pa.int8())


@lru_cache(1000)
def _header_column(headers: tuple[tuple[tuple[str, bytes | None], ...], ...]) -> pa.Array:
    return pa.array([[{"name": name, "value": value} for name, value in each] for each in headers], HEADERS_TYPE)


LIGHT: Mapping[Any, Mapping[str, Any]] = {
    topic_archive: {"FlushBuffer": LightBuffer},
    held: {"offset_bounds": light_offset_bounds},
    garbage: {"footer_of": light_footer_of},
    compactor: {"merge_files": light_merge_files},
    eraser: {"trim_file": light_trim_file},
    reader: {"parse": light_parse, "load_parts": light_load_parts, "context_of": light_context_of},
}


@contextmanager
def light() -> Iterator[None]:
    """Run the block with the light codec."""
    patches = [patch.object(module, name, new) for module, names in LIGHT.items() for name, new in names.items()]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


# -- for the checker ---------------------------------------------------------------------------------------------------


def late_places(body: bytes) -> set[Place]:
    """Return which rows of a data file say that they are late."""
    if body.startswith(_MAGIC):
        return set(_decode(body)[2])
    columns = pq.read_table(pa.BufferReader(body), columns=["_partition", "_offset", "_late"], use_threads=False)
    return {(p, o) for p, o, late in zip(*(each.to_pylist() for each in columns.columns), strict=True) if late}


def topic_id_of(body: bytes) -> str:
    """Return the topic id in a file's footer."""
    return (light_footer_of(body) if body.startswith(_MAGIC) else footer_of(body)).topic_id


def rows_of(body: bytes) -> list[Row]:
    """Return a file's rows, whichever codec wrote it; UNSEEN for values that are columns."""
    if body.startswith(_MAGIC):
        return decode(body)[1]
    table = pq.read_table(pa.BufferReader(body), use_threads=False)
    names = ["_partition", "_offset", "_timestamp", "_key", "_value", "_headers"]
    columns = [table.column(name).to_pylist() for name in names]
    frames = table.column("_frame").to_pylist() if "_frame" in table.column_names else [None] * len(table)
    rows: list[Row] = []
    for partition, offset, timestamp, key, value, headers, frame in zip(*columns, frames, strict=True):
        pairs = tuple((each["name"], each["value"]) for each in headers)
        shown = UNSEEN if frame is not None and value is None else value
        rows.append((partition, offset, timestamp, key, shown, pairs))
    return rows
