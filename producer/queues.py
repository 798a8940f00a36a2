"""The queue between emit() and the shipper: its contract, and the bounded one in memory (spool/ has the one on disk).

One side appends (emit(), which serialises its callers), the other reads and acknowledges (the shipper, one thread).
Neither waits for the other, and no lock is shared between them: each counter has one writer, and deques and dicts are
changed by single operations that Python makes atomic.
"""

import contextlib
from collections import deque
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Protocol

from .forecast import CLASSES, Level
from .letter import Letter
from .record import Record


class Queue(Protocol):
    """An ordered queue that forgets a record only when it is acknowledged.

    Positions count 0, 1, 2... in the order of appending. append() has one caller at a time, the other calls have one
    thread. All return at once.
    """

    durability: str
    """`memory`: dies with the process. `disk`: survives it."""
    refusal: str
    """Why the last append() said False: the reason that the loss is counted under."""

    @property
    def losses(self) -> Mapping[str, int]:
        """Records lost after append() took them, by reason."""

    def append(self, record: Record, *, force: bool = False) -> bool:
        """Take a record, or return False when a bound is reached; `force` takes it all the same."""

    def read(self, records_max: int) -> list[tuple[int, Record]]:
        """Return the next records, which have not been read since the last rewind, with their positions."""

    def ack(self, position: int) -> None:
        """Forget a record that was read."""

    def ack_all(self, positions: Iterable[int]) -> None:
        """Forget many records that were read."""

    def rewind(self) -> None:
        """Make every record that is not acknowledged readable again, in order."""

    def put_aside(self, letter: Letter) -> None:
        """Keep an event that was not accepted as a dead letter, as far as possible. Any thread may call it."""

    def refused(self, position: int, letter: Letter) -> None:
        """Keep a record that was read and cannot be delivered as a dead letter, before it is acknowledged."""

    def full(self, event_type: str = "") -> bool:
        """Tell whether append() would refuse an event of this type now."""

    def depth(self) -> tuple[int, int]:
        """Return how many records are not acknowledged, and their bytes."""

    def lowest_unacked(self) -> int:
        """Return the lowest position that is not acknowledged: all below are delivered. For the reading side."""

    def oldest_ms(self) -> int | None:
        """Return when what waits longest was appended (Unix milliseconds, about); None: nothing waits, as far as
        the reading side knows. Any thread may ask."""

    def levels(self, now_ms: int) -> list[Level]:
        """Return how near each bound is, always in the same order. Any thread may ask."""

    def usage(self) -> tuple[int, int] | None:
        """Return the bytes of the whole spool folder and their bound; None where there is none. Any thread may ask."""

    def tend(self) -> None:
        """Do what upkeep there is. The reading thread calls it all the time."""

    def close(self) -> None:
        """Let go of what the queue holds outside of memory. Nobody appends or reads any more."""


class MemoryQueue:
    """A Queue in memory, bounded by records and by bytes; what it holds dies with the process."""

    durability = "memory"
    refusal = "full"
    losses: Mapping[str, int] = MappingProxyType({})

    def __init__(self, *, queue_records_max: int, queue_bytes_max: int) -> None:
        if queue_records_max < 1 or queue_bytes_max < 1:
            raise ValueError("queue_records_max and queue_bytes_max must be at least 1")
        self._records_max = queue_records_max
        self._bytes_max = queue_bytes_max
        self._unread: deque[tuple[int, Record]] = deque()
        self._read: dict[int, Record] = {}
        self._appended = 0  # records, written by the appending side only
        self._appended_bytes = 0
        self._acked = 0  # written by the reading side only
        self._acked_bytes = 0

    def append(self, record: Record, *, force: bool = False) -> bool:
        """Take a record, or return False when a bound is reached; `force` takes it all the same."""
        size = record.queued_bytes
        if not force and (
            self._appended - self._acked >= self._records_max
            or self._appended_bytes - self._acked_bytes + size > self._bytes_max
        ):
            return False
        # Counted before it can be read: the shipper must never have acknowledged more than was appended.
        position = self._appended
        self._appended = position + 1
        self._appended_bytes += size
        self._unread.append((position, record))
        return True

    def read(self, records_max: int) -> list[tuple[int, Record]]:
        """Return the next records with their positions."""
        batch: list[tuple[int, Record]] = []
        unread = self._unread
        while unread and len(batch) < records_max:
            batch.append(unread.popleft())
        self._read.update(batch)
        return batch

    def ack(self, position: int) -> None:
        """Forget a record that was read; a position that is not held is ignored."""
        record = self._read.pop(position, None)
        if record is not None:
            self._acked_bytes += record.queued_bytes
            self._acked += 1

    def ack_all(self, positions: Iterable[int]) -> None:
        """Forget many records that were read."""
        for position in positions:
            self.ack(position)

    def rewind(self) -> None:
        """Put back what was read and not acknowledged, before what was not read."""
        held = sorted(self._read.items(), reverse=True)
        self._read.clear()
        self._unread.extendleft(held)

    def unread(self) -> list[tuple[str, int]]:
        """Return topic and number of what was never read. For the end, when nothing is appended any more."""
        with contextlib.suppress(RuntimeError):  # the reading side is at work: what it takes now, it also counts
            return [(record.topic, record.seq) for _, record in self._unread]
        return []

    def put_aside(self, letter: Letter) -> None:
        """Do nothing: what lies in memory only would be lost all the same, so it is only counted."""

    def refused(self, position: int, letter: Letter) -> None:
        """Do nothing."""

    def full(self, event_type: str = "") -> bool:  # noqa: ARG002 - the contract's; all types are alike here
        """Tell whether a bound is reached."""
        records, size = self.depth()
        return records >= self._records_max or size >= self._bytes_max

    def depth(self) -> tuple[int, int]:
        """Return records and bytes that are not acknowledged."""
        # The acknowledged counters first: they only grow, so that a difference is never below the truth.
        acked, acked_bytes = self._acked, self._acked_bytes
        return self._appended - acked, self._appended_bytes - acked_bytes

    def lowest_unacked(self) -> int:
        """Return the lowest position that is not acknowledged."""
        if self._read:
            return next(iter(self._read))  # read in order, so the first that is left is the lowest
        unread = self._unread
        return unread[0][0] if unread else self._appended

    def oldest_ms(self) -> int | None:
        """Return the timestamp of the first record that waits."""
        for waiting in (self._read.values(), (record for _, record in self._unread)):
            with contextlib.suppress(RuntimeError):  # it changed while we looked: then nothing waits for long
                for record in waiting:
                    return record.timestamp_ms
        return None

    def levels(self, now_ms: int) -> list[Level]:  # noqa: ARG002 - the contract's; nothing expires in memory
        """Return the two bounds."""
        records, size = self.depth()
        return [
            Level(CLASSES, self._records_max - records, (records,)),
            Level(CLASSES, self._bytes_max - size, (size,)),
        ]

    def usage(self) -> None:
        """Return None: there is no spool."""

    def tend(self) -> None:
        """Do nothing: memory needs no upkeep."""

    def close(self) -> None:
        """Do nothing: memory goes with the process."""
