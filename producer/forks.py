"""Fork safety: after a fork the child forgets what it inherited, and destroys none of it.

librdkafka's threads do not exist in a forked child, so destroying an inherited handle there waits for ever. The child
therefore gives each inherited handle one reference that is never returned. The hook takes no lock, since any lock may
have been held by another thread at the moment of the fork.

One lock is out of reach: glibc's getaddrinfo() takes one to learn the machine's addresses (AI_ADDRCONFIG, which
librdkafka asks for), and frees it in no child. A child that was forked in such a moment can never look up a broker, and
its events would wait until it ends. A handle looks up names above all while it is new, and a prefork server forks right
after its app logged a first event. So a fork waits until each new handle has had an answer, but for no more than the
first second of the handle's life.
"""

import ctypes
import os
import time

NEW_S = 1.0
_PAUSE_S = 0.005

_live: dict[int, object] = {}
_new_until: dict[int, float] = {}
current = 0
"""What generation() returns: for emit(), which looks at it each time."""


def generation() -> int:
    """Return how many forks lie between the first process and this one: it differs after every fork."""
    return current


def hold(handle: object) -> None:
    """Keep a handle alive, and remember that a forked child must never destroy it."""
    _new_until[id(handle)] = time.monotonic() + NEW_S
    _live[id(handle)] = handle


def answered(handle: object) -> None:
    """Note that a handle is connected: forks need not wait for it any more."""
    _new_until.pop(id(handle), None)


def release(handle: object) -> None:
    """Let a handle go again, in the process that made it."""
    _live.pop(id(handle), None)
    _new_until.pop(id(handle), None)


def _wait_for_new() -> None:
    """Run in the parent right before a fork."""
    while any(until > time.monotonic() for until in list(_new_until.values())):
        time.sleep(_PAUSE_S)  # the shipper's thread hears of the answer meanwhile


def _forget_in_child() -> None:
    """Run in the child right after a fork."""
    global current  # noqa: PLW0603 - one number for the process, which only this hook changes
    current += 1
    for handle in _live.values():
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(handle))
    _live.clear()
    _new_until.clear()


os.register_at_fork(before=_wait_for_new, after_in_child=_forget_in_child)
