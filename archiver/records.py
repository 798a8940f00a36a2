"""A batch of Kafka records as Arrow columns: the one form in which records enter and leave the archive.

Nothing here knows about Avro, Parquet or S3.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa

Headers: TypeAlias = list[tuple[str, bytes | None]]
"""A record's headers as Kafka clients give them: order and duplicates matter, a value may be null."""

HEADERS_TYPE = pa.list_(pa.struct([pa.field("name", pa.string()), pa.field("value", pa.binary())]))

RECORD_SCHEMA = pa.schema(
    [
        pa.field("partition", pa.int32()),
        pa.field("offset", pa.int64()),
        pa.field("timestamp", pa.int64()),  # milliseconds since the epoch; -1: none
        pa.field("timestamp_type", pa.int8()),  # Kafka's ids: -1 none, 0 CreateTime, 1 LogAppendTime
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field("headers", HEADERS_TYPE),  # never null: no headers is the empty list
    ]
)


def record_batch(  # noqa: PLR0917 - one argument a column, in the schema's order
    partitions: Sequence[int] | np.ndarray,
    offsets: Sequence[int] | np.ndarray,
    timestamps: Sequence[int] | np.ndarray,
    timestamp_types: Sequence[int] | np.ndarray,
    keys: Sequence[bytes | None],
    values: Sequence[bytes | None],
    headers: Sequence[Headers | None],
) -> pa.RecordBatch:
    """Make a batch in RECORD_SCHEMA from columns of equal length.

    `headers` may hold None or an empty list for "no headers"; both become the empty list, as in Kafka itself.
    Raises ValueError for lengths that differ, and for keys or values of over 2 GiB together.
    """
    columns = [
        pa.array(partitions, pa.int32()),
        pa.array(offsets, pa.int64()),
        pa.array(timestamps, pa.int64()),
        pa.array(timestamp_types, pa.int8()),
        pa.array(keys, pa.binary()),
        pa.array(values, pa.binary()),
        headers_array(headers),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=RECORD_SCHEMA)


def headers_array(headers: Sequence[Headers | None]) -> pa.ListArray:
    """Make the headers column; cheap when no record has headers, which is the usual case."""
    counts = np.zeros(len(headers) + 1, np.int32)
    names: list[str] = []
    values: list[bytes | None] = []
    if any(headers):
        counts[1:] = np.fromiter((len(each) if each else 0 for each in headers), np.int32, len(headers))
        for name, value in _flat(headers):
            names.append(name)
            values.append(value)
    pairs = pa.StructArray.from_arrays(
        [pa.array(names, pa.string()), pa.array(values, pa.binary())], fields=list(HEADERS_TYPE.value_type)
    )
    return pa.ListArray.from_arrays(pa.array(np.cumsum(counts, dtype=np.int32)), pairs, type=HEADERS_TYPE)


def _flat(headers: Sequence[Headers | None]) -> Iterable[tuple[str, bytes | None]]:
    return (pair for each in headers if each for pair in each)
