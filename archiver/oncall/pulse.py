"""Sends a worker's heartbeats: every few seconds, the offsets that are durable and what the worker says of itself.

What it commits is never ahead of the log: `start` of what is held is the log's next offset.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from ..clock import Clock
from ..held import Held
from ..source import Source, TopicPartition
from .heartbeat import Heartbeat, gist

INTERVAL_S = 10.0
RATE_WINDOW_S = 300.0


class Beating(Protocol):
    """A topic's part in a worker, as far as heartbeats need it."""

    @property
    def topic(self) -> str:
        """The topic."""

    @property
    def held(self) -> Mapping[int, Held]:
        """The held partitions."""

    @property
    def restart_due(self) -> bool:
        """Whether what is held is not to be trusted any more."""


@dataclass(frozen=True, slots=True)
class _Trouble:
    text: str
    since_ms: int


class Pulse:
    """One worker's heartbeats. Not thread-safe. `worker` names the process, as `host:pid:number`."""

    def __init__(self, source: Source, worker: str, clock: Clock) -> None:
        self._source = source
        self._worker = worker
        self._clock = clock
        self._troubles: dict[str, _Trouble] = {}
        self._due_s = clock.monotonic()
        self._marks: dict[TopicPartition, deque[tuple[float, int]]] = {}

    def trouble(self, topic: str, text: str) -> None:
        """Note why a topic cannot be committed; it is told until fine()."""
        before = self._troubles.get(topic)
        self._troubles[topic] = _Trouble(gist(text), self._now_ms() if before is None else before.since_ms)

    def fine(self, topic: str) -> None:
        """Note that a topic was committed, or its log read."""
        self._troubles.pop(topic, None)

    def beat_when_due(self, archives: Iterable[Beating]) -> None:
        """Send the heartbeats of all topics, but not more often than each INTERVAL_S."""
        now_s = self._clock.monotonic()
        if now_s >= self._due_s:
            self._due_s = now_s + INTERVAL_S
            self.beat(archives)

    def beat(self, archives: Iterable[Beating]) -> None:
        """Send the heartbeats of these topics now.

        One that is to start over may hold offsets of a topic that was made again: it is silent, unless it has to say
        why it cannot start over.
        """
        now_ms = self._now_ms()
        for archive in archives:
            trouble = self._troubles.get(archive.topic)
            if not archive.held or (archive.restart_due and trouble is None):
                continue
            lowest = min(archive.held)
            for gone in [p for p in self._marks if p.topic == archive.topic and p.partition not in archive.held]:
                del self._marks[gone]
            offsets: dict[TopicPartition, int] = {}
            notes: dict[TopicPartition, str] = {}
            for number, held in archive.held.items():
                where = TopicPartition(archive.topic, number)
                told = trouble if number == lowest else None
                beat = Heartbeat(self._worker, now_ms, held.end, self._rate(where, held.start))
                if told is not None:
                    beat = replace(beat, trouble=told.text, trouble_since_ms=told.since_ms)
                offsets[where], notes[where] = held.start, beat.encode()
            self._source.commit_offsets(offsets, notes)

    def _rate(self, where: TopicPartition, durable: int) -> int:
        """Note how far a partition is, and return offsets a second over the window; -1 before a window's tenth."""
        now_s = self._clock.monotonic()
        marks = self._marks.setdefault(where, deque())
        if marks and durable < marks[-1][1]:
            marks.clear()  # another incarnation of the topic
        if len(marks) > 1 and now_s - marks[-2][0] < INTERVAL_S:
            marks.pop()  # a mark each interval is enough, however often is flushed
        marks.append((now_s, durable))
        while len(marks) > 2 and marks[1][0] <= now_s - RATE_WINDOW_S:
            marks.popleft()
        since_s, began = marks[0]
        return -1 if now_s - since_s < RATE_WINDOW_S / 10 else int((durable - began) / (now_s - since_s))

    def _now_ms(self) -> int:
        return int(datetime.fromisoformat(self._clock.now()).timestamp() * 1000)
