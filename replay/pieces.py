"""Cuts record batches into pieces, small in rows and in bytes, so that Python objects are made a few at a time."""

from collections.abc import Iterator

import pyarrow as pa


def pieces(records: pa.RecordBatch, *, rows_max: int, bytes_max: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield (first row, piece) of at most `rows_max` rows and, as far as rows are alike, about `bytes_max` bytes."""
    rows = records.num_rows
    step = max(1, min(rows_max, rows * bytes_max // max(records.nbytes, 1)))
    for start in range(0, rows, step):
        yield start, records.slice(start, step)
