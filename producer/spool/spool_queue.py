"""The queue on disk of one process: what append() returned for survives the process.

append() copies one record into a mapped segment: no system call, no lock, no wait, but for the change to the next
segment, whose file the shipper's thread has usually made already. Reading and acknowledging are the shipper's.
"""

import contextlib
import itertools
import mmap
import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from .. import forks
from ..forecast import CLASSES, Level
from ..letter import Letter
from ..record import Record
from . import ownership
from .chain_reader import ChainReader, Start
from .cursor import Cursor, write_cursor
from .limits import Gate, SpoolLimits
from .own_folder import OwnFolder
from .putting_aside import PuttingAside
from .segment_files import Allocator, Blank, Segment, allocate, make_blank, reason_of
from .segment_format import EVENT, FRAME_BYTES, HEADER_BYTES, SCHEMA, VERSION, Header, frame, parse_at
from .syncing import Syncing

_TEND_S = 1.0
_RETRY_S = 1.0
_PREPARE_S = 0.05
_EXHAUSTED_MARGIN = 256


class SpoolQueue:
    """A Queue in a folder of its own below `spool`, which is locked as long as this process lives."""

    durability = "disk"
    logs = True
    """Whether the thread that looks after it may log, and so wait for the locks of logging."""
    ship_apart = False
    """Whether another process may deliver what is in the folder while this one lives."""

    def __init__(
        self,
        spool: Path,
        *,
        service: str,
        host: str,
        session_id: bytes,
        limits: SpoolLimits,
        clock_ns: Callable[[], int],
        monotonic: Callable[[], float],
        allocator: Allocator = allocate,
    ) -> None:
        """Make the folder and the first segment; raise OSError when that cannot be done."""
        self._limits = limits
        self._clock_ns = clock_ns
        self._monotonic = monotonic
        self._allocator = allocator
        self._generation = forks.current
        self._session_id = session_id
        parent = ownership.service_folder(spool, service)
        self._own = OwnFolder(lambda: ownership.make_folder(parent, host, session_id, ship_apart=self.ship_apart))
        self._folder = self._own.owned.path
        self._gate = Gate(spool, limits)  # now that the folder is there to be measured
        self._aside = PuttingAside(
            self._folder, bytes_max=limits.dead_letter_bytes_max, clock_ns=clock_ns, monotonic=monotonic, log=self.logs
        )
        self._now_ms = clock_ns() // 1_000_000
        self._schemas: dict[bytes, str] = {}
        self._topics: dict[str, bytes] = {}
        self._spare: Blank | None = None
        self._retired: deque[mmap.mmap] = deque()
        self._blanks = itertools.count()  # next() is one step: both sides may make one at the same moment
        self._closed = False
        self._retry_at = float("-inf")
        self._prepare_at = float("-inf")
        self._blocked = ""  # why there is no next segment, while that is so
        self._appended_bytes = 0
        self.refusal = "full"
        try:
            self._enter(self._make_blank(limits.first_segment_bytes), 0, 0)
        except BaseException:
            self._own.owned.remove()
            raise
        self._head = self._segment
        self._syncing = Syncing(self._segment)
        self._written: Cursor | None = None
        self._next_tend = float("-inf")
        self._oldest_ms: int | None = None
        self._reader = ChainReader(
            Start(self._segment, HEADER_BYTES, 0),
            self._schemas,
            clock_ms=lambda: clock_ns() // 1_000_000,
            age_ms_max=int(limits.age_s_max * 1000),
        )
        self.ack: Callable[[int], None] = self._reader.ack
        """Forget a record that was read."""
        self.ack_all: Callable[[Iterable[int]], None] = self._reader.ack_all
        """Forget many records that were read."""

    @property
    def folder(self) -> Path:
        """This process's own folder."""
        return self._folder

    @property
    def appended(self) -> int:
        """How many records were appended."""
        return self._segment.tail[1]

    @property
    def losses(self) -> Mapping[str, int]:
        """Records lost after they were appended, by reason: expired, damaged, unreadable."""
        return self._reader.losses

    # --- the appending side ---

    def append(self, record: Record, *, force: bool = False) -> bool:
        """Take a record, or return False and say why in `refusal`; `force` goes beyond the bounds of classes."""
        topic, key, value, timestamp_ms, seq, schema_text, event_type = record
        if forks.current != self._generation:
            self.refusal = "forked"  # a child that was forked inside of an append: the parent's files are not its own
            return False
        if not (self._gate.open or force):
            reason = self._gate.refusal(event_type)
            if reason is not None:
                self.refusal = reason
                return False
        name = self._topics.get(topic)
        if name is None:
            name = self._topics[topic] = topic.encode()
        at, position = self._segment.tail
        data = frame(self._seed, EVENT, position, name, key, value, timestamp_ms, seq, self._now_ms)
        end = at + len(data)
        if schema_text not in self._there or end > self._size or self._map[at]:
            return self._made_ready(record, len(data)) and self.append(record, force=force)
        self._map[at:end] = data
        # The one step that makes it count, for the reader and for the next append: an interrupt finds all or nothing.
        self._segment.tail = (end, position + 1)
        self._appended_bytes += len(data)
        return True

    def _made_ready(self, record: Record, size: int) -> bool:
        """Put the schema of a record of `size` bytes before it, make room for both; False when there is none."""
        text = record.schema_text
        need = size if text in self._there else size + FRAME_BYTES + 8 + len(text.encode())
        if self._segment.tail[0] + need > self._size and not self._roll(need):
            self.refusal = self._blocked
            return False
        if text not in self._there:
            self._put_schema(record.fingerprint, text)
        at, position = self._segment.tail
        if self._map[at]:
            self._take_up(at, position)
        return True

    def _take_up(self, at: int, position: int) -> None:
        """Count what an append left that was interrupted (KeyboardInterrupt): a reader of the file may have it."""
        stored = parse_at(self._map[at : self._size], 0, self._seed)
        if stored is None or stored.position != position:
            self._map[at : at + 1] = b"\0"
            return
        self._segment.tail = (at + stored.length, position + (stored.kind == EVENT))

    def _put_schema(self, fingerprint: bytes, text: str) -> None:
        """Write the writer's schema once into each segment, before the first record that needs it."""
        self._schemas[fingerprint] = text
        if text:
            at, position = self._segment.tail
            data = frame(self._seed, SCHEMA, position, b"", None, fingerprint + text.encode(), 0, 0, self._now_ms)
            self._map[at : at + len(data)] = data
            self._segment.tail = (at + len(data), position)
        self._there.add(text)

    def _roll(self, need: int) -> bool:
        """Go on in the next segment; False when there is no room for one, which is tried again after a while."""
        # A record larger than the usual segment has one of its own.
        room = need + HEADER_BYTES + _EXHAUSTED_MARGIN
        spare, self._spare = self._spare, None
        if spare is not None and spare.size < room:
            self._spare, spare = spare, None
        prepared = spare is not None
        try:
            if spare is None:
                now = self._monotonic()
                if now < self._retry_at:
                    return False
                self._retry_at = now + _RETRY_S
                size = max(self._limits.next_segment_bytes, room)
                no_room = self._gate.no_room_for(size)
                if no_room is not None:
                    self._blocked = no_room
                    return False
                spare = self._make_blank(size)
            before, old = self._segment, self._map
            self._enter(spare, before.number + 1, before.tail[1])
        except OSError as error:
            self._blocked = reason_of(error)
            if spare is None:
                return False
            spare.discard()
            return prepared and self._roll(need)  # it lay in a folder that was removed: there may be a new one
        self._retry_at = float("-inf")
        self._blocked = ""
        self._retired.append(old)  # unmapped by the shipper's thread
        before.after = self._segment
        before.sealed = True
        return True

    def _make_blank(self, size: int) -> Blank:
        blank = make_blank(self._folder / f"blank-{next(self._blanks)}", size, self._allocator)
        self._gate.added(size)
        return blank

    def _enter(self, blank: Blank, number: int, position: int) -> None:
        header = Header(VERSION, os.getpid(), number, self._session_id, position, self._now_ms)
        segment = blank.become(header, self._folder.name)
        self._map, self._size, self._seed = blank.map, blank.size, segment.seed
        self._there: set[str] = set()  # the texts of schemas that stand in this segment
        self._segment = segment

    # --- the reading side ---

    def read(self, records_max: int) -> list[tuple[int, Record]]:
        """Return the next records with their positions."""
        return [] if self._closed else self._reader.read(records_max)

    def rewind(self) -> None:
        """Make every record that is not acknowledged readable again, in order."""
        self._reader.rewind()

    def lowest_unacked(self) -> int:
        """Return the lowest position that is not acknowledged."""
        return self._reader.lowest()[0]

    def put_aside(self, letter: Letter) -> None:
        """Keep an event that was not accepted as a dead letter, at the next upkeep."""
        self._aside.put(letter)

    def refused(self, position: int, letter: Letter) -> None:  # noqa: ARG002 - the contract's
        """Keep a record that Kafka refused as a dead letter."""
        self._aside.put_now(letter)

    def full(self, event_type: str = "") -> bool:
        """Tell whether append() would refuse an event of this type now."""
        return bool(self._blocked) or self._gate.refusal(event_type) is not None

    def depth(self) -> tuple[int, int]:
        """Return how many records are not acknowledged, and their bytes on disk."""
        done, done_bytes = self._reader.done, self._reader.done_bytes
        return self._segment.tail[1] - done, max(self._appended_bytes - done_bytes, 0)

    def watch_expired(self, on_expired: Callable[[int, str, int], None]) -> None:
        """Have position, topic and number of each expired record told, in the order of reading."""
        self._reader.on_expired = on_expired

    def usage(self) -> tuple[int, int]:
        """Return what all processes of the host have in the spool, as it was last measured, and may have."""
        return self._gate.spool_bytes, self._limits.bytes_max

    def oldest_ms(self) -> int | None:
        """Return when what waits longest was appended, as of the last upkeep."""
        return self._oldest_ms

    def levels(self, now_ms: int) -> list[Level]:
        """Return how near the bounds of bytes and of age are."""
        oldest_s = 0.0 if self._oldest_ms is None else max(now_ms - self._oldest_ms, 0) / 1000
        aging = Level(CLASSES, self._limits.age_s_max - oldest_s, (oldest_s,))
        return [*self._gate.levels(self.depth()[1]), aging]

    def tend(self) -> None:
        """Prepare the next segment at once when it is needed soon; the rest of the upkeep once a second."""
        if self._closed:
            return  # the folder may be another process's by now
        now = self._monotonic()
        if self._spare is None and self._segment.tail[0] > self._size // 2 and now >= self._prepare_at:
            self._prepare_at = now + _PREPARE_S
            self._prepare()
        if now < self._next_tend:
            return
        self._next_tend = now + _TEND_S
        self._now_ms = self._clock_ns() // 1_000_000
        self._retired.clear()
        removed = self._own.look(lambda: self._segment)
        if removed is not None:
            if removed is self._segment:
                self._size = 0  # full: what is appended from now on finds the next segment, or why there is none
            self._removed(removed)
        self._follow()
        self._syncing.sync(self._head)
        if self._own.there:
            self._gate.look()
        self._aside.flush()

    def close(self) -> None:
        """Leave the folder to later processes, or remove it when nothing is left in it. Nobody appends any more."""
        if self._closed:
            return
        self._closed = True
        self._aside.flush()
        self._retired.clear()
        self._map.close()
        for segment in self._chain():
            segment.let_go()
        if self.depth()[0] == 0:
            self._own.owned.remove()
            return
        position, segment, offset = self._reader.lowest()
        write_cursor(self._folder, Cursor(segment.number, offset, position))
        self._drop_spare()
        self._own.owned.release()

    def _chain(self) -> list[Segment]:
        found = [self._head]
        while found[-1].after is not None:
            found.append(found[-1].after)
        return found

    def _prepare(self) -> None:
        size = self._limits.next_segment_bytes
        if self._gate.no_room_for(size) is not None:
            return
        with contextlib.suppress(OSError):  # append() finds out for itself, and says so, when it needs one
            self._spare = self._make_blank(size)
            self._blocked = ""

    def _drop_spare(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.discard()

    def _removed(self, last: Segment) -> None:
        """Do nothing about a removed folder: the reader has its newest files open, and counts what it cannot read."""

    def _follow(self) -> None:
        """Write the cursor, then remove the segments that lie wholly before it."""
        position, low, offset = self._reader.lowest()
        self._oldest_ms = self._reader.oldest_ms()
        cursor = Cursor(low.number, offset, position)
        if cursor != self._written:
            write_cursor(self._folder, cursor)
            self._written = cursor
        while self._head.number < low.number and self._head.after is not None:
            done, self._head = self._head, self._head.after
            done.let_go()
            with contextlib.suppress(OSError):
                done.path.unlink()
