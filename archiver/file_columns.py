"""The files that one thousand entries of a log added and removed, in columns: about 450 bytes for a file of four parts.

A fold keeps exactly this (fold_file.py); a state in memory holds one of them for each full thousand.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .log_entries import FileEntry, FileKind, PartEntry

NO_LINEAGE = -1
_TEXT = pa.dictionary(pa.int32(), pa.string())
_HASH = pa.binary(32)
PART_TYPE = pa.struct(
    [
        ("partition", pa.int32()),
        ("lineage", pa.int32()),
        ("row_start", pa.int64()),
        ("rows", pa.int64()),
        ("first", pa.int64()),
        ("last", pa.int64()),
        ("digest", _HASH),
    ]
)
FILE_SCHEMA = pa.schema(
    [
        ("seq", pa.int64()),
        ("kind", _TEXT),
        ("key", pa.string()),
        ("dt", _TEXT),
        ("bytes", pa.int64()),
        ("sha256", _HASH),
        ("rows", pa.int64()),
        ("late", pa.int64()),
        ("topic_id", _TEXT),
        ("parts", pa.list_(PART_TYPE)),
    ]
)


class NotFoldable(Exception):
    """A file's entry has a value that columns can't hold, such as a hash that is none."""


@dataclass(frozen=True, slots=True)
class CommittedFile:
    """A file of a snapshot and the entry that brought it. `topic_id`, `lineages`: which identities its parts are of."""

    file: FileEntry
    seq: int
    topic_id: str
    lineages: Mapping[int, int]


class FileColumns:
    """Files in FILE_SCHEMA, and the keys that were removed, by entry. `alive[i]`: row i is not removed (yet)."""

    def __init__(self, last_seq: int, batch: pa.RecordBatch, removed: Mapping[str, int]) -> None:
        self.last_seq = last_seq
        self.batch = batch
        self.removed = removed
        self.alive = np.ones(batch.num_rows, bool)

    @classmethod
    def of(cls, last_seq: int, files: Collection[CommittedFile], removed: Mapping[str, int]) -> "FileColumns":
        """Put files into columns. Raises NotFoldable."""
        entries = [committed.file for committed in files]
        values: dict[str, list[Any]] = {
            "seq": [committed.seq for committed in files],
            "kind": [file.kind for file in entries],
            "key": [file.key for file in entries],
            "dt": [file.dt for file in entries],
            "bytes": [file.bytes for file in entries],
            "rows": [file.rows for file in entries],
            "late": [file.late for file in entries],
            "topic_id": [committed.topic_id for committed in files],
        }
        try:
            values["sha256"] = [_hash(file.sha256) for file in entries]
            parts = _parts(files)
            columns = [
                parts if field.name == "parts" else pa.array(values[field.name], _plain(field.type)).cast(field.type)
                for field in FILE_SCHEMA
            ]
        except (ValueError, OverflowError, pa.ArrowException) as error:
            raise NotFoldable(str(error)) from error
        return cls(last_seq, pa.RecordBatch.from_arrays(columns, schema=FILE_SCHEMA), dict(removed))

    def bury(self, removed: Mapping[str, int]) -> None:
        """Mark rows as removed whose keys later entries removed."""
        if removed:
            self.alive &= np.fromiter((key not in removed for key in self._keys()), bool, len(self.alive))

    def key(self, row: int) -> str:
        """Return a row's key."""
        return str(self.batch.column(2)[row].as_py())

    def _keys(self) -> list[str]:
        keys: list[str] = self.batch.column(2).to_pylist()
        return keys

    def keys(self) -> Iterator[str]:
        """Yield the keys of the rows that are alive."""
        yield from (key for key, alive in zip(self._keys(), self.alive.tolist(), strict=True) if alive)

    def hashes(self) -> np.ndarray:
        """Return Python's hash of each row's key, which is good within this process."""
        return np.fromiter(map(hash, self._keys()), np.int64, len(self.alive))

    def live_hashes(self) -> np.ndarray:
        """Return the hashes of the rows that are alive."""
        return self.hashes()[self.alive]

    def file(self, row: int) -> CommittedFile:
        """Return one row as a file."""
        return next(_files(self.batch.slice(row, 1)))

    def select(self, dates: Collection[str], kinds: Collection[str], after: int) -> Iterator[CommittedFile]:
        """Yield the files that are alive, of these dates and kinds (empty: all), added after entry `after`."""
        keep = self.alive & (self.batch.column(0).to_numpy() > after)
        for wanted, column in ((dates, 3), (kinds, 1)):
            if wanted:
                chosen = pc.is_in(self.batch.column(column).cast(pa.string()), value_set=pa.array(sorted(wanted)))
                keep = keep & chosen.to_numpy(zero_copy_only=False)
        if keep.any():
            yield from _files(self.batch if keep.all() else self.batch.filter(pa.array(keep)))


