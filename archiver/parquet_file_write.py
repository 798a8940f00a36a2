"""Format v1 files, writing: row groups in, checked bytes out.

docs/archive-format.md, section "Parquet settings".
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .parquet_file import FOOTER_KEY, FileCorrupt, Footer, footer_of
from .part_digest import Part

ROW_GROUP_ROWS_MAX = 131_072
SAMPLE_ROWS = 2_048
BATCH_ROWS = 1_024
PAGE_BYTES = 1 << 20
DICTIONARY_DISTINCT_MAX = SAMPLE_ROWS // 4
"""A column is dictionary-encoded if a sample of its values has no more distinct ones than this."""

_DELTA_COLUMNS = ("_offset", "_timestamp")
_STATISTICS_COLUMNS = ("_partition", "_offset", "occurred_at")
_ALWAYS_DICTIONARY = ("_partition", "_timestamp_type", "_frame", "_error_kind")
_NEVER_DICTIONARY = ("_offset", "_timestamp", "_value", "_late")


@dataclass(frozen=True, slots=True)
class Extent:
    """What a file must turn out to hold, known before it is written: rows, and (min, max) of two columns."""

    rows: int
    partitions: tuple[int, int]
    offsets: tuple[int, int]

    @classmethod
    def of(cls, parts: Sequence[Part]) -> "Extent":
        """Return what parts that follow each other, by partition, make together."""
        return cls(
            parts[-1].row_start + parts[-1].rows,
            (parts[0].partition, parts[-1].partition),
            (min(part.first for part in parts), max(part.last for part in parts)),
        )


def row_group_bounds(rows: int) -> list[tuple[int, int]]:
    """Cut `rows` into row groups of equal size (to within one), as few as the limit allows."""
    groups = max(1, -(-rows // ROW_GROUP_ROWS_MAX))
    return [(rows * each // groups, rows * (each + 1) // groups) for each in range(groups)]


def write_file(groups: Iterator[pa.Table], footer: Footer, extent: Extent) -> bytes:
    """Write one table for each row group, all of one schema, and check the result by opening it again.

    Raises FileCorrupt if what was written isn't what `extent` says, which would be a bug: nothing may be committed.
    """
    first = next(groups)
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, first.schema, **_settings(first)) as writer:
        writer.write_table(first, row_group_size=ROW_GROUP_ROWS_MAX)
        for group in groups:
            writer.write_table(group, row_group_size=ROW_GROUP_ROWS_MAX)
        writer.add_key_value_metadata({FOOTER_KEY: footer.to_json()})
    body = sink.getvalue()
    _check(body, footer, extent)
    return body


def _settings(sample: pa.Table) -> dict[str, object]:
    leaves = _leaves(sample)
    delta = [name for name in _DELTA_COLUMNS if name in sample.schema.names]
    delta += [field.name for field in sample.schema if pa.types.is_timestamp(field.type)]
    dictionary = [path for path, array in leaves if path not in delta and _dictionary_pays(path, array)]
    return {
        # The writer looks at a page's size only after so many rows: pages of a thousand large values would be there
        # three times at once.
        "write_batch_size": max(1, min(BATCH_ROWS, PAGE_BYTES * sample.num_rows // max(1, sample.nbytes))),
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": dictionary or False,
        "column_encoding": dict.fromkeys(delta, "DELTA_BINARY_PACKED"),
        "write_statistics": [name for name in _STATISTICS_COLUMNS if name in sample.schema.names],
        "write_page_checksum": True,
        "store_schema": False,
        "version": "2.6",
        "data_page_version": "1.0",
    }


def _leaves(table: pa.Table) -> list[tuple[str, pa.Array]]:
    """Return a sample of each leaf column with its path in Parquet's terms."""
    rows = table.num_rows
    if rows > SAMPLE_ROWS:
        table = table.take(pa.array(np.arange(SAMPLE_ROWS, dtype=np.int64) * rows // SAMPLE_ROWS))
    leaves: list[tuple[str, pa.Array]] = []
    for name, column in zip(table.schema.names, table.columns, strict=True):
        if name not in _NEVER_DICTIONARY:  # to combine the chunks of all values would be to copy them
            _add_leaves(name, column.combine_chunks(), leaves)
    return leaves


def _add_leaves(path: str, array: pa.Array, leaves: list[tuple[str, pa.Array]]) -> None:
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.nulls(0, array.type)
    kind = array.type
    if pa.types.is_struct(kind):
        for index, field in enumerate(kind):
            _add_leaves(f"{path}.{field.name}", array.field(index), leaves)
    elif pa.types.is_map(kind):
        _add_leaves(f"{path}.key_value.key", array.keys, leaves)
        _add_leaves(f"{path}.key_value.value", array.items, leaves)
    elif pa.types.is_list(kind):
        _add_leaves(f"{path}.list.element", array.values, leaves)
    else:
        leaves.append((path, array))


def _dictionary_pays(path: str, sample: pa.Array) -> bool:
    if path in _ALWAYS_DICTIONARY or pa.types.is_dictionary(sample.type):
        return True
    if pa.types.is_boolean(sample.type) or sample.null_count == len(sample):
        return False
    present: int = len(sample) - sample.null_count
    distinct: int = pc.count_distinct(sample).as_py()
    return distinct <= min(DICTIONARY_DISTINCT_MAX, max(1, present // 4))


def _check(body: bytes, footer: Footer, extent: Extent) -> None:
    where = f"a new {footer.kind} file of topic {footer.topic}, dt {footer.dt}"
    if footer_of(body, where) != footer:
        raise FileCorrupt("its footer reads back differently from what was written", where)
    metadata = pq.read_metadata(pa.BufferReader(body))
    found = Extent(metadata.num_rows, _span(metadata, "_partition"), _span(metadata, "_offset"))
    if found != extent:
        raise FileCorrupt(f"it was written with {extent} and reads back with {found}", where)


def _span(metadata: pq.FileMetaData, column: str) -> tuple[int, int]:
    schema = metadata.schema
    index = next(at for at in range(metadata.num_columns) if schema.column(at).path == column)
    each = [metadata.row_group(group).column(index).statistics for group in range(metadata.num_row_groups)]
    return min(one.min for one in each), max(one.max for one in each)
