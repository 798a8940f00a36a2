"""Closes event logs when their process ends, also in multiprocessing's children, where atexit does nothing."""

import contextlib
import sys
import weakref
from typing import Any


def close_if_alive(log: "weakref.ref[Any]") -> None:
    """Close a log at exit, if it still exists."""
    alive = log()
    if alive is not None:
        alive.close(alive._close_timeout_s)


def close_at_multiprocessing_exit(log: Any) -> None:
    """Have multiprocessing close the log in its children, which end without running atexit's functions."""
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is None or process is None or process.parent_process() is None:
        return
    with contextlib.suppress(Exception):
        util.Finalize(None, close_if_alive, args=(weakref.ref(log),), exitpriority=100)