def _parts(files: Collection[CommittedFile]) -> pa.Array:
    parts = [(part, committed.lineages) for committed in files for part in committed.file.parts]
    ends = np.cumsum([0, *(len(committed.file.parts) for committed in files)])
    columns = [
        pa.array([part.partition for part, _ in parts], pa.int32()),
        pa.array([lineages.get(part.partition, NO_LINEAGE) for part, lineages in parts], pa.int32()),
        pa.array([part.row_start for part, _ in parts], pa.int64()),
        pa.array([part.rows for part, _ in parts], pa.int64()),
        pa.array([part.first for part, _ in parts], pa.int64()),
        pa.array([part.last for part, _ in parts], pa.int64()),
        pa.array([_hash(part.digest) for part, _ in parts], _HASH),
    ]
    flat = pa.StructArray.from_arrays(columns, fields=list(PART_TYPE))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), flat)


def _files(batch: pa.RecordBatch) -> Iterator[CommittedFile]:
    """Yield the rows of a batch in FILE_SCHEMA."""
    columns: list[Sequence[Any]] = [column.to_pylist() for column in batch.columns[:9]]
    lists = batch.column(9)
    counts = lists.value_lengths().to_pylist()
    flat = lists.flatten()
    parts = zip(*(flat.field(index).to_pylist() for index in range(len(PART_TYPE))), strict=True)
    for (seq, kind, key, dt, size, sha256, rows, late, topic_id), count in zip(
        zip(*columns, strict=True), counts, strict=True
    ):
        own: list[PartEntry] = []
        lineages: dict[int, int] = {}
        for _ in range(count):
            partition, lineage, row_start, part_rows, first, last, digest = next(parts)
            own.append(PartEntry(partition, row_start, part_rows, first, last, digest.hex()))
            if lineage != NO_LINEAGE:
                lineages[partition] = lineage
        file = FileEntry(cast("FileKind", kind), key, dt, size, sha256.hex(), rows, late, tuple(own))
        yield CommittedFile(file, seq, topic_id, lineages)


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_dictionary(kind) else kind


def _hash(text: str) -> bytes:
    value = bytes.fromhex(text)
    if len(value) != 32 or value.hex() != text:
        raise ValueError(f"{text!r} is no SHA-256 in hex")
    return value


def empty_batch(schema: pa.Schema = FILE_SCHEMA) -> pa.RecordBatch:
    """Return a batch without rows."""
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)


def feed_of(array: pa.Array) -> Iterable[bytes]:
    """Yield a column's content as bytes, the same for the same values however Arrow holds them."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        yield from feed_of(array.cast(pa.string()))
    elif pa.types.is_list(kind):
        yield np.asarray(array.value_lengths().to_numpy(), "<i8").tobytes()
        yield from feed_of(array.flatten())
    elif pa.types.is_struct(kind):
        for index in range(len(kind)):
            yield from feed_of(array.field(index))
    elif pa.types.is_integer(kind):
        yield np.asarray(array.to_numpy(), "<i8").tobytes()
    else:
        values = [each.encode() if isinstance(each, str) else each for each in array.to_pylist()]
        yield np.asarray([len(each) for each in values], "<i8").tobytes()
        yield b"".join(values)
