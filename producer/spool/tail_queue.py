"""The queue that a ship process has of one folder: of a living process, whose segments grow, or of a dead one.

While the process lives, its folder's ship lock gives the right to deliver, to write the cursor and to remove segments
other than the newest. Once its own lock is free the process is dead, and the queue becomes that of an orphan.
"""

from collections.abc import Callable
from pathlib import Path

from ..letter import Letter
from ..record import Record
from . import ownership
from .chain_reader import ChainReader, Start
from .growing_reader import GrowingReader
from .limits import SpoolLimits
from .orphan_queue import OrphanQueue
from .ownership import Owned
from .segment_files import SUFFIX, chain_of, link, open_segment

_EMPTY_S = 0.01
_LIFE_S = 0.5


def take(folder: Path) -> tuple[Owned, bool] | None:
    """Take the right to deliver a folder; return it and whether its process lives. None: others deliver it."""
    if not (folder / ownership.SHIP_LOCK).exists():
        owned = ownership.adopt(folder)
        return None if owned is None else (owned, False)
    owned = ownership.claim(folder)
    if owned is None:
        return None
    owned.also = ownership.ended(folder)
    return owned, owned.also is None


class TailQueue(OrphanQueue):
    """A Queue over a folder that take() gave."""

    def __init__(
        self,
        owned: Owned,
        *,
        alive: bool,
        limits: SpoolLimits,
        clock_ns: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        """Find what is there; raise OSError when it cannot be read, ValueError when a newer version wrote it."""
        self.alive = alive
        self.delivered = 0
        self.put_away = 0
        self._empty_until = float("-inf")
        self._life_at = float("-inf")
        super().__init__(owned, limits=limits, clock_ns=clock_ns, monotonic=monotonic)
        if alive and self._chain:
            self._chain[-1].sealed = False

    @property
    def drained(self) -> bool:
        """Whether the process is dead, and nothing is left to read or to acknowledge."""
        return not self.alive and super().drained

    @property
    def caught_up(self) -> bool:
        """Whether all that was there at the last look is delivered."""
        return self._empty_until > float("-inf") and not (self._reader is not None and self._reader.waiting())

    @property
    def gone(self) -> bool:
        """Whether somebody else removed the folder."""
        return not self._owned.still_there

    def read(self, records_max: int) -> list[tuple[int, Record]]:
        """Return the next records with their positions; an empty folder is not looked at again at once."""
        now = self._monotonic()
        if now < self._empty_until:
            return []
        batch = super().read(records_max)
        if not batch and self.alive:
            self._look(now)
            batch = super().read(records_max)
        self._empty_until = float("-inf") if batch else now + _EMPTY_S
        return batch

    def ack(self, position: int) -> None:
        """Forget a record that was read."""
        super().ack(position)
        self.delivered += 1

    def refused(self, position: int, letter: Letter) -> None:
        """Keep a record that Kafka refused as a dead letter."""
        super().refused(position, letter)
        self.delivered -= 1  # ack() follows
        self.put_away += 1

    def rewind(self) -> None:
        """Make every record that is not acknowledged readable again, in order."""
        super().rewind()
        self._empty_until = float("-inf")

    def depth(self) -> tuple[int, int]:
        """Return how many records were read and are not acknowledged; what was not read is not known."""
        return (0 if self._reader is None else self._reader.waiting()), 0

    def close(self) -> None:
        """Remove the folder when its process is dead and all is delivered, else leave it to the next ship process."""
        for segment in self._chain:
            segment.let_go()
        if self.gone:
            self._owned.release()  # by now there may be another one of that name: its cursor is not this one's
            return
        super().close()

    def _look(self, now: float) -> None:
        """Learn of segments that were made since, and of the process's death."""
        dead = False
        if now >= self._life_at:
            self._life_at = now + _LIFE_S
            self._owned.also = ownership.ended(self.folder)
            dead = self._owned.also is not None
        # Looked for after the process's death is known: then there will be no more.
        if not self._chain:
            self._chain = chain_of(self.folder)
            if self._chain:
                self._chain[-1].sealed = False
                self._begin()
        while self._chain:
            path = self._chain[-1].path.with_name(f"{self._chain[-1].number + 1:012d}{SUFFIX}")
            if not path.exists():
                break
            link(self._chain, open_segment(path))
            self._refresh()
        if dead:
            self.alive = False
            for path in sorted(self.folder.glob(f"*{SUFFIX}")):  # also what stands behind a missing one
                if path.stem.isdigit() and (not self._chain or int(path.stem) > self._chain[-1].number):
                    link(self._chain, open_segment(path))
            if self._chain:
                self._chain[-1].sealed = True
            self._refresh()

    def _refresh(self) -> None:
        if isinstance(self._reader, GrowingReader):
            self._reader.refresh()

    def _reader_at(self, start: Start, schemas: dict[bytes, str]) -> ChainReader:
        age_ms_max = int(self._limits.age_s_max * 1000)
        return GrowingReader(start, schemas, clock_ms=self._now_ms, age_ms_max=age_ms_max, monotonic=self._monotonic)
