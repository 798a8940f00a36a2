"""Finds out whether gevent or eventlet has replaced this process's threads, which the shipper cannot run on.

The shipper waits inside of librdkafka, where a greenlet never gives way: the whole process would stand still.
"""

import sys


def patched_by() -> str | None:
    """Return which library has replaced threads with greenlets, or None. Imports neither."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("threading"):
        return "gevent"
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        return "eventlet"
    return None
