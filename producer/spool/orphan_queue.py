"""The queue of a dead process's folder: what it left, in order, until all is delivered and the folder removed."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ..letter import Letter
from ..record import Record
from .chain_reader import ChainReader, Start, numbers_before, schemas_before
from .cursor import Cursor, read_cursor, start_of, write_cursor
from .limits import SpoolLimits
from .ownership import Owned
from .putting_aside import PuttingAside
from .segment_files import chain_of
from .shrinking import Shrinking

# Adopters die too, and what one delivered since its last cursor goes again: no emit() waits for this, so it is often.
_TEND_S = 0.1

OnExpired = Callable[[int, str, int], None]


class OrphanQueue(Shrinking):
    """A Queue that only shrinks. Its folder has been adopted: this process owns it."""

    def __init__(
        self,
        owned: Owned,
        *,
        limits: SpoolLimits,
        clock_ns: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        """Find what is left; raise OSError when it cannot be read, ValueError when a newer version wrote it."""
        self._owned = owned
        self._limits = limits
        self._clock_ns = clock_ns
        self._monotonic = monotonic
        self._aside = PuttingAside(
            owned.path, bytes_max=limits.dead_letter_bytes_max, clock_ns=clock_ns, monotonic=monotonic
        )
        self._next_tend = float("-inf")
        self._written: Cursor | None = None
        self._chain = chain_of(owned.path)
        self._reader: ChainReader | None = None
        self._start: Start | None = None
        self._on_expired: OnExpired | None = None
        self.next_position = 0
        self.removed = False
        """Whether close() removed the folder."""
        self.on_begin: Callable[[], None] = lambda: None
        """Called when there is something to read, before anything is read."""
        self.before_cursor: Callable[[int], object] = lambda _: None
        """Called with the position that the cursor is about to be written with."""
        self.before_removal: Callable[[], bool] = lambda: True
        """Called when all is delivered; the folder is kept when it returns False."""
        self._begin()

    @property
    def folder(self) -> Path:
        """The folder's path."""
        return self._owned.path

    @property
    def start(self) -> Start | None:
        """Where reading began; None: there was nothing to read so far."""
        return self._start

    def _begin(self) -> None:
        """Begin to read where the cursor says, if there is anything."""
        if self._chain:
            self._start = start = start_of(self._chain, read_cursor(self._owned.path))
            self.next_position = start.position or 0
            self._reader = self._reader_at(start, schemas_before(start.segment, start.offset))
            self._reader.on_expired = self._on_expired
            self.on_begin()

    def _reader_at(self, start: Start, schemas: dict[bytes, str]) -> ChainReader:
        return ChainReader(start, schemas, clock_ms=self._now_ms, age_ms_max=int(self._limits.age_s_max * 1000))

    def _now_ms(self) -> int:
        return self._clock_ns() // 1_000_000

    @property
    def drained(self) -> bool:
        """Whether nothing is left to read or to acknowledge."""
        return self._reader is None or (self._reader.at_end and not self._reader.waiting())

    @property
    def losses(self) -> Mapping[str, int]:
        """Records lost, by reason: expired, damaged, unreadable."""
        return {} if self._reader is None else self._reader.losses

    def numbers_before(self) -> dict[str, int]:
        """Return the last number of each topic that was done before, as far as the folder still tells."""
        start = self._start
        return {} if start is None else numbers_before(start.segment, start.offset)

    @property
    def torn_ends(self) -> list[list[tuple[str, int]] | None]:
        """The damaged ends of segments that nothing follows: topic and number of the events in each, by their heads, or
        None where those don't tell."""
        return [] if self._reader is None else self._reader.torn_ends

    def watch_expired(self, on_expired: OnExpired) -> None:
        """Have position, topic and number of each expired record told, in the order of reading."""
        self._on_expired = on_expired
        if self._reader is not None:
            self._reader.on_expired = on_expired

    def refused(self, position: int, letter: Letter) -> None:  # noqa: ARG002 - the contract's
        """Keep a record that Kafka refused as a dead letter."""
        self._aside.put_now(letter)

    def read(self, records_max: int) -> list[tuple[int, Record]]:
        """Return the next records with their positions."""
        return [] if self._reader is None else self._reader.read(records_max)

    def ack(self, position: int) -> None:
        """Forget a record that was read."""
        if self._reader is not None:
            self._reader.ack(position)

    def ack_all(self, positions: Iterable[int]) -> None:
        """Forget many records that were read."""
        if self._reader is not None:
            self._reader.ack_all(positions)

    def rewind(self) -> None:
        """Make every record that is not acknowledged readable again, in order."""
        if self._reader is not None:
            self._reader.rewind()

    def lowest_unacked(self) -> int:
        """Return the lowest position that is not acknowledged."""
        return 0 if self._reader is None else self._reader.lowest()[0]

    def depth(self) -> tuple[int, int]:
        """Return at least how many records wait: those that were read, and one for what was not. Bytes are unknown."""
        if self._reader is None:
            return 0, 0
        return self._reader.waiting() + (not self._reader.at_end), 0

    def oldest_ms(self) -> int | None:
        """Return when what waits longest was appended. For the reading side."""
        return None if self._reader is None else self._reader.oldest_ms()

    def tend(self) -> None:
        """Move the cursor and remove what lies before it, ten times a second."""
        now = self._monotonic()
        if self._reader is None or now < self._next_tend:
            return
        self._next_tend = now + _TEND_S
        position, low, offset = self._reader.lowest()
        cursor = Cursor(low.number, offset, position)
        if cursor != self._written:
            self.before_cursor(position)
            write_cursor(self._owned.path, cursor)
            self._written = cursor
        while self._chain and self._chain[0].number < low.number:
            self._chain.pop(0).path.unlink(missing_ok=True)

    def make_room(self) -> None:
        """Remove the segments of a folder that is drained and cannot be removed yet."""
        for segment in self._chain:
            segment.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder when it is drained, else leave it to the next process."""
        if self.drained and self.before_removal():
            self._owned.remove()
            self.removed = True
        else:
            self._next_tend = float("-inf")
            self.tend()
            self._owned.release()
