"""The part digest: a SHA-256 over records as columns, streamed, equal at archive time and at replay.

docs/archive-format.md, section "Part digest", defines it; this module is its only implementation in production code.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

DIGEST_TAG = b"headrace part digest 1\n"
_COLUMNS = 12
_NOTHING = memoryview(b"")


@dataclass(frozen=True, slots=True)
class _Strings:
    """A binary or string column as the digest wants it: lengths (-1: null) and where the bytes lie."""

    lengths: np.ndarray  # int32
    offsets: np.ndarray  # int32, one longer than lengths
    data: memoryview

    @classmethod
    def of(cls, array: pa.Array) -> "_Strings":
        count = len(array)
        nulls = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
        if nulls is not None:
            array = pc.fill_null(array, b"" if pa.types.is_binary(array.type) else "")  # a null may cover stray bytes
        _, offsets_buffer, data = array.buffers()
        if not count or offsets_buffer is None:
            return cls(np.empty(0, np.int32), np.zeros(1, np.int32), _NOTHING)
        offsets = np.frombuffer(offsets_buffer, np.int32, count + 1, array.offset * 4)
        lengths = np.diff(offsets)
        if nulls is not None:
            lengths[nulls] = -1
        return cls(lengths, offsets, memoryview(data) if data is not None else _NOTHING)

    def bytes_between(self, start: int, stop: int) -> memoryview:
        return self.data[self.offsets[start] : self.offsets[stop]]


class DigestColumns:
    """A batch in RECORD_SCHEMA, laid out once for the digests of the parts that its row ranges belong to."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.rows = batch.num_rows
        self.offsets = batch.column(1).to_numpy()
        self.timestamps = batch.column(2).to_numpy()
        self.timestamp_types = batch.column(3).to_numpy()
        self.keys = _Strings.of(batch.column(4))
        self.values = _Strings.of(batch.column(5))
        headers = batch.column(6)
        ends = _list_offsets(headers)
        self.header_counts = np.diff(ends)
        self.header_ends = ends - ends[0]
        pairs = headers.values.slice(int(ends[0]), int(ends[-1] - ends[0]))
        self.has_headers = len(pairs) > 0
        if self.has_headers:
            self.header_names = _Strings.of(pairs.field(0))
            self.header_values = _Strings.of(pairs.field(1))


def _list_offsets(array: pa.ListArray) -> np.ndarray:
    if not len(array):
        return np.zeros(1, np.int32)
    return np.frombuffer(array.buffers()[1], np.int32, len(array) + 1, array.offset * 4)


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one partition in one file. `first`, `last`: offsets; `digest`: see docs/archive-format.md."""

    partition: int
    row_start: int
    rows: int
    first: int
    last: int
    digest: str


class PartDigest:
    """The digest of one part, fed in the order of offsets."""

    __slots__ = ("_hashes", "_rows")

    def __init__(self) -> None:
        self._hashes = [hashlib.sha256() for _ in range(_COLUMNS)]
        self._rows = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Add all rows of a batch in RECORD_SCHEMA."""
        self.update_range(DigestColumns(batch), 0, batch.num_rows)

    def update_range(self, columns: DigestColumns, start: int, stop: int) -> None:
        """Add the rows [start, stop) of a batch."""
        each = self._hashes
        self._rows += stop - start
        each[0].update(columns.offsets[start:stop].data)
        each[1].update(columns.timestamps[start:stop].data)
        each[2].update(columns.timestamp_types[start:stop].data)
        each[3].update(columns.keys.lengths[start:stop].data)
        each[4].update(columns.keys.bytes_between(start, stop))
        each[5].update(columns.values.lengths[start:stop].data)
        each[6].update(columns.values.bytes_between(start, stop))
        each[7].update(columns.header_counts[start:stop].data)
        if not columns.has_headers:
            return
        first, last = int(columns.header_ends[start]), int(columns.header_ends[stop])
        if first == last:
            return
        each[8].update(columns.header_names.lengths[first:last].data)
        each[9].update(columns.header_names.bytes_between(first, last))
        each[10].update(columns.header_values.lengths[first:last].data)
        each[11].update(columns.header_values.bytes_between(first, last))

    @property
    def rows(self) -> int:
        """How many records were added."""
        return self._rows

    def hexdigest(self) -> str:
        """Return the digest of what was added so far, as 64 hex digits; more may be added afterwards."""
        whole = hashlib.sha256(DIGEST_TAG)
        whole.update(self._rows.to_bytes(8, "little"))
        for each in self._hashes:
            whole.update(each.digest())
        return whole.hexdigest()
