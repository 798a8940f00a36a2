"""The ledger: which numbers of which topic will never arrive, and why, until an audit event has told of them.

Bounded: neighbours with one reason are one range, and beyond a number of ranges only counts are kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

RANGES_MAX = 10_000


class Lost(NamedTuple):
    """The numbers `first` to `last` of a topic."""

    first: int
    last: int
    reason: str


class Ledger:
    """One caller at a time."""

    def __init__(self, ranges_max: int = RANGES_MAX) -> None:
        self._ranges_max = ranges_max
        self._ranges: dict[str, list[Lost]] = {}
        self.counts: dict[str, dict[str, int]] = {}
        """All that was ever entered, by topic and reason: for reading by other threads too."""
        self._others: dict[str, dict[str, int]] = {}
        self.entries = 0

    def add(self, topic: str, first: int, last: int, reason: str) -> None:
        """Enter the numbers `first` to `last`."""
        counts = self.counts.setdefault(topic, {})
        counts[reason] = counts.get(reason, 0) + last - first + 1
        self.entries += 1
        ranges = self._ranges.setdefault(topic, [])
        if ranges and ranges[-1].last == first - 1 and ranges[-1].reason == reason:
            ranges[-1] = Lost(ranges[-1].first, last, reason)
        elif len(ranges) < self._ranges_max:
            ranges.append(Lost(first, last, reason))

    def take(self, topic: str, ranges_max: int) -> list[Lost]:
        """Return the oldest ranges of a topic and forget them; put_back() is for when nobody could be told."""
        ranges = self._ranges.get(topic, [])
        taken, self._ranges[topic] = ranges[:ranges_max], ranges[ranges_max:]
        return taken

    def put_back(self, topic: str, ranges: Sequence[Lost]) -> None:
        """Have ranges told of the next time."""
        self._ranges[topic] = [*ranges, *self._ranges.get(topic, [])]

    # --- for a ledger that is kept longer than a process lives ---

    @property
    def has_untold(self) -> bool:
        """Whether there are ranges that nobody was told of."""
        return any(self._ranges.values())

    def own(self, topic: str) -> dict[str, int]:
        """Return the counts of a topic by reason, without what a process before this one has told of."""
        others = self._others.get(topic, {})
        counts = {reason: count - others.get(reason, 0) for reason, count in self.counts.get(topic, {}).items()}
        return {reason: count for reason, count in counts.items() if count > 0}

    def state(self) -> dict[str, Any]:
        """Return all, as JSON holds it."""
        return {"counts": self.counts, "untold": {topic: list(ranges) for topic, ranges in self._ranges.items()}}

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Go on with what state() returned; what was told of by then is another's."""
        self.counts = {topic: dict(counts) for topic, counts in state["counts"].items()}
        self._ranges = {topic: [Lost(*each) for each in ranges] for topic, ranges in state["untold"].items()}
        self._others = {topic: dict(counts) for topic, counts in self.counts.items()}
        for topic, ranges in self._ranges.items():
            for first, last, reason in ranges:
                self._others[topic][reason] -= last - first + 1
