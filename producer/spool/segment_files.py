"""Segment files: allocated in full before they are mapped, so that a full disk is an error and never a SIGBUS."""

import contextlib
import errno
import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .segment_format import HEADER_BYTES, Header, header_bytes, parse_header, seed_of

SUFFIX = ".seg"
_ZEROS = bytes(1 << 20)
_UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

Allocator = Callable[[int, int], None]


def allocate(fd: int, size: int) -> None:
    """Give a new file `size` bytes of real disk; raise OSError when there is no room."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
        else:
            return
    at = 0
    while at < size:
        at += os.pwrite(fd, _ZEROS[: size - at], at)


def reason_of(error: OSError) -> str:
    """Return the reason that a loss is counted under when the disk refuses."""
    return "disk_full" if error.errno in _FULL else "unwritable"


@dataclass(slots=True)
class Segment:
    """One segment of a chain. The appending side sets `tail`, then `sealed` and `after`; the reading side only reads.

    `tail` is where the data ends, and the position that comes after it (-1: not known). Not known and not sealed:
    another process may be writing here, so that the data ends anywhere before that.
    """

    number: int
    path: Path
    seed: int
    first_position: int | None
    tail: tuple[int, int]
    size: int
    sealed: bool = False
    after: "Segment | None" = None
    fd: int | None = None

    def read(self, start: int, end: int) -> bytes:
        """Return bytes of the file; raise OSError. Never through a mapping: a bad disk is then a SIGBUS."""
        if self.fd is not None:
            return os.pread(self.fd, end - start, start)
        fd = os.open(self.path, os.O_RDONLY)
        try:
            return os.pread(fd, end - start, start)
        finally:
            os.close(fd)

    def let_go(self) -> None:
        """Close the file."""
        fd, self.fd = self.fd, None
        if fd is not None:
            os.close(fd)


@dataclass(slots=True)
class Blank:
    """A segment file that is allocated and mapped, and not used yet."""

    path: Path
    fd: int
    size: int
    map: mmap.mmap

    def become(self, header: Header, folder_name: str) -> Segment:
        """Take its place in the chain under its number; raise OSError when the folder is gone."""
        self.map[:HEADER_BYTES] = header_bytes(header)
        path = self.path.with_name(f"{header.number:012d}{SUFFIX}")
        self.path.rename(path)
        tail = (HEADER_BYTES, header.first_position)
        seed = seed_of(folder_name, header.number)
        return Segment(header.number, path, seed, header.first_position, tail, self.size, fd=self.fd)

    def discard(self) -> None:
        """Remove it again."""
        with contextlib.suppress(OSError):
            self.path.unlink()
        self.map.close()
        os.close(self.fd)


def make_blank(path: Path, size: int, allocator: Allocator) -> Blank:
    """Allocate and map a new file; raise OSError and leave nothing behind when there is no room."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        allocator(fd, size)
        mapped = mmap.mmap(fd, size)
    except (OSError, ValueError):
        os.close(fd)
        path.unlink(missing_ok=True)
        raise
    return Blank(path, fd, size, mapped)


def chain_of(folder: Path) -> list[Segment]:
    """Return the segments of a dead process's folder, in order, linked; raise OSError.

    Raises ValueError for a segment of a newer format, which only a newer version may touch.
    """
    chain: list[Segment] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if path.stem.isdigit():
            link(chain, open_segment(path))
    if chain:
        chain[-1].sealed = True
    return chain


def open_segment(path: Path) -> Segment:
    """Return a segment that may still grow, as far as is known; raise OSError, or ValueError for a newer format."""
    number, size = int(path.stem), path.stat().st_size
    segment = Segment(number, path, seed_of(path.parent.name, number), None, (size, -1), size)
    header = parse_header(segment.read(0, HEADER_BYTES))
    if header is not None and header.version > 1:
        raise ValueError(f"{path}: spool format {header.version} is newer than this version of headrace reads")
    if header is not None:
        segment.first_position = header.first_position
    return segment


def link(chain: list[Segment], segment: Segment) -> None:
    """Put the next segment behind a chain: the one before it is complete by that."""
    if chain:
        before = chain[-1]
        before.after = segment
        before.tail = (before.size, -1 if segment.first_position is None else segment.first_position)
        before.sealed = True
    chain.append(segment)
