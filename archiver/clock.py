"""Time as the archiver needs it, and the one place in the archiver that asks the system for it."""

import datetime as dt
import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Time as the archiver needs it."""

    def now(self) -> str:
        """Return the wall clock as an ISO 8601 text in UTC: for people, never for decisions."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only rise."""
        ...

    def pause(self, seconds: float) -> None:
        """Wait; may return early when the worker is asked to stop."""
        ...


class SystemClock:
    """Clock on this machine. Pauses end at once when `stop` is set."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def now(self) -> str:
        """Return the wall clock in UTC as ISO 8601 with microseconds."""
        return wall_clock()

    def monotonic(self) -> float:
        """Return seconds that only rise."""
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        """Wait, or return early when asked to stop."""
        self._stop.wait(seconds)


def wall_clock() -> str:
    """Return the system's wall clock in UTC as ISO 8601 with microseconds."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
