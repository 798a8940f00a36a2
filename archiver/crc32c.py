"""CRC-32C (Castagnoli) of many pieces at once, with numpy: no package that the archiver needs has it.

A CRC is linear: the pieces are cut into chunks whose remainders are computed side by side, four bytes of each chunk a
step; then each remainder is carried on over what follows it in its piece, and those of a piece are added up (xor).
Sources: RFC 3720 appendix B.4 for the polynomial; M. Adler's crc32_combine() in zlib for carrying a remainder on.
"""

from collections.abc import Sequence

import numpy as np

_POLYNOMIAL = 0x82F63B78  # bits reversed, as is all that follows
CHUNK_BYTES = 512
_WORDS = CHUNK_BYTES // 4
_START_BYTES = 4  # the register starts with all bits set: the same as if these bytes were inverted, and it started at 0


def crc32c_of(pieces: Sequence[memoryview]) -> np.ndarray:
    """Return the CRC-32C of each piece (uint32). Each has at least 4 bytes."""
    if not pieces:
        return np.zeros(0, np.uint32)
    sizes = np.fromiter(map(len, pieces), np.int64, len(pieces))
    chunks = -(-sizes // CHUNK_BYTES)
    ends = np.cumsum(chunks)
    # Zeros in front of a piece change nothing while the register is 0, so its first chunk is filled up with them.
    laid_out = np.zeros(int(ends[-1]) * CHUNK_BYTES, np.uint8)
    for piece, size, end in zip(pieces, sizes.tolist(), (ends * CHUNK_BYTES).tolist(), strict=True):
        laid_out[end - size : end] = np.frombuffer(piece, np.uint8)
        laid_out[end - size : end - size + _START_BYTES] ^= 0xFF
    remainders = _remainders(laid_out.view("<u4").reshape(-1, _WORDS))
    behind = np.repeat(ends, chunks) - 1 - np.arange(int(ends[-1]))
    for bit in range(int(behind.max()).bit_length()):
        far = np.flatnonzero(behind >> bit & 1)
        remainders[far] = _apply(_carrying(bit), remainders[far])
    found: np.ndarray = np.bitwise_xor.reduceat(remainders, ends - chunks).astype(np.uint32)
    return ~found


def _remainders(words: np.ndarray) -> np.ndarray:
    """Return the remainder of each row of little-endian words."""
    low, high = _FOUR_BYTES
    register = np.zeros(len(words), np.int64)
    index, other = np.empty_like(register), np.empty_like(register)
    for column in np.ascontiguousarray(words.T):
        np.bitwise_xor(register, column, out=register)
        np.bitwise_and(register, 0xFFFF, out=index)
        np.right_shift(register, 16, out=register)
        np.take(low, index, out=other, mode="clip")
        np.take(high, register, out=index, mode="clip")
        np.bitwise_xor(other, index, out=register)
    return register


Operator = tuple[np.ndarray, np.ndarray]
"""A linear map of 32 bits: the images of all low halves and of all high halves."""


def _apply(operator: Operator, values: np.ndarray) -> np.ndarray:
    images: np.ndarray = operator[0][values & 0xFFFF] ^ operator[1][values >> 16]
    return images


def _operator(images_of_bits: np.ndarray) -> Operator:
    halves = np.zeros((2, 1 << 16), np.int64)
    for bit in range(16):
        halves[:, 1 << bit : 2 << bit] = halves[:, : 1 << bit] ^ images_of_bits.reshape(2, 16)[:, bit, None]
    return halves[0], halves[1]


def _four_bytes() -> Operator:
    """Return what four zero bytes make of a register."""
    images = np.int64(1) << np.arange(32)
    for _ in range(32):
        images = images >> 1 ^ np.where(images & 1, _POLYNOMIAL, 0)
    return _operator(images)


_FOUR_BYTES = _four_bytes()
_carryings: list[Operator] = []


def _carrying(bit: int) -> Operator:
    """Return what 2**bit chunks of zero bytes make of a register."""
    bits = np.int64(1) << np.arange(32)
    while len(_carryings) <= bit:
        if not _carryings:
            images = bits
            for _ in range(_WORDS):
                images = _apply(_FOUR_BYTES, images)
        else:
            images = _apply(_carryings[-1], _apply(_carryings[-1], bits))
        _carryings.append(_operator(images))
    return _carryings[bit]
