"""A lock file, so that one command at a time works on an instance or on the cache. The system frees it at any death."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import LocalError

_TIMEOUT_S = 600.0  # as long as fetching over a slow line may take
_POLL_S = 0.05


@contextmanager
def held(path: Path, progress: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock at `path`, waiting for whoever has it and saying so once; its folder is made when it is missing.

    Raises LocalError when the file can't be made, or when waiting takes ten minutes.
    """
    deadline = time.monotonic() + _TIMEOUT_S
    told = False
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a")
        except OSError as error:
            raise LocalError(f"can't write into {path.parent}: {error}. Name a folder of yours.") from error
        with file:
            if _take(file.fileno()) and _is_at(file.fileno(), path):
                yield
                return
        if not told:
            progress(f"waiting for another command that works on {path.parent}")
            told = True
        if time.monotonic() > deadline:
            raise LocalError(f"another command has held {path} for {_TIMEOUT_S:.0f} s; end it, then try again")
        time.sleep(_POLL_S)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    # Whoever held it before may have removed the file, as `down --purge` does; then this lock protects nothing.
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
