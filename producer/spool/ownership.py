"""Who owns which folder of a spool: one lock file a folder, held with fcntl.lockf for as long as its process lives.

Such a lock belongs to the process: a forked child does not inherit it, and the kernel frees it however the process
ends. (A lock of flock() would be shared with children and outlive the parent.) It has one trap: closing any descriptor
of the file frees it. So a process opens a lock file once, and a table, kept per fork generation, says which it holds.
"""

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from .. import forks

LOCK = "lock"
SHIP_LOCK = "ship.lock"
PROBE = ".probe-"
_NEW = ".new-"
_NEW_AGE_S_MAX = 3600
_PROCESS = re.compile(r".+-\d+-[0-9a-f]{32}")
_held: dict[tuple[int, int, int], object] = {}  # (generation, device, inode): changed by atomic operations only


def service_folder(spool: Path, service: str) -> Path:
    """Return the folder of a service in a spool."""
    name = quote(service, safe="")
    return spool / (name.replace(".", "%2E", 1) if name.startswith(".") else name)


@dataclass(slots=True)
class Owned:
    """A folder that this process owns until release() or remove()."""

    path: Path
    _fd: int
    _key: tuple[int, int, int]
    _name: str = LOCK
    also: "Owned | None" = None
    """The folder's other lock, where there is one and it is held too: let go of together with this one."""

    def release(self) -> None:
        """Let another process adopt the folder."""
        if _held.pop(self._key, None):
            os.close(self._fd)
        if self.also is not None:
            self.also.release()

    @property
    def still_there(self) -> bool:
        """Whether the folder is still the one that was locked: nobody removed it, or put another in its place."""
        try:
            status = (self.path / self._name).stat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._key[1:]

    def remove(self) -> None:
        """Remove the folder with all that is in it, then the lock: nobody can adopt what is being removed."""
        with contextlib.suppress(OSError):
            # By name: segments from the oldest on, then the cursor. Whoever finds half of it repeats little.
            for path in sorted(self.path.iterdir()):
                if path.name != LOCK:
                    path.unlink()
            (self.path / LOCK).unlink()
            self.path.rmdir()
        self.release()


def make_folder(parent: Path, host: str, session_id: bytes, *, ship_apart: bool = False) -> Owned:
    """Make this process's folder, locked before any other process can see it; raise OSError.

    `ship_apart`: with a ship lock that is free, which lets `headrace ship` deliver while this process lives.
    """
    parent.mkdir(parents=True, exist_ok=True)
    name = f"{quote(host, safe='').lstrip('.')[:80] or 'host'}-{os.getpid()}-{session_id.hex()}"
    new = parent / (_NEW + name)
    new.mkdir(mode=0o700)
    try:
        owned = _lock(new, create=True)
        if owned is None:
            raise OSError(f"{new / LOCK}: a new lock file is held by somebody else")
        try:
            if ship_apart:
                (new / SHIP_LOCK).touch(mode=0o600, exist_ok=False)
            owned.path = new.rename(parent / name)
        except OSError:
            owned.release()
            raise
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        raise
    return owned


def adopt(folder: Path) -> Owned | None:
    """Take over a folder whose process is dead; None when it lives, or another adopter or `ship` was first."""
    owned = ended(folder)
    if owned is None or not (folder / SHIP_LOCK).exists():
        return owned
    owned.also = claim(folder)
    if owned.also is None:
        owned.release()
        return None
    return owned


def claim(folder: Path) -> Owned | None:
    """Take the right to deliver a folder whose process lives: its ship lock. None when there is none to be had."""
    try:
        return _lock(folder, create=False, name=SHIP_LOCK)
    except OSError:
        return None


def ended(folder: Path) -> Owned | None:
    """Take the lock of a folder's own process, whose ship lock is held: None as long as that process lives."""
    try:
        return _lock(folder, create=False)
    except OSError:
        return None


def _lock(folder: Path, *, create: bool, name: str = LOCK) -> Owned | None:
    """Lock a folder; None when it is held, by another process or by this one. Raises OSError.

    The table is asked before the file is opened: opening and closing a file that this process holds would free it.
    """
    path = folder / name
    if create:
        path.touch(mode=0o600, exist_ok=False)
    status = path.stat()
    key = (forks.generation(), status.st_dev, status.st_ino)
    token = object()
    if _held.setdefault(key, token) is not token:
        return None
    fd = -1
    try:
        fd = os.open(path, os.O_RDWR)
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locked = os.fstat(fd).st_ino == path.stat().st_ino == status.st_ino  # else it was removed in between
    except OSError:
        locked = False
    if locked:
        return Owned(folder, fd, key, name)
    _held.pop(key, None)
    if fd >= 0:
        os.close(fd)
    return None


def is_process(name: str) -> bool:
    """Tell whether a name is that of a process's folder."""
    return bool(_PROCESS.fullmatch(name)) and not name.startswith(".")


def processes(service: Path) -> Iterator[Path]:
    """Yield the process folders of a service, oldest first as far as the file system tells."""
    found: list[tuple[float, Path]] = []
    with contextlib.suppress(OSError):
        for path in service.iterdir():
            if is_process(path.name):
                with contextlib.suppress(OSError):
                    found.append((path.stat().st_mtime, path))
    yield from (path for _, path in sorted(found))


def sweep(service: Path, now_s: float) -> None:
    """Remove what processes left that died in the middle: folders that were never finished and files that only tried
    the disk, over an hour old, and empty folders whose lock, the last file in them, was removed already."""
    for path in processes(service):
        if not (path / LOCK).exists():
            with contextlib.suppress(OSError):  # somebody else removed it, or it is not empty
                path.rmdir()
    with contextlib.suppress(OSError):
        for path in service.glob(f"{PROBE}*"):
            if now_s - path.stat().st_mtime > _NEW_AGE_S_MAX:
                path.unlink()
    with contextlib.suppress(OSError):
        for path in service.glob(f"{_NEW}*"):
            if now_s - path.stat().st_mtime > _NEW_AGE_S_MAX:
                owned = adopt(path) if (path / LOCK).exists() else None
                if owned is not None:
                    owned.remove()
                else:
                    path.rmdir()


def is_alive(folder: Path) -> bool | None:
    """Tell whether a folder's process lives (or an adopter is at work); None when the lock cannot be read.

    For lookers-on in a process of their own: never call it in a process that holds folders.
    """
    try:
        fd = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(fd)
