"""The ledger: which numbers of which topic will never arrive, and why, until an audit event has told of them.

Bounded: neighbours with one reason are one range, and beyond a number of ranges only counts are kept.
"""

from collections.abc import Sequence
from typing import NamedTuple

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
