"""Columns to Avro values: the canonical encoding, a batch at a time.

Canonical: shortest integers, each array and map in one block that is counted by items, decimals in as few bytes as hold
them. Each field becomes one or more arrays of byte strings, one string a row, which Arrow then joins row by row.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .arrow_parts import bitmap, booleans, offsets_of, rows_of, valid_mask, values_of
from .nodes import Array, Decimal, Enum, Fixed, Map, Node, Null, Nullable, Primitive, Record
from .varint import encode_varints, fixed_pieces, pieces, zigzag

# Part of every row's encoding: the same bytes for all rows, or one byte string a row, null where the row has none.
Piece: TypeAlias = bytes | Any  # Any: a pa.BinaryArray

_UNION_BYTES = (b"\x00", b"\x02")


class EncodeError(ValueError):
    """The columns are not what the schema's rows can look like."""


def encode_rows(root: Record, frame: bytes, columns: pa.Table | pa.RecordBatch) -> pa.BinaryArray:
    """Return `frame` and the encoded record for each row. Columns are found by name; others may be there too.

    Raises EncodeError when a column is missing, has a wrong type, or a null where the schema has none.
    """
    arrays = []
    for name, node in root.fields:
        at = columns.schema.get_field_index(name)
        if at < 0:
            raise EncodeError(f"encoding {columns.num_rows} rows: there is no single column {name!r}")
        column = columns.column(at)
        arrays.append(
            _conform(node, column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column, (name,))
        )
    return _join([frame, *_fields(root, arrays, None, ())], columns.num_rows)


def _conform(node: Node, array: pa.Array, path: tuple[str, ...]) -> pa.Array:
    """Return a leaf array in its node's type. Readers of files give enums as text, and large or view types."""
    if isinstance(node, Nullable):
        return _conform(node.inner, array, path)
    if isinstance(node, Record | Array | Map) or array.type.equals(node.arrow):
        return array
    if isinstance(node, Enum) and pa.types.is_dictionary(array.type):
        return array
    if pa.types.is_floating(node.arrow) or pa.types.is_floating(array.type):  # a cast may round
        raise EncodeError(f"the column {'.'.join(path)} is {array.type}, its schema makes {node.arrow}")
    kind = pa.string() if isinstance(node, Enum) else node.arrow
    try:
        return array.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise EncodeError(
            f"the column {'.'.join(path)} is {array.type}, the schema makes it {kind}: {error}"
        ) from error


def _fields(node: Record, arrays: Sequence[pa.Array], present: np.ndarray | None, path: tuple[str, ...]) -> list[Piece]:
    found: list[Piece] = []
    for (name, field), array in zip(node.fields, arrays, strict=True):
        found += _pieces(field, array, present, (*path, name))
    return found


def _pieces(node: Node, array: pa.Array, present: np.ndarray | None, path: tuple[str, ...]) -> list[Piece]:  # noqa: PLR0911 - one case a kind of node
    """Return the pieces of one column. Rows that are not `present` may come out as anything."""
    array = _conform(node, array, path)
    match node:
        case Null():
            return []
        case Nullable():
            return _nullable(node, array, present, path)
    _check_nulls(array, present, path)
    match node:
        case Primitive():
            return _primitive(node, array)
        case Fixed():
            return [fixed_pieces(rows_of(array, node.size))]
        case Enum():
            return [encode_varints(_enum_numbers(node, array, path) << np.uint64(1))]
        case Decimal():
            return _decimal(node, array)
        case Record():
            return _fields(node, _children(node, array, path), present, path)
        case Array() | Map():
            return _items(node, array, present, path)


def _check_nulls(array: pa.Array, present: np.ndarray | None, path: tuple[str, ...]) -> None:
    valid = valid_mask(array)
    if valid is None:
        return
    missing = ~valid if present is None else present & ~valid
    if missing.any():
        raise EncodeError(
            f"the column {'.'.join(path)} is null, which the schema does not allow, in row {missing.argmax()}"
        )


def _nullable(node: Nullable, array: pa.Array, present: np.ndarray | None, path: tuple[str, ...]) -> list[Piece]:
    null, other = _UNION_BYTES[node.null_index], _UNION_BYTES[1 - node.null_index]
    valid = valid_mask(array)
    if valid is None:
        return [other, *_pieces(node.inner, array, present, path)]
    if not valid.any():
        return [null]
    branches = np.where(valid, np.uint8(other[0]), np.uint8(null[0]))
    inner = _pieces(node.inner, array, valid if present is None else present & valid, path)
    validity = bitmap(valid)
    return [fixed_pieces(branches.reshape(-1, 1)), *(_masked(piece, len(array), validity) for piece in inner)]


def _masked(piece: Piece, rows: int, validity: pa.Buffer | None) -> pa.BinaryArray:
    """Take the piece out of the rows that are not valid."""
    array = _join([piece], rows) if isinstance(piece, bytes) or piece.null_count else piece
    if array.offset:
        array = pieces(np.frombuffer(array.buffers()[2] or b"", np.uint8), offsets_of(array).copy())
    return pa.Array.from_buffers(pa.binary(), rows, [validity, *array.buffers()[1:]])


def _primitive(node: Primitive, array: pa.Array) -> list[Piece]:
    match node.kind:
        case "boolean":
            return [fixed_pieces(booleans(array).view(np.uint8).reshape(-1, 1))]
        case "int":
            return [encode_varints(zigzag(values_of(array, np.int32).astype(np.int64)))]
        case "long":
            return [encode_varints(zigzag(values_of(array, np.int64)))]
        case "float":
            return [fixed_pieces(rows_of(array, 4))]
        case "double":
            return [fixed_pieces(rows_of(array, 8))]
        case "bytes" | "string":
            return [
                encode_varints(np.diff(offsets_of(array)).astype(np.uint64) << np.uint64(1)),
                array.view(pa.binary()),
            ]


