"""Dead letters on disk: one file a process in SPOOL/<service>/dead-letters, appended to, read, and taken for sending.

They outlive the process's folder, are bounded in bytes for each service, and nothing but an explicit command sends or
shows what is in them. docs/spool-format.md has the bytes.
"""

import base64
import contextlib
import fcntl
import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..letter import Letter
from ..record import Record

FOLDER = "dead-letters"
SUFFIX = ".letters"
TAKEN = ".sending-"
_NAMES = 3


@dataclass(frozen=True, slots=True)
class Kept:
    """A letter as it was found, and when it was put aside (Unix milliseconds)."""

    letter: Letter
    at_ms: int


class DeadLetterFile:
    """What one process puts aside. One thread at a time calls it."""

    def __init__(self, service: Path, process: str, *, bytes_max: int, clock_ns: Callable[[], int]) -> None:
        self._folder = service / FOLDER
        self._process = process
        self._bytes_max = bytes_max
        self._clock_ns = clock_ns
        self.kept = 0
        self.lost = 0

    def write(self, letters: list[Letter]) -> bool:
        """Keep letters; False, and counted, when the bound is reached or the disk refuses. Never raises."""
        lines = [line_of(each, self._clock_ns() // 1_000_000) for each in letters]
        if self.write_lines(lines):
            self.kept += len(letters)
            return True
        self.lost += len(letters)
        return False

    def write_lines(self, lines: list[bytes]) -> bool:
        """Keep lines that line_of() made."""
        data = b"".join(lines)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if size_of(self._folder) + len(data) > self._bytes_max:
                return False
            return any(_append(self._folder / f"{self._process}{more}{SUFFIX}", data) for more in _names())
        except OSError:
            return False


def _names() -> Iterator[str]:
    """Yield what to add to a file's name: the first is free, unless a command takes that file at this moment."""
    yield ""
    for number in range(2, _NAMES + 2):
        yield f"-{number}"


def _append(path: Path, data: bytes) -> bool:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Once it is locked nobody takes it; but somebody may have in between.
        if os.fstat(fd).st_ino != path.stat().st_ino:
            return False
        whole = os.fstat(fd).st_size
        if os.write(fd, data) != len(data):
            os.ftruncate(fd, whole)  # the disk is full
            return False
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def size_of(folder: Path) -> int:
    """Return the bytes of a service's dead letters."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for each in found:
            with contextlib.suppress(OSError):
                total += each.stat().st_size
    return total


def take(path: Path) -> Path | None:
    """Take a file from the process that writes it, which goes on in a new one; None when it is being written to."""
    if path.name.startswith(TAKEN):
        return path  # by a command that died
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        return path.rename(path.with_name(f"{TAKEN}{path.name}"))


def files_of(service: Path) -> list[Path]:
    """Return the files with dead letters of a service, taken ones too."""
    try:
        return sorted(each for each in (service / FOLDER).iterdir() if each.name.endswith(SUFFIX))
    except OSError:
        return []


def lines_of(path: Path) -> list[bytes]:
    """Return a file's lines, good and bad; raise OSError."""
    return path.read_bytes().splitlines(keepends=True)


def line_of(letter: Letter, at_ms: int) -> bytes:
    """Return a letter's line: the CRC-32 of the rest, and a JSON object."""
    held: dict[str, Any] = {
        "version": 1,
        "at_ms": at_ms,
        "reason": letter.reason,
        "error": letter.error,
        "type": letter.event_type,
    }
    if letter.record is not None:
        topic, key, value, timestamp_ms, seq, schema, _ = letter.record
        held |= {
            "topic": topic,
            "key": None if key is None else base64.b64encode(key).decode(),
            "value": base64.b64encode(value).decode(),
            "timestamp_ms": timestamp_ms,
            "seq": seq,
            "schema": schema,
        }
    text = json.dumps(held, separators=(",", ":")).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def parsed(line: bytes) -> Kept | None:
    """Return the letter of a line, or None when it is damaged."""
    crc, _, text = line.strip().partition(b" ")
    try:
        if int(crc, 16) != zlib.crc32(text):
            return None
        held = json.loads(text)
        record = None
        if "value" in held:
            key = held["key"]
            record = Record(
                held["topic"],
                None if key is None else base64.b64decode(key),
                base64.b64decode(held["value"]),
                held["timestamp_ms"],
                held["seq"],
                held["schema"],
                held["type"],
            )
        return Kept(Letter(held["reason"], held["error"], held["type"], record), held["at_ms"])
    except (ValueError, KeyError, TypeError):
        return None
