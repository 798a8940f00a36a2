"""Decodes batches of values and says of each row whether its columns stand for exactly the bytes that came in.

The vectorised reader does the bulk; nothing that it says is taken on trust, except the content of values that the
length proof showed to be canonical, and of those a sample is encoded again. What it can't read, or gets wrong, goes to
the strict decoder row by row. A batch is divided until each row came out of one or the other.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from .rows import RowReader
from .schema import WriterSchema

STRICT_ROWS_MIN = 64  # for fewer rows than that, a call of the vectorised reader costs more than the strict decoder
STRICT_ROWS_MAX = 1_024  # a block of so many rows that the reader refused is decoded row by row, a larger one split
SPLIT_PARTS = 8
SAMPLE_ROWS = 64
REPEATS_MAX = 16


@dataclass(frozen=True, slots=True)
class DecodedRows:
    """What became of a batch of values.

    `columns`: the rows that decoded, in order. `ok`: bool, one per value. `canonical`: bool, one per row of `columns`:
    True if and only if encoding that row gives exactly its value. `errors`: by the value's index, what is wrong with
    those that did not decode (at most 200 characters, nothing of the payload).
    """

    columns: pa.RecordBatch
    ok: np.ndarray
    canonical: np.ndarray
    errors: dict[int, str]


class AvroCodec:
    """Columns from the values of one writer schema, and back.

    `frame` is what each value begins with. The first `full_check_batches` batches and every `sample_every`-th are
    encoded again in full, also where the length proof would do.

    Not for use after a fork of a process that has decoded: the vectorised reader's threads stay behind in the parent.
    """

    def __init__(
        self, schema: WriterSchema, *, frame: bytes, full_check_batches: int = 3, sample_every: int = 64
    ) -> None:
        if full_check_batches < 0 or sample_every < 1:
            raise ValueError(
                f"full_check_batches {full_check_batches} is negative, or sample_every {sample_every} is not 1 or more"
            )
        self._rows = RowReader(schema.root, frame)
        self._full_check_batches = full_check_batches
        self._sample_every = sample_every
        self._batches = 0

    @property
    def decoder_disagreements(self) -> int:
        """Return how many values the vectorised reader got wrong, by no fault of theirs. It is not used after that."""
        return self._rows.disagreements

    @property
    def vectorised(self) -> bool:
        """Tell whether the vectorised reader is used: it can read the schema, and was never wrong."""
        return self._rows.vectorised

    def encode(self, columns: pa.Table | pa.RecordBatch) -> pa.BinaryArray:
        """Return the value of each row: the frame and the canonical encoding.

        Columns and the fields of records are found by name, others are ignored; enums may come as plain strings.
        Raises EncodeError for columns that no value of the schema makes.
        """
        return self._rows.encode(columns)

    def decode(self, values: pa.BinaryArray) -> DecodedRows:
        """Decode values without nulls. Never raises for what the values hold."""
        full = self._batches < self._full_check_batches or self._batches % self._sample_every == 0
        self._batches += 1
        return _Decoding(self._rows, values, full).run()


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows that decoded: their indices in the batch, their columns, and whether they are canonical."""

    at: np.ndarray
    columns: pa.RecordBatch
    canonical: np.ndarray


class _Decoding:
    """One call of decode(): divides the batch until each row came out of one reader or the other."""

    def __init__(self, reader: RowReader, values: pa.BinaryArray, full: bool) -> None:
        self._reader = reader
        self._values = values
        self._full = full
        self._repeats = 0
        self._parts: list[_Part] = []
        self._errors: dict[int, str] = {}

    def run(self) -> DecodedRows:
        rows = len(self._values)
        todo = [np.arange(rows)] if rows else []
        while todo:
            todo += self._divide(todo.pop())
        return self._assembled(rows)

    def _divide(self, at: np.ndarray) -> list[np.ndarray]:
        """Decode the rows `at`. Returns those that are still to be decoded, in groups."""
        if not self._reader.vectorised or len(at) < STRICT_ROWS_MIN:
            self._strictly(at)
            return []
        values = self._values if len(at) == len(self._values) else self._values.take(pa.array(at))
        read = self._reader.read_block(values, full=self._full)
        if read is None:
            if len(at) > STRICT_ROWS_MAX:
                return np.array_split(at, SPLIT_PARTS)
            self._strictly(at)
            return []
        columns, proved = read
        if proved.all():
            self._parts.append(_Part(at, columns, proved))
            return []
        if proved.any():
            self._parts.append(_Part(at[proved], columns.filter(pa.array(proved)), proved[proved]))
        return self._examine(at[~proved])

    def _examine(self, at: np.ndarray) -> list[np.ndarray]:
        """Decode rows whose columns encode to other bytes; returns those that are worth another block.

        Either their bytes are not canonical, or they came after a row that the reader ran on from, or it is wrong.
        """
        sample, rest = at[:SAMPLE_ROWS], at[SAMPLE_ROWS:]
        canonical = self._strictly(sample)
        if len(canonical):
            again = self._reader.read_block(self._values.take(pa.array(canonical)), full=True)
            wrong = len(canonical) if again is None else int((~again[1]).sum())
            if wrong:  # by itself, with nothing before it to be led astray by
                self._reader.distrust(wrong)
        self._repeats += 1
        if 2 * len(canonical) >= len(sample) and self._repeats <= REPEATS_MAX:
            return [rest] if len(rest) else []
        self._strictly(rest)
        return []

    def _strictly(self, at: np.ndarray) -> np.ndarray:
        """Decode the rows `at` one by one. Returns which of them are canonical."""
        if not len(at):
            return at
        rows = self._reader.read_strictly(self._values.take(pa.array(at)))
        self._errors |= {int(at[index]): error for index, error in rows.errors.items()}
        decoded = at[rows.ok]
        if len(decoded):
            self._parts.append(_Part(decoded, rows.columns, rows.canonical))
        canonical: np.ndarray = decoded[rows.canonical]
        return canonical

    def _assembled(self, rows: int) -> DecodedRows:
        ok = np.ones(rows, bool)
        ok[list(self._errors)] = False
        errors = dict(sorted(self._errors.items()))
        if not self._parts:
            return DecodedRows(self._reader.no_rows, ok, np.zeros(0, bool), errors)
        if len(self._parts) == 1:
            return DecodedRows(self._parts[0].columns, ok, self._parts[0].canonical, errors)
        order = np.argsort(np.concatenate([part.at for part in self._parts]))
        columns = pa.concat_batches([part.columns for part in self._parts]).take(pa.array(order))
        return DecodedRows(columns, ok, np.concatenate([part.canonical for part in self._parts])[order], errors)
