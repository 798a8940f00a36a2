"""What the spool's tests share: records, queues in a folder, and what a dead process leaves."""

import os
from pathlib import Path
from typing import Any

from headrace.producer.record import Record
from headrace.producer.spool import ownership
from headrace.producer.spool.limits import SpoolLimits
from headrace.producer.spool.orphan_queue import OrphanQueue
from headrace.producer.spool.spool_queue import SpoolQueue

SMALL = SpoolLimits(bytes_max=64 << 20, segment_bytes=64 << 10, free_bytes_min=0)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def ns(self) -> int:
        return int(self.seconds * 1e9)

    def monotonic(self) -> float:
        return self.seconds


def record(number: int, size: int = 100, kind: str = "pin", key: bytes | None = b"k") -> Record:
    value = b"\xc3\x01FINGERPR" + b"%010d" % number + bytes(number % 251 for _ in range(size))
    return Record("tøpic", key, value, 1_000_000_000_000 + number, number + 1, '{"schema": 1}', kind)


def queue(spool: Path, clock: Clock | None = None, limits: SpoolLimits = SMALL, **more: Any) -> SpoolQueue:
    clock = clock or Clock()
    return SpoolQueue(
        spool, service="web", host="h1", session_id=os.urandom(16), limits=limits,
        clock_ns=clock.ns, monotonic=clock.monotonic, **more,
    )  # fmt: skip


def die(made: SpoolQueue) -> Path:
    """Leave a queue's folder as a SIGKILL would; the process goes on, so its lock is let go by hand."""
    made._own.owned.release()
    return made.folder


def orphan(folder: Path, clock: Clock | None = None, limits: SpoolLimits = SMALL) -> OrphanQueue:
    clock = clock or Clock()
    owned = ownership.adopt(folder)
    assert owned is not None
    return OrphanQueue(owned, limits=limits, clock_ns=clock.ns, monotonic=clock.monotonic)


def drain(left: OrphanQueue) -> list[tuple[int, Record]]:
    """Read and acknowledge all that is left."""
    found = []
    while batch := left.read(100):
        found += batch
        for position, _ in batch:
            left.ack(position)
    assert left.drained
    return found


def as_read(number: int, **more: Any) -> Record:
    """A record as it comes back: its type is not kept, it matters only to append()."""
    return record(number, **more)._replace(event_type="")
