"""Arrow arrays in a writer schema's own column types: from single decoded values, and from the vectorised reader's."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from .arrow_parts import bitmap, offsets_of, retyped, rows_of, valid_mask, values_of
from .nodes import Array, Decimal, Enum, Fixed, Map, Node, Null, Nullable, Primitive, Record

# Values are carried between the strict decoder and here so that no bit is lost: float and double as their bytes, enums
# as their index, decimals as unscaled integers, records as tuples, arrays as lists, maps as lists of pairs, null None.
_FLOAT_BYTES = {"float": 4, "double": 8}


class ForeignArray(Exception):
    """The vectorised reader gave an array of another type, or values that the schema does not allow."""


def batch_of(root: Record, rows: Sequence[Any]) -> pa.RecordBatch:
    """Make the columns of decoded records (tuples)."""
    arrays = [build(node, [row[at] for row in rows]) for at, (_, node) in enumerate(root.fields)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(list(root.arrow)))


def specimen(node: Node) -> Any:  # noqa: PLR0911 - one case a kind of node
    """Return a small value in which every part of the schema occurs."""
    match node:
        case Null():
            return None
        case Nullable():
            return specimen(node.inner)
        case Primitive(kind=("float" | "double") as kind):
            return bytes(_FLOAT_BYTES[kind])
        case Primitive(kind="bytes"):
            return b""
        case Primitive(kind="string"):
            return ""
        case Primitive(kind="boolean"):
            return False
        case Fixed():
            return bytes(node.size)
        case Record():
            return tuple(specimen(field) for _, field in node.fields)
        case Array():
            return [specimen(node.items)]
        case Map():
            return [specimen(node.entry)]
        case _:
            return 0


def build(node: Node, values: list[Any]) -> pa.Array:  # noqa: PLR0911 - one case a kind of node
    """Make one array of decoded values, None for null."""
    match node:
        case Nullable():
            return build(node.inner, values)
        case Null():
            return pa.nulls(len(values))
        case Primitive(kind=("float" | "double") as kind):
            return _build_floats(node.arrow, bytes(_FLOAT_BYTES[kind]), values)
        case Primitive(kind="int"):
            return retyped(pa.array(values, pa.int32()), node.arrow)
        case Primitive(kind="long"):
            return retyped(pa.array(values, pa.int64()), node.arrow)
        case Primitive() | Fixed():
            return pa.array(values, node.arrow)
        case Enum():
            return pa.DictionaryArray.from_arrays(pa.array(values, pa.int32()), node.symbols)
        case Decimal():
            data = b"".join([(value or 0).to_bytes(16, "little", signed=True) for value in values])
            return _from_buffers(node.arrow, values, [pa.py_buffer(data)], [])
        case Record():
            children = [
                build(field, [None if value is None else value[at] for value in values])
                for at, (_, field) in enumerate(node.fields)
            ]
            return _from_buffers(node.arrow, values, [], children)
        case Array():
            return _build_list(node.arrow, node.items, values)
        case Map():
            return _build_list(node.arrow, node.entry, values)


def _build_floats(kind: pa.DataType, zero: bytes, values: list[Any]) -> pa.Array:
    data = b"".join([zero if value is None else value for value in values])
    return _from_buffers(kind, values, [pa.py_buffer(data)], [])


def _build_list(kind: pa.DataType, items: Node, values: list[Any]) -> pa.Array:
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum([0 if value is None else len(value) for value in values], out=offsets[1:])
    child = build(items, [item for value in values if value is not None for item in value])
    return _from_buffers(kind, values, [pa.py_buffer(offsets)], [child])


def _from_buffers(kind: pa.DataType, values: list[Any], data: list[pa.Buffer], children: list[pa.Array]) -> pa.Array:
    present = np.array([value is not None for value in values], bool)
    nulls = len(values) - int(present.sum())
    validity = bitmap(present) if nulls else None
    return pa.Array.from_buffers(kind, len(values), [validity, *data], nulls, 0, children)


def adopt(node: Node, array: pa.Array) -> pa.Array:  # noqa: PLR0911 - one case a kind of node
    """Return the vectorised reader's array in the schema's own types. Raises ForeignArray where it is of another."""
    match node:
        case Nullable():
            return adopt(node.inner, array)
        case Enum():
            _expect(array, pa.types.is_dictionary(array.type) and array.type.index_type == pa.int32())
            _expect(array, len(array.dictionary) == len(node.symbols))
            return _adopt_enum(node, array)
        case Record():
            _expect(array, pa.types.is_struct(array.type) and array.type.num_fields == len(node.fields))
            children = [adopt(field, array.field(at)) for at, (_, field) in enumerate(node.fields)]
            return _with_children(node.arrow, array, children)
        case Array():
            _expect(array, pa.types.is_list(array.type))
            return _with_children(node.arrow, array, [adopt(node.items, array.values)])
        case Map():
            _expect(array, pa.types.is_map(array.type))
            entries = [
                adopt(field, child)
                for (_, field), child in zip(node.entry.fields, (array.keys, array.items), strict=True)
            ]
            return _with_children(
                node.arrow, array, [pa.StructArray.from_arrays(entries, fields=list(node.entry.arrow))]
            )
        case Decimal():
            _expect(array, array.type == node.arrow)
            return _adopt_decimal(node, array)
        case Primitive(kind="int"):
            _expect(array, array.type == pa.int32())
            return retyped(array, node.arrow)
        case Primitive(kind="long"):
            _expect(array, array.type == pa.int64())
            return retyped(array, node.arrow)
        case _:
            _expect(array, array.type == node.arrow)
            return array


def _expect(array: pa.Array, fits: bool) -> None:
    if not fits or array.offset:
        raise ForeignArray(f"an array of {array.type}, offset {array.offset}")


def _adopt_decimal(node: Decimal, array: pa.Array) -> pa.Array:
    """Check the precision: the reader does not, and Arrow's own check lets the least of all numbers pass."""
    halves = rows_of(array, 16).view("<u8")
    valid = valid_mask(array)
    low, high = halves[:, 0], halves[:, 1].view(np.int64)
    fits = _below(high, low, 10**node.precision) & ~_below(high, low, 1 - 10**node.precision)
    if not bool((fits if valid is None else fits | ~valid).all()):
        raise ForeignArray(f"a decimal has more than {node.precision} digits")
    return array


def _below(high: np.ndarray, low: np.ndarray, bound: int) -> np.ndarray:
    """Tell which of these 128-bit integers, given by halves, are below the bound."""
    top, rest = bound >> 64, np.uint64(bound & (2**64 - 1))
    below: np.ndarray = (high < top) | ((high == top) & (low < rest))
    return below


def _adopt_enum(node: Enum, array: pa.DictionaryArray) -> pa.Array:
    indices = array.indices
    if len(indices) != indices.null_count:
        found = values_of(indices, np.int32)
        present = found if indices.null_count == 0 else found[indices.is_valid().to_numpy(zero_copy_only=False)]
        _expect(array, bool(present.min() >= 0) and bool(present.max() < len(node.symbols)))
    return pa.DictionaryArray.from_arrays(indices, node.symbols, safe=False)


def _with_children(kind: pa.DataType, array: pa.Array, children: list[pa.Array]) -> pa.Array:
    buffers = [array.buffers()[0]]
    if not pa.types.is_struct(kind):
        buffers.append(pa.py_buffer(offsets_of(array)))
    return pa.Array.from_buffers(kind, len(array), buffers, array.null_count, 0, children)
