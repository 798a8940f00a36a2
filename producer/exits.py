"""Closes event logs when their process ends, also where multiprocessing ends it."""

import atexit
import contextlib
import functools
import sys
import weakref
from typing import Any, Protocol


class Closing(Protocol):
    """An event log, as far as its end is concerned."""

    def close_in_time(self) -> None:
        """Close it, within the time that it was given for that."""


def close_at_exit(log: Closing) -> None:
    """Have a log closed when the process exits, if it still exists then."""
    atexit.register(_close_if_alive, weakref.ref(log))


def close_at_multiprocessing_exit(log: Closing) -> None:
    """Have multiprocessing, and Celery's copy of it, close the log in children, which may end without atexit."""
    for name in ("multiprocessing.util", "billiard.util"):
        util = sys.modules.get(name)
        if util is None:
            continue
        with contextlib.suppress(Exception):
            _finalize(util, log)
            # A forkserver's child imports the main module, which may emit, before it forgets all finalizers.
            util.register_after_fork(log, functools.partial(_finalize, util))


def _finalize(util: Any, log: Closing) -> None:
    util.Finalize(None, _close_if_alive, args=(weakref.ref(log),), exitpriority=100)


def _close_if_alive(log: "weakref.ref[Closing]") -> None:
    alive = log()
    if alive is not None:
        alive.close_in_time()
