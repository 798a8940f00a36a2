"""Records one by one: of batches that whole columns do not do for, and of the formats before v2.

Exact and slow. Sources: https://kafka.apache.org/documentation/#recordbatch and, for messages before v2,
https://kafka.apache.org/documentation/#messageset and Kafka's LegacyRecord.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from .record_batches import CURRENT_MAGIC, Batch, BatchDamaged, decompressed, varint
from .records import Headers

_OLD_HEAD = struct.Struct(">qiIbb")  # offset, size, CRC, magic, attributes
_OLD_CODECS = {1: "gzip", 2: "snappy", 3: "lz4"}
_APPEND_TIME = 8
CREATE_TIME, NO_TIME = 0, -1


@dataclass(slots=True)
class Rows:
    """Columns of records, as lists; and by offset why the headers of some records cannot be told."""

    offsets: list[int] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)
    headers: list[Headers | None] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)


def rows_of(batch: Batch, body: memoryview, floor: int) -> Rows:
    """Return a batch's records from offset `floor` on. `body`: what Batch.decompressed() gave. Raises BatchDamaged."""
    rows = Rows()
    if batch.magic < CURRENT_MAGIC:
        for message in _old_messages(body):
            if message[0] >= floor:
                _add(rows, *message, None)
        return rows
    data, at = bytes(body), 0
    for _ in range(batch.records):
        at = _record(data, at, batch, floor, rows)
    if at != len(data):
        raise BatchDamaged(f"the batch at offset {batch.base} has {len(data) - at} bytes behind its last record")
    return rows


def _record(data: bytes, at: int, batch: Batch, floor: int, rows: Rows) -> int:
    """Add the record that begins at `at`; return where the next one does."""
    length, at = varint(data, at)
    end = at + length
    since, at = varint(data, at + 1)
    delta, at = varint(data, at)
    key, at = _sized(data, at)
    value, at = _sized(data, at)
    count, at = varint(data, at)
    pairs: list[tuple[bytes, bytes | None]] = []
    for _ in range(count):
        name, at = _sized(data, at)
        given, at = _sized(data, at)
        pairs.append((name or b"", given))
    offset = batch.base + delta
    if at != end or not batch.base <= offset < batch.after or (rows.offsets and offset <= rows.offsets[-1]):
        raise BatchDamaged(f"the batch at offset {batch.base} has a record that is not {length} bytes, or out of order")
    if offset >= floor:
        stamp = batch.timestamp if batch.timestamp_type else batch.timestamp + since
        _add(rows, offset, stamp, batch.timestamp_type, key, value, pairs)
    return end


def _sized(data: bytes, at: int) -> tuple[bytes | None, int]:
    size, at = varint(data, at)
    if size < 0:
        return None, at
    if at + size > len(data):
        raise BatchDamaged(f"a record wants {size} bytes of {len(data) - at}")
    return data[at : at + size], at + size


def _add(  # noqa: PLR0917 - one argument a column
    rows: Rows,
    offset: int,
    timestamp: int,
    kind: int,
    key: bytes | None,
    value: bytes | None,
    pairs: list[tuple[bytes, bytes | None]] | None,
) -> None:
    headers: Headers | None = None
    if pairs:
        try:
            headers = [(header_name(name), given) for name, given in pairs]
        except UnicodeDecodeError as error:
            rows.faults[offset] = f"a header's name is not UTF-8; its bytes are {error.object.hex()}"
            return
    rows.offsets.append(offset)
    rows.timestamps.append(timestamp)
    rows.types.append(kind)
    rows.keys.append(key)
    rows.values.append(value)
    rows.headers.append(headers)


def header_name(name: bytes) -> str:
    """Return a header's name as Kafka's C client gives it out: it ends at the first NUL. Raises UnicodeDecodeError."""
    return name.partition(b"\0")[0].decode()


OldMessage = tuple[int, int, int, bytes | None, bytes | None]
"""Offset, timestamp, its type, key, value."""


def _old_messages(data: memoryview) -> Iterator[OldMessage]:
    """Yield the messages of a message set, those within others included. Raises BatchDamaged."""
    at = 0
    while at + _OLD_HEAD.size <= len(data):
        offset, size, crc, magic, attributes = _OLD_HEAD.unpack_from(data, at)
        end = at + 12 + size
        if size < 6 or end > len(data):
            raise BatchDamaged(f"the message at offset {offset} is cut off")
        if zlib.crc32(data[at + 16 : end]) != crc:
            raise BatchDamaged(f"the message at offset {offset} is damaged: its CRC-32 is another")
        at += _OLD_HEAD.size
        timestamp, kind = -1, NO_TIME
        if magic:
            (timestamp,) = struct.unpack_from(">q", data, at)
            kind, at = int(bool(attributes & _APPEND_TIME)), at + 8
        key, at = _old_sized(data, at, end)
        value, at = _old_sized(data, at, end)
        if attributes & 7:
            yield from _inner(offset, attributes, value, timestamp, kind)
        else:
            yield offset, timestamp, kind, key, value
        at = end


def _inner(offset: int, attributes: int, value: bytes | None, timestamp: int, kind: int) -> Iterator[OldMessage]:
    """Yield the messages that one message holds. Since format v1 their offsets are relative to the last, `offset`."""
    codec = _OLD_CODECS.get(attributes & 7)
    if codec is None or value is None:
        raise BatchDamaged(f"the message at offset {offset} is compressed by codec {attributes & 7}, or empty")
    inner = list(_old_messages(decompressed(codec, memoryview(value))))
    if not inner:
        return
    base = 0 if kind == NO_TIME else offset - inner[-1][0]
    for at, its_time, its_kind, key, text in inner:
        yield base + at, timestamp if kind == 1 else its_time, kind if kind == 1 else its_kind, key, text


def _old_sized(data: memoryview, at: int, end: int) -> tuple[bytes | None, int]:
    if at + 4 > end:
        raise BatchDamaged("a message of an old format is cut off")
    (size,) = struct.unpack_from(">i", data, at)
    at += 4
    if size < 0:
        return None, at
    if at + size > end:
        raise BatchDamaged("a message of an old format is cut off")
    return bytes(data[at : at + size]), at + size
