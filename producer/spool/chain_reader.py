"""Reads a chain of segments in order, remembers what is not acknowledged, and gets past damage. Owns no thread.

The chain may still grow (this process's own) or be finished (a dead process's). One thread calls everything here.
Positions count the records of a process from 0; a jump in them is a loss, and is counted as one.
"""

import contextlib
import errno
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple
from zlib import crc32

from ..record import Record, new_record
from .segment_files import Segment
from .segment_format import (
    EVENT,
    FRAME_BYTES,
    HEADER_BYTES,
    MARKER,
    SCHEMA,
    Stored,
    appended_ms_of,
    events_begun,
    find_good,
    is_blank,
    parse_at,
    unpack_event,
)

WINDOW_BYTES = 1 << 20
_READ_TRIES = 5


class Place(NamedTuple):
    """Where a record stands."""

    segment: Segment
    offset: int
    length: int


_LENGTH_BITS = 32
_LENGTH = (1 << _LENGTH_BITS) - 1


class Start(NamedTuple):
    """Where reading begins: an offset in a segment, and the position expected there (None: whatever comes)."""

    segment: Segment
    offset: int
    position: int | None


class ChainReader:
    """The reading half of a spool queue."""

    def __init__(
        self,
        start: Start,
        schemas: dict[bytes, str],
        *,
        clock_ms: Callable[[], int],
        age_ms_max: int,
    ) -> None:
        """Begin at a segment's offset; `schemas` holds texts by fingerprint, and is filled from the chain."""
        self._segment, self._offset, self._expected = start
        self._schemas = schemas
        self._clock_ms = clock_ms
        self._age_ms_max = age_ms_max
        self._window: tuple[Segment | None, int, bytes] = (None, 0, b"")
        # Offset and length by position, in one number: objects that the garbage collector follows would cost more
        # than finding the record.
        self._unacked: dict[int, int] = {}
        self._again: deque[tuple[int, int]] = deque()
        self._begun: list[tuple[int, Segment]] = []  # by segment, the first position that was read in it
        self._topics: dict[bytes, str] = {}
        self._tries = 0
        self.done = 0  # records that are acknowledged or lost
        self.done_bytes = 0
        self.losses: dict[str, int] = {}
        self.holes = 0
        self.torn_ends: list[list[tuple[str, int]] | None] = []  # what they hold: see events_begun()
        self.on_expired: Callable[[int, str, int], None] | None = None

    def read(self, records_max: int) -> list[tuple[int, Record]]:
        """Return the next records with their positions; raise OSError when the disk does not give them (yet)."""
        batch: list[tuple[int, Record]] = []
        oldest_ms = self._clock_ms() - self._age_ms_max
        while len(batch) < records_max:
            if not self._again and self._run(batch, records_max, oldest_ms):
                continue
            found = self._next_again() if self._again else self._next_new()
            if found is None:
                if self._again:
                    continue
                break
            place, stored = found
            if stored.appended_ms < oldest_ms:
                self._lose("expired", 1, stored.length)
                if self.on_expired is not None:
                    self.on_expired(stored.position, stored.topic, stored.seq)
                continue
            self._keep(stored.position, place)
            self._topics[stored.topic.encode()] = stored.topic
            batch.append((stored.position, stored.as_record(self._schemas.get(stored.value[2:10], ""))))
        return batch

    def ack(self, position: int) -> None:
        """Forget a record that was read; a position that is not held is ignored."""
        place = self._unacked.pop(position, None)
        if place is not None:
            self.done += 1
            self.done_bytes += place & _LENGTH

    def ack_all(self, positions: Iterable[int]) -> None:
        """Forget many records that were read."""
        pop, done, size = self._unacked.pop, 0, 0
        for position in positions:
            place = pop(position, None)
            if place is not None:
                done += 1
                size += place & _LENGTH
        self.done += done
        self.done_bytes += size

    def rewind(self) -> None:
        """Make what was read and not acknowledged readable again, before what was not read."""
        held = sorted(self._unacked.items(), key=lambda item: item[0], reverse=True)
        self._unacked.clear()
        self._again.extendleft(held)

    def lowest(self) -> tuple[int, Segment, int]:
        """Return the lowest position that is not acknowledged, and where it stands: all before it is done."""
        if self._unacked:
            position, packed = next(iter(self._unacked.items()))  # read in order: the first that is left is the lowest
        elif self._again:
            position, packed = self._again[0]
        else:
            return self._expected or 0, self._segment, self._offset
        begun = self._begun
        while len(begun) > 1 and begun[1][0] <= position:
            del begun[0]
        return position, begun[0][1], packed >> _LENGTH_BITS

    def oldest_ms(self) -> int | None:
        """Return when the lowest record that was read and is not acknowledged was appended; None: there is none, or
        the disk does not tell."""
        if not self.waiting():
            return None
        _, segment, offset = self.lowest()
        with contextlib.suppress(OSError):
            return appended_ms_of(segment.read(offset, offset + FRAME_BYTES))
        return None

    def waiting(self) -> int:
        """Return how many records were read and are not acknowledged."""
        return len(self._unacked) + len(self._again)

    @property
    def at_end(self) -> bool:
        """Whether nothing is left to read in a finished chain."""
        segment = self._segment
        return segment.sealed and segment.after is None and self._offset >= segment.tail[0]

    def _keep(self, position: int, place: Place) -> None:
        """Remember a record that is read."""
        begun = self._begun
        if not begun or (position > begun[-1][0] and place.segment is not begun[-1][1]):
            begun.append((position, place.segment))
        self._unacked[position] = place.offset << _LENGTH_BITS | place.length

    def _run(self, batch: list[tuple[int, Record]], records_max: int, oldest_ms: int) -> bool:
        """Read on for as long as all is as it should be: one loop for what nearly all records are.

        It stops before anything else (damage, a schema, an expired record, the next segment, a new topic), which
        _next_new() looks at again. Returns whether it read any.
        """
        segment, expected, end = self._segment, self._expected, self._segment.tail[0]
        if expected is None or self._offset >= end or not self._begun or self._begun[-1][1] is not segment:
            return False
        data, at = self._bytes(segment, self._offset, end, 0)
        if data is None:
            return False
        base = self._offset - at
        limit, seed = min(len(data), end - base), segment.seed
        schemas, topics, unacked, first = self._schemas, self._topics, self._unacked, expected
        add, empty, bits = batch.append, "", _LENGTH_BITS
        for _ in range(records_max - len(batch)):
            if at + FRAME_BYTES > limit:
                break
            marker, crc, length, key_bytes, topic_bytes, kind, position, timestamp_ms, seq, appended_ms = unpack_event(
                data, at
            )
            next_at = at + length
            # A good CRC says that the lengths are what was written, so they need no look of their own.
            if (
                position != expected
                or next_at > limit
                or crc32(data[at + 8 : next_at], seed) != crc
                or kind != EVENT
                or appended_ms < oldest_ms
                or marker != MARKER
                or length < FRAME_BYTES
            ):
                break
            key_at = at + FRAME_BYTES + topic_bytes
            topic = topics.get(data[at + FRAME_BYTES : key_at])
            if topic is None:
                break
            if key_bytes < 0:
                key, value = None, data[key_at:next_at]
            else:
                value_at = key_at + key_bytes
                key, value = data[key_at:value_at], data[value_at:next_at]
            text = schemas.get(value[2:10], empty)
            add((position, new_record(Record, (topic, key, value, timestamp_ms, seq, text, empty))))
            unacked[position] = base + at << bits | length
            expected += 1
            at = next_at
        self._offset, self._expected = base + at, expected
        return expected > first

    def _next_again(self) -> tuple[Place, Stored] | None:
        position, packed = self._again[0]
        segment = next(each for first, each in reversed(self._begun) if first <= position)
        place = Place(segment, packed >> _LENGTH_BITS, packed & _LENGTH)
        data, at = self._bytes(place.segment, place.offset, place.segment.tail[0], place.length)
        stored = None if data is None else parse_at(data, at, place.segment.seed)
        self._again.popleft()
        if stored is None or stored.position != position:
            self._lose("unreadable" if data is None else "damaged", 1, place.length)
            return None
        return place, stored

    def _next_new(self) -> tuple[Place, Stored] | None:
        while True:
            segment = self._segment
            sealed = segment.sealed  # before the tail: a tail that is read after it is the last one
            end, after = segment.tail
            if self._offset >= end:
                if not sealed or segment.after is None:
                    return None
                self._expect(segment.after.first_position)
                self._segment, self._offset = segment.after, HEADER_BYTES
                continue
            found = self._parse(segment, end, after)
            if found is None:
                if self._offset < end:
                    return None  # not yet: see growing_reader.py
                continue
            place, stored = found
            self._offset = place.offset + place.length
            if stored.kind == SCHEMA:
                self._schemas[stored.value[:8]] = stored.value[8:].decode("utf-8", "replace")
                continue
            self._expect(stored.position)
            self._expected = stored.position + 1
            return found

    def _parse(self, segment: Segment, end: int, after: int) -> tuple[Place, Stored] | None:
        """Return the next good record of a segment; None when there is none left: reading is then at its end."""
        low = self._expected or 0
        data, at = self._bytes(segment, self._offset, end, 0)
        if data is not None:
            stored = parse_at(data, at, segment.seed)
            if stored is not None and stored.position >= low:
                return Place(segment, self._offset, stored.length), stored
            # Damaged, or cut by the window: look at all of it.
            data, at = self._bytes(segment, self._offset, end, end - self._offset)
        if data is None:
            self._expect(after, "unreadable")
            self._offset = end
            return None
        good = find_good(data, at, segment.seed, low)
        stored = None if good is None else parse_at(data, good, segment.seed)
        if good is None or stored is None:
            if not is_blank(data, at):
                if segment.after is None and after < 0:
                    self.torn_ends.append(events_begun(data, at, low))
                else:
                    self.holes += 1
            self._expect(after)
            self._offset = end
            return None
        if good > at:
            self.holes += 1
        return Place(segment, self._offset + good - at, stored.length), stored

    def _expect(self, position: int | None, reason: str = "damaged") -> None:
        """Go on at a position; those that are passed over are lost."""
        if position is None or position < 0:
            return
        if self._expected is not None and position > self._expected:
            self._lose(reason, position - self._expected, 0)
        self._expected = max(position, self._expected or 0)

    def _lose(self, reason: str, count: int, size: int) -> None:
        self.losses[reason] = self.losses.get(reason, 0) + count
        self.done += count
        self.done_bytes += size

    def _bytes(self, segment: Segment, offset: int, end: int, whole: int) -> tuple[bytes | None, int]:
        """Return bytes of a segment, and where in them `offset` is; None when the disk does not give them any more.

        At least `whole` bytes from the offset on are there (as far as the segment goes).
        """
        held, base, data = self._window
        held_to = base + len(data)
        covers = held is segment and base <= offset < held_to and held_to >= min(end, offset + whole)
        # A window's last record may be cut, so that the second half is used only when it goes to the end.
        if covers and (whole or held_to >= end or offset < held_to - WINDOW_BYTES // 2):
            return data, offset - base
        try:
            data = segment.read(offset, min(end, offset + max(whole, WINDOW_BYTES)))
        except OSError as error:
            self._tries += 1
            if error.errno != errno.ENOENT and self._tries < _READ_TRIES:
                raise
            self._tries = 0
            return None, 0
        self._tries = 0
        self._window = (segment, offset, data)
        return data, 0


def numbers_before(segment: Segment, offset: int) -> dict[str, int]:
    """Return the highest number by topic of what stands in a segment before an offset; raise OSError."""
    data, at, found = segment.read(0, offset), HEADER_BYTES, dict[str, int]()
    while (stored := parse_at(data, at, segment.seed)) is not None or (
        (at := find_good(data, at, segment.seed, 0) or -1) >= 0
    ):
        if stored is not None:
            if stored.kind != SCHEMA:
                found[stored.topic] = stored.seq
            at += stored.length
    return found


def schemas_before(segment: Segment, offset: int) -> dict[bytes, str]:
    """Return the schema texts by fingerprint that stand in a segment before an offset; raise OSError."""
    data, at, found = segment.read(0, offset), HEADER_BYTES, dict[bytes, str]()
    while (stored := parse_at(data, at, segment.seed)) is not None or (
        (at := find_good(data, at, segment.seed, 0) or -1) >= 0
    ):
        if stored is not None:
            if stored.kind == SCHEMA:
                found[stored.value[:8]] = stored.value[8:].decode("utf-8", "replace")
            at += stored.length
    return found
