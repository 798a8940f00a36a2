"""The real clock and real ids: the one place in the archiver that asks the system for them."""

import datetime as dt
import threading
import time


class SystemClock:
    """Clock on this machine. Pauses end at once when `stop` is set."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def now(self) -> str:
        """Return the wall clock in UTC as ISO 8601 with microseconds."""
        return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

    def monotonic(self) -> float:
        """Return seconds that only rise."""
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        """Wait, or return early when asked to stop."""
        self._stop.wait(seconds)
