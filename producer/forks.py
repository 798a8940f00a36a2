"""Fork safety: after a fork the child forgets what it inherited, and destroys none of it.

librdkafka's threads do not exist in a forked child, so destroying an inherited handle there waits for ever. The child
therefore gives each inherited handle one reference that is never returned. The hook takes no lock, since any lock may
have been held by another thread at the moment of the fork.
"""

import ctypes
import os

_live: dict[int, object] = {}
current = 0
"""What generation() returns: for emit(), which looks at it each time."""


def generation() -> int:
    """Return how many forks lie between the first process and this one: it differs after every fork."""
    return current


def hold(handle: object) -> None:
    """Keep a handle alive, and remember that a forked child must never destroy it."""
    _live[id(handle)] = handle


def release(handle: object) -> None:
    """Let a handle go again, in the process that made it."""
    _live.pop(id(handle), None)


def _forget_in_child() -> None:
    """Run in the child right after a fork."""
    global current  # noqa: PLW0603 - one number for the process, which only this hook changes
    current += 1
    for handle in _live.values():
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(handle))
    _live.clear()


os.register_at_fork(after_in_child=_forget_in_child)
