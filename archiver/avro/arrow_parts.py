"""What lies inside Arrow arrays, as numpy: validity, values, offsets. Mind that arrays may be slices of others."""

from typing import Any

import numpy as np
import pyarrow as pa


def valid_mask(array: pa.Array) -> np.ndarray | None:
    """Return which values are not null (bool), or None when none is null."""
    if array.null_count == 0:
        return None
    bitmap = array.buffers()[0]
    if bitmap is None:  # a null array has no bitmap
        return np.zeros(len(array), bool)
    return _bits(bitmap, array.offset, len(array))


def booleans(array: pa.BooleanArray) -> np.ndarray:
    """Return the values of a boolean array (bool); what stands for a null is arbitrary."""
    return _bits(array.buffers()[1], array.offset, len(array)) if len(array) else np.zeros(0, bool)


def _bits(buffer: pa.Buffer, offset: int, length: int) -> np.ndarray:
    first = offset // 8
    packed = np.frombuffer(buffer, np.uint8, count=(offset + length + 7) // 8 - first, offset=first)
    return np.unpackbits(packed, bitorder="little")[offset - 8 * first :][:length].view(bool)


def bitmap(mask: np.ndarray | None) -> pa.Buffer | None:
    """Return a validity bitmap for an array that begins at offset 0."""
    return None if mask is None else pa.py_buffer(np.packbits(mask, bitorder="little"))


def values_of(array: pa.Array, dtype: Any) -> np.ndarray:
    """Return the values of an array of fixed-width type, reinterpreted as `dtype`; arbitrary where null."""
    if not len(array):
        return np.zeros(0, dtype)
    width = np.dtype(dtype).itemsize
    return np.frombuffer(array.buffers()[1], dtype, count=len(array), offset=array.offset * width)


def rows_of(array: pa.Array, width: int) -> np.ndarray:
    """Return an array of values of `width` bytes each as a matrix of bytes, one row a value; arbitrary where null."""
    if not len(array):
        return np.zeros((0, width), np.uint8)
    flat = np.frombuffer(array.buffers()[1], np.uint8, count=len(array) * width, offset=array.offset * width)
    return flat.reshape(len(array), width)


def offsets_of(array: pa.Array) -> np.ndarray:
    """Return the int32 offsets of a binary, string, list or map array: one more than it has values."""
    if not len(array):
        return np.zeros(1, np.int32)
    return np.frombuffer(array.buffers()[1], np.int32, count=len(array) + 1, offset=array.offset * 4)


def retyped(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return the same bits under another type of the same layout, without a copy."""
    if array.type.equals(kind):
        return array
    return pa.Array.from_buffers(kind, len(array), array.buffers(), array.null_count, array.offset)
