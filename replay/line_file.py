"""A file that appears complete or not at all: written under a temporary name beside it, renamed when it is finished."""

import contextlib
import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from .errors import RequestRefused


class LineFile:
    """Context manager: `write()` while inside; on a clean exit the file is in its place, on any exception nothing is.

    Refuses an existing file unless `overwrite`. Raises RequestRefused for a path that cannot be written. `size` and
    `sha256()` are of what was written.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.path = path
        self.size = 0
        self._abandoned = False
        self.closed = False  # asked by writers; closing is the context manager's business
        self._hash = hashlib.sha256()
        if path.is_dir():
            raise RequestRefused(f"{path} is a folder; name a file in it")
        if path.exists() and not overwrite:
            raise RequestRefused(f"{path} exists; choose another name, or --overwrite it")
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            self._file: IO[bytes] = self._partial.open("wb")
        except OSError as error:
            raise RequestRefused(f"cannot write {path}: {error.strerror or error}") from error

    def __enter__(self) -> Self:
        return self

    def write(self, lines: bytes) -> int:
        """Append; return how many bytes. Raises RequestRefused when the disk refuses."""
        if self._abandoned:
            return len(lines)  # a writer that is being given up wants to end its file
        try:
            self._file.write(lines)
            self._hash.update(lines)
            self.size += len(lines)
            return len(lines)
        except OSError as error:
            raise RequestRefused(f"writing {self.path}: {error.strerror or error}; nothing was left there") from error

    def flush(self) -> None:
        """Do nothing: writers call it, and what counts is the end."""

    def seekable(self) -> bool:
        """Return that only appending is possible."""
        return False

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self.size

    def sha256(self) -> str:
        """Return the SHA-256 of what was written so far, in hex."""
        return self._hash.hexdigest()

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        if kind is not None:
            self._abandon()
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._partial.replace(self.path)
        except OSError as error:
            self._abandon()
            raise RequestRefused(f"writing {self.path}: {error.strerror or error}; nothing was left there") from error

    def _abandon(self) -> None:
        self._abandoned = True
        with contextlib.suppress(OSError):  # a full disk may refuse the last flush; the file goes away anyway
            self._file.close()
        self._partial.unlink(missing_ok=True)
