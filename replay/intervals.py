"""Sets of whole numbers as ranges: what is there, what is missing. Memory goes with the number of ranges."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

_Mask = np.ndarray


class Intervals:
    """An immutable set of numbers, kept as sorted ranges [start, end) that neither overlap nor touch."""

    __slots__ = ("ends", "starts")

    def __init__(self, starts: np.ndarray, ends: np.ndarray) -> None:
        """Take ranges that are sorted, not empty, and don't touch: of() makes them from anything."""
        self.starts = starts
        self.ends = ends

    @classmethod
    def of(cls, ranges: Iterable[tuple[int, int]]) -> "Intervals":
        """Make a set of ranges [start, end), in any order; empty ones are left out."""
        pairs = np.array([pair for pair in ranges if pair[0] < pair[1]], np.int64).reshape(-1, 2)
        return _merged(pairs[:, 0], pairs[:, 1])

    @classmethod
    def of_sorted(cls, numbers: np.ndarray) -> "Intervals":
        """Make a set of numbers that rise strictly."""
        if not len(numbers):
            return NOTHING
        breaks = np.flatnonzero(np.diff(numbers) > 1)
        starts = numbers[np.concatenate(([0], breaks + 1))]
        ends = numbers[np.concatenate((breaks, [len(numbers) - 1]))] + 1
        return cls(starts, ends)

    def __len__(self) -> int:
        return int((self.ends - self.starts).sum())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Intervals) and list(self.ranges()) == list(other.ranges())

    def __hash__(self) -> int:
        return hash(tuple(self.ranges()))

    def __repr__(self) -> str:
        return f"Intervals({list(self.ranges())})"

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the ranges [start, end), lowest first."""
        yield from zip(self.starts.tolist(), self.ends.tolist(), strict=True)

    @property
    def highest(self) -> int:
        """The highest number; 0 for the empty set."""
        return int(self.ends[-1]) - 1 if len(self.ends) else 0

    def holds(self, numbers: np.ndarray) -> _Mask:
        """Return which of these numbers are in the set."""
        found: _Mask = np.searchsorted(self.starts, numbers, "right") > np.searchsorted(self.ends, numbers, "right")
        return found

    def __or__(self, other: "Intervals") -> "Intervals":
        if not len(other.starts):
            return self
        if not len(self.starts):
            return other
        return _merged(np.concatenate((self.starts, other.starts)), np.concatenate((self.ends, other.ends)))

    def __and__(self, other: "Intervals") -> "Intervals":
        return self._where(other, np.logical_and)

    def __sub__(self, other: "Intervals") -> "Intervals":
        return self._where(other, lambda here, there: here & ~there)

    def lowest_part(self, count: int) -> "Intervals":
        """Return the `count` lowest numbers, or all."""
        if count <= 0:
            return NOTHING
        sizes = np.cumsum(self.ends - self.starts)
        last = int(np.searchsorted(sizes, count))
        if last >= len(sizes):
            return self
        ends = self.ends[: last + 1].copy()
        ends[-1] -= int(sizes[last]) - count
        return Intervals(self.starts[: last + 1], ends)

    def highest_part(self, count: int) -> "Intervals":
        """Return the `count` highest numbers, or all."""
        return self - self.lowest_part(len(self) - count)

    def _where(self, other: "Intervals", keep: Callable[[_Mask, _Mask], _Mask]) -> "Intervals":
        if not len(self.starts):
            return NOTHING
        points = np.unique(np.concatenate((self.starts, self.ends, other.starts, other.ends)))
        mask = keep(self.holds(points[:-1]), other.holds(points[:-1]))
        return _merged(points[:-1][mask], points[1:][mask])


def _merged(starts: np.ndarray, ends: np.ndarray) -> Intervals:
    """Return ranges in any order, that may overlap and touch, as a set."""
    if not len(starts):
        return NOTHING
    order = np.argsort(starts, kind="stable")
    starts, reach = starts[order], np.maximum.accumulate(ends[order])
    first = np.concatenate(([True], starts[1:] > reach[:-1]))
    last = np.concatenate((first[1:], [True]))
    return Intervals(starts[first], reach[last])


NOTHING = Intervals(np.empty(0, np.int64), np.empty(0, np.int64))
