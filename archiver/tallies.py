"""What all workers of an archiver told of themselves, added up over the processes that each of them has been.

A worker that died keeps what it had counted, up to its last second. Reading never waits.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .metric import Metric, Values
from .tally import Key

READ_BYTES = 1 << 16
LINE_BYTES_MAX = 4 << 20


@dataclass
class WorkerTally:
    """One worker: `past` of its ended processes, `told` of the living one."""

    up: bool = False
    starts: int = 0
    told_at_s: float | None = None
    past: dict[Key, float] = field(default_factory=dict)
    told: dict[Key, float] = field(default_factory=dict)
    gauges: dict[Key, float] = field(default_factory=dict)

    def counters(self) -> dict[Key, float]:
        """Return the counters over all of its processes."""
        return {key: self.past.get(key, 0.0) + self.told.get(key, 0.0) for key in {**self.past, **self.told}}


class Tallies:
    """The tallies of an archiver's workers, by number. The supervisor's thread reads, a scrape's thread looks."""

    def __init__(self) -> None:
        self.workers: dict[int, WorkerTally] = {}
        self._pipes: dict[int, int] = {}
        self._pieces: dict[int, bytes] = {}

    def opened(self, worker: int, descriptor: int) -> None:
        """Note that a process of a worker was started, and where it tells."""
        self.ended(worker)
        os.set_blocking(descriptor, False)
        tally = self.workers.setdefault(worker, WorkerTally())
        self.workers[worker] = WorkerTally(up=True, starts=tally.starts + 1, past=tally.counters())
        self._pipes[worker], self._pieces[worker] = descriptor, b""

    def ended(self, worker: int) -> None:
        """Note that a worker's process ended: its last words are read, what it held is gone."""
        descriptor = self._pipes.pop(worker, None)
        if descriptor is not None:
            self._read(worker, descriptor)
            os.close(descriptor)
            tally = self.workers[worker]
            tally.up, tally.gauges = False, {}

    def read(self) -> None:
        """Read what was told since."""
        for worker, descriptor in self._pipes.items():
            self._read(worker, descriptor)

    def close(self) -> None:
        """Note that all processes ended."""
        for worker in list(self._pipes):
            self.ended(worker)

    def _read(self, worker: int, descriptor: int) -> None:
        while True:
            try:
                piece = os.read(descriptor, READ_BYTES)
            except BlockingIOError:
                return
            if not piece:
                return
            *lines, rest = (self._pieces[worker] + piece).split(b"\n")
            self._pieces[worker] = rest if len(rest) <= LINE_BYTES_MAX else b""
            for line in lines:
                self._take(self.workers[worker], line)

    @staticmethod
    def _take(tally: WorkerTally, line: bytes) -> None:
        try:
            value: dict[str, Any] = json.loads(line)
            counters = {(str(name), tuple(labels)): float(number) for name, labels, number in value["counters"]}
            gauges = {(str(name), tuple(labels)): float(number) for name, labels, number in value["gauges"]}
            at_s = datetime.fromisoformat(value["at"]).timestamp()
        except (ValueError, KeyError, TypeError):
            return  # a line that was cut by a kill
        # Whole dictionaries are set, so that a scrape's thread sees the old ones or the new ones.
        tally.told, tally.gauges, tally.told_at_s = counters, gauges, at_s


def _total(name: str) -> Callable[[Tallies], Values]:
    def values(tallies: Tallies) -> Values:
        return _added(name, [each.counters() for each in list(tallies.workers.values())])

    return values


def _held(name: str) -> Callable[[Tallies], Values]:
    def values(tallies: Tallies) -> Values:
        return _added(name, [each.gauges for each in list(tallies.workers.values())])

    return values


def _added(name: str, tables: list[dict[Key, float]]) -> Values:
    found: dict[tuple[str, ...], float] = {}
    for table in tables:
        for (of, labels), value in table.items():
            if of == name:
                found[labels] = found.get(labels, 0.0) + value
    return found


def _oldest(tallies: Tallies) -> Values:
    ages = [each.gauges.get(("oldest_uncommitted_s", ()), 0.0) for each in list(tallies.workers.values())]
    return {(): max(ages, default=0.0)}


def _by_worker(value: Callable[[WorkerTally], float | None]) -> Callable[[Tallies], Values]:
    def values(tallies: Tallies) -> Mapping[tuple[str, ...], float]:
        found = {(str(worker),): value(each) for worker, each in sorted(tallies.workers.items())}
        return {labels: number for labels, number in found.items() if number is not None}

    return values


_T = ("topic",)
ARCHIVER_METRICS: tuple[Metric[Tallies], ...] = (
    Metric(
        "headrace_archiver_worker_up",
        "gauge",
        ("worker",),
        "1 while the worker's process runs.",
        _by_worker(lambda w: w.up),
    ),
    Metric(
        "headrace_archiver_worker_restarts",
        "counter",
        ("worker",),
        "How often it ended by itself and was started again.",
        _by_worker(lambda w: max(0, w.starts - 1)),
    ),
    Metric(
        "headrace_archiver_worker_told_timestamp_seconds",
        "gauge",
        ("worker",),
        "When it last told of itself: once a second, unless a flush takes longer.",
        _by_worker(lambda w: w.told_at_s),
    ),
    Metric("headrace_archiver_records", "counter", _T, "Records that became durable as rows.", _total("records")),
    Metric(
        "headrace_archiver_quarantined", "counter", _T, "Records that became durable undecoded.", _total("quarantined")
    ),
    Metric("headrace_archiver_late", "counter", _T, "Rows of dates that were sealed already.", _total("late")),
    Metric("headrace_archiver_commits", "counter", _T, "Commits.", _total("commits")),
    Metric("headrace_archiver_files", "counter", _T, "Files that were committed.", _total("files")),
    Metric("headrace_archiver_bytes", "counter", _T, "Their bytes.", _total("bytes")),
    Metric(
        "headrace_archiver_gap_offsets",
        "counter",
        ("topic", "reason"),
        "Offsets that went on record as a gap.",
        _total("gap_offsets"),
    ),
    Metric("headrace_archiver_flush_seconds", "counter", _T, "Time that flushes took.", _total("flush_seconds")),
    Metric(
        "headrace_archiver_flush_failures", "counter", _T, "Flushes that the store failed.", _total("flush_failures")
    ),
    Metric(
        "headrace_archiver_start_overs",
        "counter",
        _T,
        "How often what was not committed was dropped, and read again from the log.",
        _total("start_overs"),
    ),
    Metric(
        "headrace_archiver_uncommitted_bytes",
        "gauge",
        (),
        "Memory held by records that are not committed, of all workers.",
        _held("uncommitted_bytes"),
    ),
    Metric(
        "headrace_archiver_oldest_uncommitted_seconds",
        "gauge",
        (),
        "How long the oldest of them has been held; 0 when none is.",
        _oldest,
    ),
    Metric(
        "headrace_archiver_partitions_held", "gauge", _T, "Partitions that the workers hold.", _held("partitions_held")
    ),
)
