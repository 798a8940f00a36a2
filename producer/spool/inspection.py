"""Looks into a spool from outside and changes nothing: whose folders there are, and what waits in them.

A living process's folder changes while it is read, so its numbers are of about now. Never call this in a process that
has a spool itself: looking at a lock would free it.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from . import ownership
from .chain_reader import ChainReader
from .cursor import read_cursor, start_of
from .segment_files import chain_of

_BATCH = 1000
_NO_AGE = 1 << 62


@dataclass
class Folder:
    """One process's folder. `waiting` counts events that the cursor does not say are delivered."""

    service: str
    name: str
    alive: bool | None
    waiting: int
    bytes: int
    segments: int
    age_s: float | None
    """How old the oldest waiting event is; None: nothing waits."""
    holes: int
    damaged: int
    torn_tails: int
    problem: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return plain values by name."""
        return asdict(self)


def look(spool: Path, now_ms: int) -> list[Folder]:
    """Return what is in a spool, by service; raise OSError when the folder itself cannot be read."""
    services = sorted(path for path in spool.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [_folder(service, each, now_ms) for service in services for each in ownership.processes(service)]


def numbers(spool: Path, topic: str, now_ms: int) -> Iterator[tuple[bytes, int]]:
    """Yield (session, seq) of each event of a topic that waits in a spool; raise OSError when it cannot be read.

    What a folder that goes meanwhile had, or one of a newer format has, is left out.
    """
    services = [path for path in spool.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for path in (each for service in services for each in ownership.processes(service)):
        session = bytes.fromhex(path.name.rpartition("-")[2])
        with contextlib.suppress(OSError, ValueError):
            chain = chain_of(path)
            if not chain:
                continue
            reader = ChainReader(start_of(chain, read_cursor(path)), {}, clock_ms=lambda: now_ms, age_ms_max=_NO_AGE)
            while batch := reader.read(_BATCH):
                for position, record in batch:
                    reader.ack(position)
                    if record.topic == topic:
                        yield session, record.seq


def _folder(service: Path, path: Path, now_ms: int) -> Folder:
    found = Folder(unquote(service.name), path.name, ownership.is_alive(path), 0, 0, 0, None, 0, 0, 0)
    try:
        found.bytes = sum(each.stat().st_size for each in path.iterdir())
        _read(found, path, now_ms)
    except (OSError, ValueError) as error:
        found.problem = str(error)
    return found


def _read(found: Folder, path: Path, now_ms: int) -> None:
    chain = chain_of(path)
    found.segments = len(chain)
    if not chain:
        return
    reader = ChainReader(start_of(chain, read_cursor(path)), {}, clock_ms=lambda: now_ms, age_ms_max=_NO_AGE)
    oldest_ms: int | None = None
    while batch := reader.read(_BATCH):
        if oldest_ms is None:
            oldest_ms = reader.oldest_ms()
        for position, _ in batch:
            reader.ack(position)
        found.waiting += len(batch)
    found.age_s = None if oldest_ms is None else max((now_ms - oldest_ms) / 1000, 0.0)
    found.holes, found.torn_tails = reader.holes, len(reader.torn_ends)
    found.damaged = sum(reader.losses.values())
