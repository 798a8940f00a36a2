"""Rows of a file back to the records that Kafka gave, byte for byte, and the check that they are those.

docs/archive-format.md, section "The original value".
"""

from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .avro import AvroCodec, EncodeError, SchemaUnsupported, WriterSchema
from .parquet_file import FileCorrupt, Footer
from .part_digest import DigestColumns, Part, PartDigest
from .records import RECORD_SCHEMA


class DigestMismatch(Exception):
    """Restored records are not the ones that were archived."""


def restore_records(table: pa.Table, footer: Footer, where: str = "the file") -> pa.RecordBatch:
    """Return the original records of a file's rows (all, or a slice), in the file's order, in RECORD_SCHEMA.

    Raises FileCorrupt where the rows and the footer don't fit together, and for values of over 2 GiB together.
    """
    try:
        values = _values(table, footer, where) if footer.kind == "data" else _one(table.column("_value"))
        columns = [
            _one(table.column("_partition")),
            _one(table.column("_offset")),
            _one(table.column("_timestamp")),
            _one(table.column("_timestamp_type")),
            _one(table.column("_key")),
            values,
            _one(table.column("_headers")).cast(RECORD_SCHEMA.field("headers").type),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=RECORD_SCHEMA)
    except (pa.ArrowException, KeyError, SchemaUnsupported, EncodeError) as error:
        raise FileCorrupt(f"its rows can't be restored ({type(error).__name__}: {error})", where) from error


def check_part(records: pa.RecordBatch, part: Part, where: str = "the file") -> None:
    """Raise DigestMismatch unless the records (RECORD_SCHEMA) are exactly those of the part."""
    digest = PartDigest()
    digest.update_range(DigestColumns(records), 0, records.num_rows)
    found = digest.hexdigest()
    offsets = records.column(1)
    span = (offsets[0].as_py(), offsets[-1].as_py()) if records.num_rows else None
    foreign = bool(np.any(records.column(0).to_numpy() != part.partition))
    if records.num_rows == part.rows and span == (part.first, part.last) and not foreign and found == part.digest:
        return
    raise DigestMismatch(
        f"{where}, partition {part.partition}: expected {part.rows} records, offsets {part.first} to {part.last}, "
        f"digest {part.digest}; restored {records.num_rows} records, offsets {span}, digest {found}"
        f"{', some of another partition' if foreign else ''}. The file or this code is damaged: don't use the records"
    )


def _values(table: pa.Table, footer: Footer, where: str) -> pa.Array:
    kept = _one(table.column("_value"))
    frames = table.column("_frame").unify_dictionaries()
    indexes, dictionary = _indexes(frames)
    if not (indexes >= 0).any():
        return kept
    if indexes.max() >= len(dictionary):
        raise FileCorrupt("its column _frame points beyond its dictionary", where)
    if (kept.is_valid().to_numpy(zero_copy_only=False) & (indexes >= 0)).any():
        raise FileCorrupt("it has rows with both _frame and _value", where)
    pieces: list[pa.Array] = [kept]
    source = np.arange(table.num_rows)
    base = table.num_rows
    for index in np.unique(indexes[indexes >= 0]).tolist():
        at = np.flatnonzero(indexes == index)
        values = _encode(table, at, dictionary[index], footer, where)
        if len(at) == table.num_rows:
            return values
        pieces.append(values)
        source[at] = base + np.arange(len(at))
        base += len(at)
    return pa.concat_arrays(pieces).take(pa.array(source))


def _indexes(frames: pa.ChunkedArray) -> tuple[np.ndarray, list[bytes]]:
    """Return each row's index into the list of frames, -1 for none."""
    if not frames.num_chunks:
        return np.empty(0, np.int64), []
    indexes = pa.chunked_array([chunk.indices for chunk in frames.chunks])
    return pc.fill_null(indexes, -1).to_numpy(), frames.chunk(0).dictionary.to_pylist()


def _encode(table: pa.Table, at: np.ndarray, frame: bytes, footer: Footer, where: str) -> pa.Array:
    text = footer.schemas.get(frame)
    if text is None:
        raise FileCorrupt(f"it has rows of frame {frame.hex()}, whose schema is not in its footer", where)
    schema, codec = _codec(text, frame)
    own = table.select(schema.arrow_schema.names)
    if len(at) < table.num_rows:
        own = own.take(pa.array(at))
    for index, field in enumerate(schema.arrow_schema):
        if pa.types.is_null(field.type):
            own = own.set_column(index, field, pa.nulls(own.num_rows))  # stored as booleans
    return codec.encode(own)


@lru_cache(maxsize=64)
def _codec(text: str, frame: bytes) -> tuple[WriterSchema, AvroCodec]:
    schema = WriterSchema(text)
    return schema, AvroCodec(schema, frame=frame)


def _one(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    combined = column.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):
        if combined.num_chunks == 0:
            return pa.nulls(0, column.type)
        if combined.num_chunks > 1:
            raise pa.ArrowCapacityError("a column of over 2 GiB: restore the file by parts")
        return combined.chunk(0)
    return combined
