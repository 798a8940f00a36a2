"""Looks after the spool of a process that ships nothing itself: the next segment, the disk's sync, the bounds.

It runs on one real thread, also where greenlets have replaced threads; nothing in it logs or talks to Kafka, and no
emit() waits for a lock of its own.
"""

import contextlib
from collections.abc import Callable

from ..greenlets import Threads, real_threads
from ..queues import Queue
from .separate_queue import SeparateQueue

_BUSY_S = 0.02
_IDLE_S = 1.0
_TURN_S_MAX = 10.0


class Keeper:
    """Takes the shipper's place in such a process (see sender.py)."""

    restarts = 0
    schemas_failed = 0

    def __init__(self, queue: Queue, _on_refused: object = None, *, threads: Threads | None = None) -> None:
        """`queue` is one in memory when the spool could not be opened: see on_memory()."""
        self._queue = queue
        self._reopen: Callable[[], SeparateQueue | None] = lambda: None
        self._move_to: Callable[[SeparateQueue], None] = lambda _: None
        threads = threads or real_threads()
        self._wake = threads.make_lock()
        self._wake.acquire()
        self._turn = threads.make_rlock()
        self._inside = False
        self.idle = False
        self._stop = False
        self._waiting = -1
        self.stopped = False
        self.last_error: str | None = None

    def on_memory(self, reopen: Callable[[], SeparateQueue | None], move_to: Callable[[SeparateQueue], None]) -> None:
        """Say how to open the spool later, and how to move there what waits in memory."""
        self._reopen, self._move_to = reopen, move_to

    @property
    def acked(self) -> int:
        """How many records are delivered, as far as the cursor of the ship process tells."""
        return self._queue.delivered if isinstance(self._queue, SeparateQueue) else 0

    @property
    def delivered_to(self) -> int:
        """The lowest position that is not done."""
        return self._queue.lowest_unacked() if isinstance(self._queue, SeparateQueue) else 0

    def run(self) -> None:
        """Look after the queue until stop()."""
        while not self._stop:
            busy = self.advance()
            self.idle = not busy
            self._wake.acquire(timeout=_BUSY_S if busy else _IDLE_S)
            self.idle = False
        self.stopped = True

    def advance(self) -> bool:
        """Do what upkeep is due; return whether something was appended since the last time.

        close() calls it too, while the thread may be at it: moving what is in memory, of which close() must see the
        end. So they take turns; a disk that stands still holds up close() for a bounded time.
        """
        if not self._turn.acquire(timeout=_TURN_S_MAX):
            return False
        try:
            if self._inside:
                return False  # a signal handler that interrupted this very thread
            self._inside = True
            try:
                return self._look_after()
            finally:
                self._inside = False
        finally:
            self._turn.release()

    def _look_after(self) -> bool:
        try:
            if self._queue.durability == "memory":
                self._move()
            self._queue.tend()
        except Exception as error:  # noqa: BLE001 - without upkeep emit() makes its own segments: slower, not wrong
            self.last_error = f"looking after the spool: {type(error).__name__}: {error}"
        if not isinstance(self._queue, SeparateQueue):
            return False  # once a second is often enough to look whether the folder can be written to by now
        busy, self._waiting = self._queue.appended != self._waiting, self._queue.appended
        return busy

    def _move(self) -> None:
        opened = self._reopen()
        if opened is not None:
            self._move_to(opened)
            self._queue = opened

    def nudge(self) -> None:
        """Say that something was appended: a burst that begins finds its next segment made."""
        if self.idle:
            self.idle = False
            self._release()

    def stop(self) -> None:
        """Ask run() to end soon."""
        self._stop = True
        self._release()

    def _release(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is awake
            self._wake.release()
