"""Snappy as Kafka's clients write it: plain, or in the blocks of the snappy-java library, which begin with a mark.

Source: https://github.com/xerial/snappy-java, SnappyOutputStream: the mark, two version numbers, then blocks, each
with its size in front.
"""

import struct

import pyarrow as pa

_MARK = b"\x82SNAPPY\x00"
_HEAD_BYTES = 16
_SIZE_BYTES_MAX = 5


def unframed(body: memoryview) -> bytes:
    """Return what was compressed. Raises ValueError, pyarrow's errors."""
    if bytes(body[: len(_MARK)]) != _MARK:
        return _block(body)
    blocks: list[bytes] = []
    at = _HEAD_BYTES
    while at < len(body):
        if at + 4 > len(body):
            raise ValueError("the size of a block is cut off")
        (size,) = struct.unpack_from(">i", body, at)
        at += 4
        if size < 0 or at + size > len(body):
            raise ValueError(f"a block of {size} bytes in {len(body) - at}")
        blocks.append(_block(body[at : at + size]))
        at += size
    return b"".join(blocks)


def _block(block: memoryview) -> bytes:
    """Return one block decompressed; it begins with the size of that."""
    size = shift = 0
    for byte in block[:_SIZE_BYTES_MAX]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    else:
        raise ValueError("the size of a block has no end")
    if size > 64 * max(1, len(block)) + 64:  # snappy's copies make at most 64 bytes of 2
        raise ValueError(f"{len(block)} bytes that claim to be {size}")
    found: bytes = pa.decompress(block, decompressed_size=size, codec="snappy", asbytes=True)
    return found
