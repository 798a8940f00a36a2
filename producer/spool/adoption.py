"""Adopts what dead processes of the same service left in the spool: one folder at a time, on a thread of its own.

Each folder gets a shipper of its own, so that it is delivered in its own order and cannot hold up what this process
emits. Any number of processes may look for orphans at the same time: the lock decides.
"""

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

from headrace.schemas.events import Audit

from ..auditing import AuditSettings
from ..letter import Letter
from ..queues import Queue
from ..sender import Sender
from . import ownership
from .folder_books import FolderBooks
from .limits import SpoolLimits
from .orphan_queue import OrphanQueue
from .ownership import Owned

_SCAN_S = 10.0
_log = logging.getLogger("headrace.producer")

MakeShipper = Callable[[Queue, Callable[[Letter], None]], "DoneSender"]


class DoneSender(Sender, Protocol):
    """A shipper that can be told when to end."""

    def run(self, done: Callable[[], bool] = ...) -> None:
        """Ship until stop(), or until `done`."""


class Adopter:
    """Looks for orphans of one service until stop(), and delivers them. run() is a thread's main function."""

    def __init__(
        self,
        service_folder: Path,
        *,
        limits: SpoolLimits,
        make_shipper: MakeShipper,
        clock_ns: Callable[[], int],
        monotonic: Callable[[], float],
        scan_interval_s: float = _SCAN_S,
    ) -> None:
        self._folder = service_folder
        self._limits = limits
        self._make_shipper = make_shipper
        self._clock_ns = clock_ns
        self._monotonic = monotonic
        self._scan_interval_s = scan_interval_s
        self._stop = False
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._shipper: DoneSender | None = None
        self._refused = 0
        self._books: FolderBooks | None = None
        self.tell: Callable[[Audit], bool] | None = None
        """Takes audit events about the sessions whose folders were adopted; None: nobody wants them."""
        self._passed_over: set[Path] = set()
        self.stopped = False
        self.delivered = 0
        self.folders = 0
        self.losses: dict[str, int] = {}
        self.last_error: str | None = None

    def run(self) -> None:
        """Adopt until stop(); never raises."""
        while not self._stop:
            self.adopt_all()
            with contextlib.suppress(Empty):
                self._wake.get(timeout=self._scan_interval_s)
        self.stopped = True

    def stop(self) -> None:
        """End soon, delivered or not; what is left stays for another process."""
        self._stop = True
        shipper = self._shipper
        if shipper is not None:
            shipper.stop()
        self._wake.put(None)

    def adopt_all(self) -> int:
        """Adopt and deliver all orphans that are there now, oldest first; return how many folders were finished."""
        finished = 0
        for folder in ownership.processes(self._folder):
            if self._stop:
                break
            if folder in self._passed_over:
                continue
            owned = ownership.adopt(folder)
            if owned is not None:
                finished += self._guarded(owned)
        ownership.sweep(self._folder, self._clock_ns() / 1e9)
        return finished

    def _guarded(self, owned: Owned) -> bool:
        try:
            return self._deliver(owned)
        except ValueError as error:
            self._passed_over.add(owned.path)
            self._noted(str(error), owned)
        except Exception as error:  # noqa: BLE001 - the thread must live: other folders can be delivered
            self._noted(f"{type(error).__name__}: {error}", owned)
        return False

    def _noted(self, text: str, owned: Owned) -> None:
        owned.release()
        self.last_error = f"adopting {owned.path}: {text}"
        _log.warning("headrace: %s", self.last_error)

    def _deliver(self, owned: Owned) -> bool:
        queue = OrphanQueue(owned, limits=self._limits, clock_ns=self._clock_ns, monotonic=self._monotonic)
        self._refused, self._books = 0, None
        if self.tell is not None:
            self._books = FolderBooks(
                queue, self.tell, settings=AuditSettings(), clock_ns=self._clock_ns, monotonic=self._monotonic
            )
        if not queue.drained:
            reading = queue if self._books is None else self._books.counted.as_queue()
            shipper = self._make_shipper(reading, self._count_refused)
            self._shipper = shipper
            if not self._stop:
                shipper.run(lambda: self._done(queue))
            self._shipper = None
            self.delivered += shipper.acked
            for reason, count in (*queue.losses.items(), ("refused", self._refused)):
                if count:
                    self.losses[reason] = self.losses.get(reason, 0) + count
        queue.close()
        self.folders += queue.removed
        return queue.removed

    def _done(self, queue: OrphanQueue) -> bool:
        if self._books is not None:
            self._books.report()
        return queue.drained

    def _count_refused(self, letter: Letter) -> None:
        self._refused += 1
        if self._books is not None:
            self._books.refuse(letter.record)
