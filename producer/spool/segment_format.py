"""The bytes of a segment: header, framed records, and how a reader gets past damage. docs/spool-format.md is the norm.

Pure: works on bytes, opens nothing. Whatever the bytes are, nothing here raises for them.
"""

import struct
from typing import NamedTuple
from zlib import crc32

from ..record import Record

MAGIC = b"HRSPOOL\n"
VERSION = 1
HEADER_BYTES = 64
EVENT = 1
SCHEMA = 2

_HEADER = struct.Struct("<8sIIQ16sqqI")
# marker, crc | length, key bytes (-1: null), topic bytes, kind, zero, position, timestamp, seq, appended
_PREFIX = struct.Struct("<II")
_BODY = struct.Struct("<IiHBBqqqq")
_pack_prefix, _pack_body = _PREFIX.pack, _BODY.pack
_FRAME = struct.Struct("<IIIiHBBqqqq")
MARKER = 0xC8B1_52F5
_MARKER_BYTES = MARKER.to_bytes(4, "little")
FRAME_BYTES = _FRAME.size
unpack_frame = _FRAME.unpack_from
unpack_event = struct.Struct("<IIIiHHqqqq").unpack_from  # the same, with kind and zero in one: EVENT for an event


class Header(NamedTuple):
    """What a segment says of itself. Times are Unix milliseconds."""

    version: int
    pid: int
    number: int
    session_id: bytes
    first_position: int
    created_ms: int


class Stored(NamedTuple):
    """One good record as it stands in a segment: `length` bytes of it. Schemas have kind SCHEMA and no topic."""

    kind: int
    position: int
    length: int
    topic: str
    key: bytes | None
    value: bytes
    timestamp_ms: int
    seq: int
    appended_ms: int

    def as_record(self, schema_text: str) -> Record:
        """Return what the shipper takes."""
        return Record(self.topic, self.key, self.value, self.timestamp_ms, self.seq, schema_text)


def seed_of(folder_name: str, number: int) -> int:
    """Return what the CRCs of a segment start from: bytes of another segment never look like records of this one.

    Folder and file name give it, not the header, so that a damaged header costs no record.
    """
    return crc32(b"%s/%d" % (folder_name.encode(), number))


def header_bytes(header: Header) -> bytes:
    """Return the first HEADER_BYTES bytes of a segment."""
    packed = _HEADER.pack(MAGIC, *header, 0)[:-4]
    return (packed + crc32(packed).to_bytes(4, "little")).ljust(HEADER_BYTES, b"\0")


def parse_header(data: bytes) -> Header | None:
    """Return a segment's header, or None when it is damaged."""
    if len(data) < HEADER_BYTES:
        return None
    magic, *fields, crc = _HEADER.unpack_from(data)
    if magic != MAGIC or crc != crc32(data[: _HEADER.size - 4]):
        return None
    return Header(*fields)


def frame(  # noqa: PLR0917 - the hot path: keywords would cost more than packing does
    seed: int,
    kind: int,
    position: int,
    topic: bytes,
    key: bytes | None,
    value: bytes,
    timestamp_ms: int,
    seq: int,
    appended_ms: int,
) -> bytes:
    """Return the bytes of one record."""
    if key is None:
        key_bytes, key = -1, b""
    else:
        key_bytes = len(key)
    rest = topic + key + value
    length, topic_bytes = FRAME_BYTES + len(rest), len(topic)
    body = _pack_body(length, key_bytes, topic_bytes, kind, 0, position, timestamp_ms, seq, appended_ms) + rest
    return _pack_prefix(MARKER, crc32(body, seed)) + body


def parse_at(data: bytes, at: int, seed: int) -> Stored | None:
    """Return the record that begins at `at`, or None when there is no good one."""
    if at < 0 or at + FRAME_BYTES > len(data):
        return None
    marker, crc, length, key_bytes, topic_bytes, kind, zero, position, timestamp_ms, seq, appended_ms = (
        _FRAME.unpack_from(data, at)
    )
    end = at + length
    value_at = at + FRAME_BYTES + topic_bytes + max(key_bytes, 0)
    if marker != MARKER or zero or kind not in (EVENT, SCHEMA) or key_bytes < -1 or not value_at <= end <= len(data):
        return None
    if crc32(memoryview(data)[at + 8 : end], seed) != crc:
        return None
    key_at = at + FRAME_BYTES + topic_bytes
    try:
        topic = data[at + FRAME_BYTES : key_at].decode()
    except UnicodeDecodeError:
        return None
    key = None if key_bytes < 0 else data[key_at:value_at]
    return Stored(kind, position, length, topic, key, data[value_at:end], timestamp_ms, seq, appended_ms)


def appended_ms_of(data: bytes) -> int | None:
    """Return when the record was appended whose first bytes these are, unchecked; None when no record begins here."""
    if len(data) < FRAME_BYTES:
        return None
    marker, *_, appended_ms = unpack_frame(data)
    return appended_ms if marker == MARKER else None


def find_good(data: bytes, at: int, seed: int, position_min: int) -> int | None:
    """Return where the next good record at or after `at` begins whose position is not too low, or None."""
    while (at := data.find(_MARKER_BYTES, at)) >= 0:
        stored = parse_at(data, at, seed)
        if stored is not None and stored.position >= position_min:
            return at
        at += 1
    return None


def is_blank(data: bytes, at: int) -> bool:
    """Tell whether nothing was ever written from `at` on: allocated bytes are zeros."""
    return data.count(0, at) == len(data) - at


def events_begun(data: bytes, at: int, position: int) -> list[tuple[str, int]] | None:
    """Return topic and number of the events that were begun from `at` on, by the heads of their damaged records.

    `position`: the first one's. None when the heads don't account for all bytes that were written. A process that is
    killed leaves at most one record like that; a damaged disk may leave several.
    """
    end, found = len(data.rstrip(b"\0")), list[tuple[str, int]]()
    while at < end:
        if at + FRAME_BYTES > len(data):
            return None
        marker, _, length, key_bytes, topic_bytes, kind, zero, place, _, seq, _ = _FRAME.unpack_from(data, at)
        key_at = at + FRAME_BYTES + topic_bytes
        fits = key_at + max(key_bytes, 0) <= at + length <= len(data)
        if marker != MARKER or zero or kind not in (EVENT, SCHEMA) or place != position or key_bytes < -1 or not fits:
            return None
        if kind == EVENT:
            found.append((data[at + FRAME_BYTES : key_at].decode("utf-8", "replace"), seq))
            position += 1
        at += length
    return found
