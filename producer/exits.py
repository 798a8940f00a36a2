"""Closes event logs when their process ends, also where multiprocessing ends it."""

import atexit
import contextlib
import sys
import weakref
from typing import Protocol


class Closing(Protocol):
    """An event log, as far as its end is concerned."""

    def close_in_time(self) -> None:
        """Close it, within the time that it was given for that."""


def close_at_exit(log: Closing) -> None:
    """Have a log closed when the process exits, if it still exists then."""
    atexit.register(_close_if_alive, weakref.ref(log))


def close_at_multiprocessing_exit(log: Closing) -> None:
    """Have multiprocessing close the log in its children, which end without running atexit's functions."""
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is None or process is None or process.parent_process() is None:
        return
    with contextlib.suppress(Exception):
        util.Finalize(None, _close_if_alive, args=(weakref.ref(log),), exitpriority=100)


def _close_if_alive(log: "weakref.ref[Closing]") -> None:
    alive = log()
    if alive is not None:
        alive.close_in_time()
