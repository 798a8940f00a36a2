"""What a worker has done and holds, counted for metrics; told to the supervisor once a second as a line of JSON.

Counters begin at zero with each process; whoever adds processes up is in tallies.py. Telling never waits: a supervisor
that does not read costs news, not records. The log line of a commit is written here too, since the two tell the same.
"""

import json
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from .clock import Clock
from .held import summary
from .log_entries import Entry
from .logged import fields

log = logging.getLogger("headrace.archiver")

TELL_S = 1.0
Key = tuple[str, tuple[str, ...]]


class Counted(Protocol):
    """A topic's part in a worker, as far as gauges need it."""

    topic: str
    oldest_s: float | None

    @property
    def bytes(self) -> int:
        """Memory held by records that are not committed."""

    @property
    def held(self) -> Any:
        """The held partitions, by number."""


class Tally:
    """One worker's counters and gauges. `tell(line)` takes a line of JSON each TELL_S; None: nobody asks."""

    def __init__(self, clock: Clock, tell: Callable[[bytes], None] | None = None) -> None:
        self._clock = clock
        self._tell = tell
        self._due_s = clock.monotonic()
        self._flush_begun_s = clock.monotonic()
        self.counters: dict[Key, float] = {}

    def add(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Count."""
        self.counters[name, labels] = self.counters.get((name, labels), 0.0) + by

    def flush_begun(self) -> None:
        """Note that a flush begins: what it commits is told with the time since."""
        self._flush_begun_s = self._clock.monotonic()

    def flush_ended(self, topic: str, *, failed: bool = False) -> None:
        """Note that a flush ended."""
        self.add("flush_seconds", topic, by=self._clock.monotonic() - self._flush_begun_s)
        if failed:
            self.add("flush_failures", topic)

    def committed(self, entry: Entry) -> None:
        """Count a commit, and log it."""
        topic, seconds = entry.topic, self._clock.monotonic() - self._flush_begun_s
        rows, quarantined, size = entry.records - entry.quarantined, entry.quarantined, entry.size
        gaps = [gap for span in entry.spans for gap in span.gaps]
        for name, count in (
            ("commits", 1),
            ("records", rows),
            ("quarantined", quarantined),
            ("late", sum(file.late for file in entry.files)),
            ("files", len(entry.files)),
            ("bytes", size),
        ):
            self.add(name, topic, by=count)
        for gap in gaps:
            self.add("gap_offsets", topic, gap.reason, by=0 if gap.end is None else gap.end - gap.start)
        told = {"partitions": len(entry.spans), "records": rows, "quarantined": quarantined, "gaps": len(gaps)}
        told |= {"files": len(entry.files), "bytes": size}
        log.info(
            "%s: commit %d: %s, in %.2f s",
            *(topic, entry.seq, summary(entry), seconds),
            extra=fields("commit", topic=topic, seq=entry.seq, seconds=round(seconds, 3), **told),
        )

    def tell_when_due(self, archives: Iterable[Counted]) -> None:
        """Tell the counters, and the gauges of now."""
        now_s = self._clock.monotonic()
        if self._tell is None or now_s < self._due_s:
            return
        self._due_s = now_s + TELL_S
        held = list(archives)
        gauges: list[tuple[str, tuple[str, ...], float]] = [
            ("uncommitted_bytes", (), sum(each.bytes for each in held)),
            (
                "oldest_uncommitted_s",
                (),
                max((now_s - s for each in held if (s := each.oldest_s) is not None), default=0),
            ),
            *(("partitions_held", (each.topic,), len(each.held)) for each in held),
        ]
        counters = [(name, labels, value) for (name, labels), value in self.counters.items()]
        told = {"at": self._clock.now(), "counters": counters, "gauges": gauges}
        self._tell(json.dumps(told, separators=(",", ":")).encode() + b"\n")
