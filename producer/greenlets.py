"""Finds out whether gevent or eventlet has replaced this process's threads, and gives the real ones all the same.

A shipper cannot run on the replaced ones: it waits inside of librdkafka, where a greenlet never gives way, and the
whole process would stand still. A spool that another process ships needs only a real lock and one real thread, which
both libraries leave within reach.
"""

import _thread
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Threads:
    """The interpreter's own thread functions: what they start and block are threads, not greenlets."""

    make_lock: Callable[[], Any]
    make_rlock: Callable[[], Any]
    start: Callable[[Callable[[], None], tuple[()]], object]


def patched_by() -> str | None:
    """Return which library has replaced threads with greenlets, or None. Imports neither."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("threading"):
        return "gevent"
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        return "eventlet"
    return None


def real_threads() -> Threads:
    """Return the real thread functions, whatever has replaced them. Imports neither library."""
    by = patched_by()
    make_lock, start = _thread.allocate_lock, _thread.start_new_thread
    if by == "gevent":
        original = sys.modules["gevent.monkey"].get_original
        make_lock, start = original("_thread", "allocate_lock"), original("_thread", "start_new_thread")
    if by == "eventlet":
        module = sys.modules["eventlet.patcher"].original("threading")
        make_lock, start = module.Lock, module._start_new_thread
    # Both replace threading.RLock, and leave what it is made of.
    return Threads(make_lock, _thread.RLock, start)
