"""The queue of a ship process: all folders of a spool that it may deliver, read by turns, as one.

Order holds within each folder. One folder that cannot be read, or whose events have no topic to go to, does not hold up
the others: it is let go for a while, or read only so far ahead.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import cast
from urllib.parse import unquote

from ..letter import Letter
from ..record import Record
from . import ownership
from .folder_books import FolderBooks
from .limits import SpoolLimits
from .ship_audit import ShipAudit
from .shrinking import Shrinking
from .tail_queue import TailQueue, take

_TEND_S = 0.5
_AGAIN_S = 30.0
_FOLDERS_MAX = 200
_WAITING_BYTES_MAX = 96 << 20

Place = tuple[TailQueue, int]  # a folder, and the position in it


class ShipQueue(Shrinking):
    """A Queue over a whole spool. Everything is called by one thread."""

    def __init__(
        self,
        spool: Path,
        *,
        limits: SpoolLimits,
        clock_ns: Callable[[], int],
        monotonic: Callable[[], float],
        on_change: Callable[[str], None],
        audit: ShipAudit | None = None,
    ) -> None:
        """`on_change` takes one line for each folder that is taken, ended, delivered, or given up for a while."""
        self._audit = audit
        self._books: dict[TailQueue, FolderBooks] = {}
        self._audits: set[TailQueue] = set()  # folders that hold ship processes' audit events: in no count
        self._untold: set[Path] = set()  # folders that are delivered, and whose account could not be queued
        self._spool = spool
        self._limits = limits
        self._clock_ns = clock_ns
        self._monotonic = monotonic
        self._on_change = on_change
        self._tails: deque[TailQueue] = deque()
        self._known: dict[Path, TailQueue] = {}
        self._living: set[TailQueue] = set()
        self._not_before: dict[Path, float] = {}
        self._problems: dict[Path, str] = {}
        # A record's number here stays the same when it is read again: the shipper goes by it.
        self._places: dict[int, tuple[Place, int]] = {}  # with the record's size
        self._numbers: dict[Place, int] = {}
        self._bytes: dict[TailQueue, int] = {}
        self._again: deque[int] = deque()
        self._next = 0
        self._next_tend = float("-inf")
        self._scanned = False
        self._past_losses: dict[str, int] = {}
        self.paused = False
        """Set to stop reading: what was read can then be delivered before the end."""
        self.delivered = 0
        self.folders = 0

    # --- what the shipper calls ---

    def refused(self, position: int, letter: Letter) -> None:
        """Keep a record that Kafka refused as a dead letter, beside its folder."""
        place = self._places.get(position)
        if place is not None:
            (tail, inner), _ = place
            tail.refused(inner, letter)
            if tail in self._books:
                self._books[tail].refuse(letter.record)
            self.delivered -= 1  # ack() follows

    def read(self, records_max: int) -> list[tuple[int, Record]]:
        """Return the next records of the folders in turn: those that were read before first."""
        if self.paused:
            return []
        batch = self._read_again(records_max)
        share = max(records_max // max(len(self._tails), 1), 20)
        for _ in range(len(self._tails)):
            if len(batch) >= records_max:
                break
            tail = self._tails[0]
            self._tails.rotate(-1)
            if self._bytes[tail] * len(self._tails) < _WAITING_BYTES_MAX:
                batch += self._read_from(tail, min(share, records_max - len(batch)))
        return batch

    def ack(self, position: int) -> None:
        """Forget a record that was read."""
        tail, inner = self._forget(position)
        if tail is not None:
            tail.ack(inner)
            self.delivered += tail not in self._audits

    def ack_all(self, positions: Iterable[int]) -> None:
        """Forget many records that were read."""
        for position in positions:
            self.ack(position)

    def rewind(self) -> None:
        """Make every record that is not acknowledged readable again, in order."""
        self._again = deque(sorted(self._places))
        for tail in self._tails:
            tail.rewind()

    def depth(self) -> tuple[int, int]:
        """Return how many records were read and are not acknowledged, and their bytes."""
        return len(self._places), sum(self._bytes.values())

    def lowest_unacked(self) -> int:
        """Return the lowest position that is not acknowledged."""
        return next(iter(self._places), self._next)

    def oldest_ms(self) -> int | None:
        """Return when what waits longest, of what was read, was appended."""
        return min((oldest for tail in self._tails if (oldest := tail.oldest_ms()) is not None), default=None)

    @property
    def reading(self) -> int:
        """How many folders are delivered now."""
        return len(self._tails)

    @property
    def losses(self) -> Mapping[str, int]:
        """Records lost in the folders so far, by reason."""
        found = dict(self._past_losses)
        for tail in self._tails:
            _add(found, tail.losses)
        return found

    def tend(self) -> None:
        """Look for new folders; write cursors, remove what is delivered."""
        now = self._monotonic()
        if now < self._next_tend:
            return
        self._next_tend = now + _TEND_S
        for tail in list(self._tails):
            if not tail.alive and tail in self._living:
                self._living.discard(tail)
                self._say(tail, "its process ended")
            if tail.gone:
                self._give_up(tail, "was removed by somebody else: what was in it cannot be delivered", again=True)
            elif tail.drained:
                self._finish(tail)
            else:
                self._guarded(tail, tail.tend)
                if tail in self._books:
                    self._guarded(tail, self._books[tail].report)
        if self._audit is not None:
            self._audit.tend()
        self._scan(now)
        self._scanned = True

    def close(self) -> None:
        """Write all cursors and let go of the folders."""
        while self._tails:
            self._let_go(self._tails[0])
        if self._audit is not None:
            self._audit.close()

    # --- for whoever runs it ---

    @property
    def empty(self) -> bool:
        """Whether all that was there at the last look is delivered."""
        if not self._scanned or self._places or not all(each.caught_up or each.drained for each in self._tails):
            return False
        # What is to be told of is told when a folder is finished, and delivered after that.
        told = self._audit is None or (self._audit.waiting == 0 and not any(each.drained for each in self._books))
        return told and not self._untold

    # --- inside ---

    def _read_from(self, tail: TailQueue, records_max: int) -> list[tuple[int, Record]]:
        found: list[tuple[int, Record]] = []
        batch: list[tuple[int, Record]] = []
        if not self._guarded(tail, lambda: batch.extend(tail.read(records_max))):
            return found
        for inner, record in batch:
            place = (tail, inner)
            number = self._numbers.get(place)
            if number is None:
                number, self._next = self._next, self._next + 1
                self._numbers[place] = number
                self._places[number] = place, record.queued_bytes
                self._bytes[tail] += record.queued_bytes
            found.append((number, record))
        return found

    def _read_again(self, records_max: int) -> list[tuple[int, Record]]:
        batch: list[tuple[int, Record]] = []
        while self._again and len(batch) < records_max:
            number = self._again.popleft()
            if number in self._places:
                found = self._read_from(self._places[number][0][0], 1)
                if not found or found[0][0] != number:
                    self._forget(number)  # expired, or damaged by now: its folder counted it
                batch += found
        return batch

    def _forget(self, number: int) -> tuple[TailQueue, int] | tuple[None, int]:
        held = self._places.pop(number, None)
        if held is None:
            return None, 0
        place, size = held
        del self._numbers[place]
        self._bytes[place[0]] -= size
        return place

    def _scan(self, now: float) -> None:
        """Take the folders that nobody else delivers."""
        for service in self._services():
            for folder in ownership.processes(service):
                if len(self._tails) >= _FOLDERS_MAX and not (self._audit and self._audit.is_own(folder)):
                    break
                if folder not in self._known and now >= self._not_before.get(folder, now):
                    self._take(folder)
            ownership.sweep(service, self._clock_ns() / 1e9)

    def _services(self) -> list[Path]:
        try:
            found = [each for each in sorted(self._spool.iterdir()) if each.is_dir() and not each.name.startswith(".")]
        except OSError as error:
            if self._spool not in self._problems:
                self._problems[self._spool] = str(error)
                self._on_change(f"the spool cannot be read, trying again: {error}")
            return []
        if self._problems.pop(self._spool, None):
            self._on_change("the spool can be read again")
        return found

    def _take(self, folder: Path) -> None:
        taken = take(folder)
        if taken is None:
            return
        owned, alive = taken
        try:
            tail = TailQueue(
                owned, alive=alive, limits=self._limits, clock_ns=self._clock_ns, monotonic=self._monotonic
            )
            tail = self._audited(tail)
        except (OSError, ValueError) as error:
            owned.release()
            self._put_off(folder, str(error))
            return
        self._known[folder] = tail
        self._bytes[tail] = 0
        self._tails.append(tail)
        if alive:
            self._living.add(tail)
        if folder not in self._untold:
            self._problems.pop(folder, None)
            self._say(tail, f"shipping, its process {'lives' if alive else 'is dead'}")

    def _audited(self, tail: TailQueue) -> TailQueue:
        """Return the folder's queue as it is to be read: with books where its session is told of."""
        if self._audit is None:
            return tail
        books = self._audit.books(tail)
        if books is None:
            self._audits.add(tail)
            return tail
        counted = cast("TailQueue", books.counted)
        self._books[counted] = books
        return counted

    def _say(self, tail: TailQueue, what: str) -> None:
        if tail not in self._audits:
            self._on_change(f"{_name(tail.folder)}: {what}")

    def _guarded(self, tail: TailQueue, step: Callable[[], object]) -> bool:
        try:
            step()
        except (OSError, ValueError) as error:
            self._give_up(tail, str(error), again=tail.gone)
            return False
        return True

    def _give_up(self, tail: TailQueue, why: str, *, again: bool) -> None:
        folder = tail.folder
        self._let_go(tail)
        if again:
            self._on_change(f"{_name(folder)}: {why}")
        else:
            self._put_off(folder, why)

    def _put_off(self, folder: Path, why: str, what: str = "cannot be read") -> None:
        self._not_before[folder] = self._monotonic() + _AGAIN_S
        if self._problems.get(folder) != why:
            self._problems[folder] = why
            self._on_change(f"{_name(folder)}: {what}, trying again every {_AGAIN_S:g} s: {why}")

    def _finish(self, tail: TailQueue) -> None:
        self._let_go(tail)
        if not tail.removed:
            self._untold.add(tail.folder)
            self._put_off(tail.folder, "no room for it, or no right to write it", "its account cannot be queued")
            return
        self._untold.discard(tail.folder)
        self.folders += tail not in self._audits
        lost = "".join(f", {count:,} {reason}" for reason, count in tail.losses.items())
        lost += f", {tail.put_away:,} put aside" if tail.put_away else ""
        self._say(tail, f"{tail.delivered:,} events delivered{lost}; removed")
        self._audits.discard(tail)

    def _let_go(self, tail: TailQueue) -> None:
        for number in [number for number, (place, _) in self._places.items() if place[0] is tail]:
            self._forget(number)
        self._tails.remove(tail)
        self._living.discard(tail)
        del self._known[tail.folder], self._bytes[tail]
        _add(self._past_losses, tail.losses)
        tail.close()
        self._books.pop(tail, None)


def _name(folder: Path) -> str:
    return f"{unquote(folder.parent.name)}/{folder.name}"


def _add(to: dict[str, int], more: Mapping[str, int]) -> None:
    for reason, count in more.items():
        to[reason] = to.get(reason, 0) + count
