"""The reporter: takes readings once a second to whoever asked for them, on a thread of its own.

A sink that hangs or fails holds up nothing but its own kind: not emit(), not the shipper, and close() only for as long
as it was told to wait.
"""

import contextlib
import logging
from collections.abc import Callable, Sequence

from .greenlets import Threads, real_threads
from .readings import Readings, Sink

INTERVAL_S = 1.0
_log = logging.getLogger("headrace.producer")


class Reporter:
    """Reports one process's readings until stop(). Without sinks it has no thread."""

    def __init__(
        self,
        sinks: Sequence[Sink],
        readings: Callable[[], Readings],
        threads: Threads | None = None,
        *,
        interval_s: float = INTERVAL_S,
    ) -> None:
        """Keep the list of sinks itself: it may grow."""
        self._threads = threads or real_threads()
        self._sinks = sinks
        self._own: list[Sink] = []
        self._readings = readings
        self._interval_s = interval_s
        self._wake = self._threads.make_lock()
        self._wake.acquire()
        self._started = False
        self._stop = False
        self._failing: set[int] = set()
        self.stopped = False

    def also(self, sink: Sink) -> None:
        """Report to a sink that is this process's alone, and before all others."""
        self._own.append(sink)

    def start(self) -> None:
        """Start the thread, if there is something to do, and none yet. Uses no lock of the threading module."""
        if self._started or not (self._sinks or self._own):
            return
        self._started = True
        try:
            self._threads.start(self.run, ())
        except RuntimeError:
            self._started = False  # at exit, when no thread can be started any more

    def run(self) -> None:
        """Report until stop(), and once more then; never raises."""
        while not self._stop:
            self.report(last=False)
            self._wake.acquire(timeout=self._interval_s)
        self.report(last=True)
        self.stopped = True

    def report(self, *, last: bool) -> None:
        """Give all sinks the readings of now. One that raises is named in the log once, and tried again."""
        readings = self._readings()
        for sink in (*self._own, *self._sinks):
            try:
                sink.report(readings, last=last)
            except Exception as error:  # noqa: BLE001 - the other sinks must still hear
                if id(sink) not in self._failing:
                    self._failing.add(id(sink))
                    _log.warning("headrace: metrics to %s failed: %s: %s", sink, type(error).__name__, error)

    def stop(self, grace_s: float, monotonic: Callable[[], float], pause: Callable[[], None]) -> None:
        """Have it report a last time and end; wait for that at most `grace_s`."""
        self._stop = True
        with contextlib.suppress(RuntimeError):  # it was stopped before
            self._wake.release()
        end = monotonic() + grace_s
        while self._started and not self.stopped and monotonic() < end:
            pause()
