"""The length proof: shows, without encoding them, that decoded rows are what their canonical encodings say.

A value's canonical encoding is the shortest that decodes to it. The decoder began at the first row's first byte and
ended at the last one's last byte. If each row is as long as its canonical encoding, then no row took more bytes than
that, hence each took its own, in the canonical form. Two things are the same length in any form, and decoders take
whatever stands there: the index of a union and a boolean. These bytes are looked at, where they must lie.

Holds for the schemas of `has_fixed_length_forms` only, and only for all rows at once. It trusts the decoder to get
canonical bytes right, which is why the codec encodes a sample in full.
"""

import numpy as np
import pyarrow as pa

from .arrow_parts import booleans, offsets_of, valid_mask, values_of
from .encode import enum_numbers
from .nodes import Enum, Fixed, Node, Null, Nullable, Primitive, Record
from .varint import varint_lengths, zigzag

Lengths = np.ndarray | int


def proves_canonical(root: Record, frame: bytes, columns: pa.RecordBatch, values: pa.BinaryArray) -> bool:
    """Tell whether all of `values` are the canonical encodings of the rows of `columns`, in order."""
    bounds = offsets_of(values).astype(np.int64)
    walk = _Walk(np.frombuffer(values.buffers()[2] or b"", np.uint8), bounds[:-1].copy())
    walk.skip(len(frame), None)
    for (_, node), array in zip(root.fields, columns.columns, strict=True):
        _walk(node, array, None, walk)
    return walk.ends_at(bounds[1:])


class _Walk:
    """Where in the data each row's next field begins."""

    def __init__(self, data: np.ndarray, at: np.ndarray) -> None:
        self._data = data
        self._at = at
        self._same = 0  # what is still to be added to all of `_at`
        self._right = True

    def skip(self, lengths: Lengths, present: np.ndarray | None) -> None:
        """Pass a field of these lengths, in the rows where it is present."""
        if present is not None:
            self._at += np.where(present, lengths, 0) if isinstance(lengths, int) else lengths * present
        elif isinstance(lengths, int):
            self._same += lengths
        else:
            self._at += lengths

    def expect(self, expected: np.ndarray | int, present: np.ndarray | None) -> None:
        """Pass a byte that must be the expected one."""
        found = self._data.take(self._at + self._same, mode="clip")
        same = found == expected
        self._right = self._right and bool((same if present is None else same | ~present).all())
        self.skip(1, present)

    def ends_at(self, ends: np.ndarray) -> bool:
        return self._right and np.array_equal(self._at + self._same, ends)


def _walk(node: Node, array: pa.Array, present: np.ndarray | None, walk: _Walk) -> None:  # noqa: C901, PLR0912 - one case a kind of node
    match node:
        case Nullable():
            null, other = 2 * node.null_index, 2 - 2 * node.null_index
            valid = valid_mask(array)
            if valid is None:
                walk.expect(other, present)
                _walk(node.inner, array, present, walk)
            else:
                walk.expect(np.where(valid, np.uint8(other), np.uint8(null)), present)
                _walk(node.inner, array, valid if present is None else present & valid, walk)
        case Record():
            for at, (_, field) in enumerate(node.fields):
                _walk(field, array.field(at), present, walk)
        case Primitive(kind="boolean"):
            walk.expect(booleans(array).view(np.uint8), present)
        case Primitive(kind="int"):
            walk.skip(varint_lengths(zigzag(values_of(array, np.int32).astype(np.int64))), present)
        case Primitive(kind="long"):
            walk.skip(varint_lengths(zigzag(values_of(array, np.int64))), present)
        case Primitive(kind="float"):
            walk.skip(4, present)
        case Primitive(kind="double"):
            walk.skip(8, present)
        case Primitive():
            lengths = np.diff(offsets_of(array))
            walk.skip(varint_lengths(lengths.astype(np.uint64) << np.uint64(1)), present)
            walk.skip(lengths, present)
        case Fixed():
            walk.skip(node.size, present)
        case Enum():
            walk.skip(varint_lengths(enum_numbers(node, array) << np.uint64(1)), present)
        case Null():
            pass
        case _:
            raise TypeError(f"the length proof does not hold for {type(node).__name__}")