def enum_numbers(node: Enum, array: pa.Array) -> np.ndarray:
    """Return each row's symbol index (uint64), 0 where null. Raises ValueError for a text that is no symbol."""
    coded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    indices = values_of(coded.indices.cast(pa.int32()), np.int32)
    valid = valid_mask(coded.indices)
    if valid is not None:
        indices = np.where(valid, indices, 0)
    if not coded.dictionary.equals(node.symbols):
        known = pc.index_in(coded.dictionary.cast(pa.string()), node.symbols)
        numbers = known.fill_null(-1).to_numpy()
        indices = numbers[indices] if len(numbers) else indices
        bad = indices < 0 if valid is None else (indices < 0) & valid
        if bad.any():
            raise ValueError(f"row {bad.argmax()} holds no symbol of the enum")
        indices = np.maximum(indices, 0)
    return indices.astype(np.uint64)


def _enum_numbers(node: Enum, array: pa.Array, path: tuple[str, ...]) -> np.ndarray:
    try:
        return enum_numbers(node, array)
    except ValueError as error:
        raise EncodeError(f"the column {'.'.join(path)}: {error}") from error


def _decimal(node: Decimal, array: pa.Array) -> list[Piece]:
    big = rows_of(array, 16)[:, ::-1]  # most significant byte first
    if node.size is not None:
        width = min(node.size, 16)
        extended = np.empty((len(big), node.size), np.uint8)
        extended[:, node.size - width :] = big[:, 16 - width :]
        extended[:, : node.size - width] = np.where(big[:, :1] >= 0x80, np.uint8(0xFF), np.uint8(0))
        return [fixed_pieces(extended)]
    # A leading byte is superfluous while it repeats the sign bit of the byte after it.
    sign = np.where(big[:, :1] >= 0x80, np.uint8(0xFF), np.uint8(0))
    superfluous = (big[:, :-1] == sign) & ((big[:, 1:] ^ sign) < 0x80)
    skipped = np.logical_and.accumulate(superfluous, axis=1).sum(axis=1)
    data = big[np.arange(16) >= skipped[:, None]]
    offsets = np.zeros(len(big) + 1, np.int32)
    np.cumsum(16 - skipped, out=offsets[1:])
    return [fixed_pieces(((16 - skipped) * 2).astype(np.uint8).reshape(-1, 1)), pieces(data, offsets)]


def _children(node: Record, array: pa.StructArray, path: tuple[str, ...]) -> list[pa.Array]:
    if not pa.types.is_struct(array.type):
        raise EncodeError(f"the column {'.'.join(path)} is {array.type}, the schema makes it {node.arrow}")
    found = []
    for name, _ in node.fields:
        at = array.type.get_field_index(name)
        if at < 0:
            raise EncodeError(f"the column {'.'.join(path)} has no single field {name!r}")
        found.append(array.field(at))
    return found


def _items(node: Array | Map, array: pa.Array, present: np.ndarray | None, path: tuple[str, ...]) -> list[Piece]:
    if not (pa.types.is_list(array.type) or pa.types.is_map(array.type)):
        raise EncodeError(f"the column {'.'.join(path)} is {array.type}, the schema makes it {node.arrow}")
    offsets = offsets_of(array).astype(np.int64)
    first, last = int(offsets[0]), int(offsets[-1])
    counts = np.diff(offsets)
    valid = valid_mask(array)
    if valid is not None:
        present = valid if present is None else present & valid
    below = None if present is None or not counts[~present].any() else np.repeat(present, counts)
    if isinstance(node, Map):
        arrays = [array.keys.slice(first, last - first), array.items.slice(first, last - first)]
        parts = _fields(node.entry, arrays, below, path)
    else:
        parts = _pieces(node.items, array.values.slice(first, last - first), below, (*path, "[]"))
    items = _join(parts, last - first)
    bounds = offsets_of(items)[offsets - first]  # a row's items lie together: where they begin and end
    blocks = pieces(np.frombuffer(items.buffers()[2] or b"", np.uint8), np.ascontiguousarray(bounds))
    heads = encode_varints(zigzag(counts))
    return [_masked(heads, len(array), bitmap(counts > 0)), blocks, b"\x00"]


def _join(parts: Sequence[Piece], rows: int) -> pa.BinaryArray:
    """Join the pieces of each row into one byte string a row, none of them null."""
    merged: list[Piece] = []
    for part in parts:
        last = merged[-1] if merged else None
        if isinstance(part, bytes) and isinstance(last, bytes):
            merged[-1] = last + part
        else:
            merged.append(part)
    if not rows or all(isinstance(part, bytes) for part in merged):
        constant = b"".join(part for part in merged if isinstance(part, bytes))
        return pa.array([constant], pa.binary()).take(pa.array(np.zeros(rows, np.int8)))
    only = merged[0]
    if len(merged) == 1 and not isinstance(only, bytes):  # alone, the join below would leave its nulls' rows out
        return pc.fill_null(only, b"") if only.null_count else only
    operands = [pa.scalar(part, pa.binary()) if isinstance(part, bytes) else part for part in merged]
    return pc.binary_join_element_wise(*operands, pa.scalar(b"", pa.binary()), null_handling="skip")
