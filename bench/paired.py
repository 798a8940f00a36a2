"""Ratios of pairs that were measured side by side: their median, and an interval that does not ask how they are spread.

The interval is that of the order statistics: between the k-th lowest and the k-th highest ratio the true median lies
with the stated probability, whatever the distribution is.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Ratio:
    """The median of paired ratios. `low` and `high` hold the true median with `confidence`."""

    median: float
    low: float
    high: float
    confidence: float
    pairs: int

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f}, {self.confidence:.0%} of {self.pairs} pairs)"


def ratio(pairs: Sequence[tuple[float, float]]) -> Ratio:
    """Return the median of first/second over pairs, with the narrowest interval that holds it with CONFIDENCE.

    With too few pairs for that (under six) the interval is all of them, and its confidence is what it is.
    """
    found = sorted(first / second for first, second in pairs)
    count = len(found)
    depth = 0  # how many ratios may lie outside of the interval on each side
    while 2 * (depth + 1) < count and _covers(count, depth + 1) >= CONFIDENCE:
        depth += 1
    return Ratio(statistics.median(found), found[depth], found[-1 - depth], _covers(count, depth), count)


def _covers(count: int, depth: int) -> float:
    """Return the chance that the median lies between the values at `depth` from both ends."""
    return 1 - 2 * sum(math.comb(count, below) for below in range(depth + 1)) / 2**count


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which a share of the ordered values lies."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
