"""Whole columns of integers to Avro's variable-length integers, with numpy."""

import numpy as np
import pyarrow as pa

LENGTH_MAX = 10


def zigzag(values: np.ndarray) -> np.ndarray:
    """Map int64 to uint64 so that small magnitudes become small numbers: 0, -1, 1, -2 to 0, 1, 2, 3."""
    doubled = values << 1
    doubled ^= values >> 63
    return doubled.view(np.uint64)


def varint_lengths(zigzagged: np.ndarray) -> np.ndarray | int:
    """Return the bytes that each number takes (uint8), one int when all take the same."""
    if not len(zigzagged):
        return 1
    shortest = _length(int(zigzagged.min()))
    longest = _length(int(zigzagged.max()))
    if shortest == longest:
        return shortest
    lengths = np.full(len(zigzagged), shortest, np.uint8)
    for length in range(shortest, longest):
        lengths += zigzagged >= np.uint64(1 << (7 * length))
    return lengths


def _length(number: int) -> int:
    return max(1, -(-number.bit_length() // 7))


def encode_varints(zigzagged: np.ndarray) -> pa.BinaryArray:
    """Return the encoding of each number."""
    lengths = varint_lengths(zigzagged)
    if isinstance(lengths, int):
        return fixed_pieces(_spread(zigzagged, lengths))
    longest = int(lengths.max())
    matrix = _spread(zigzagged, longest)
    # Groups beyond a number's own are zero; its own last one loses the mark that another follows.
    matrix.reshape(-1)[np.arange(0, matrix.size, longest) + (lengths - np.uint8(1))] &= 0x7F
    data = matrix[np.arange(longest, dtype=np.uint8) < lengths[:, None]]
    return pieces(data, offsets_of(lengths))


def _spread(zigzagged: np.ndarray, length: int) -> np.ndarray:
    """Return one row of `length` bytes a number: seven bits each, all but the last marked as followed by another."""
    matrix = np.empty((len(zigzagged), length), np.uint8)
    rest = zigzagged.copy()
    for at in range(length):
        matrix[:, at] = rest
        rest >>= np.uint64(7)
    matrix[:, : length - 1] |= 0x80
    matrix[:, length - 1] &= 0x7F
    return matrix


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """Return where pieces of these lengths begin and where the last one ends: int32, one more than the pieces."""
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def pieces(data: np.ndarray, offsets: np.ndarray) -> pa.BinaryArray:
    """Return the byte strings that lie in `data` at these int32 offsets, without a copy."""
    return pa.Array.from_buffers(
        pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data))], 0
    )


def fixed_pieces(matrix: np.ndarray) -> pa.BinaryArray:
    """Return each row of a matrix of bytes as a byte string."""
    rows, width = matrix.shape
    return pieces(matrix.reshape(-1), np.arange(0, (rows + 1) * width, width, dtype=np.int32)[: rows + 1])
