"""Sets of numbers as ranges, against Python's own sets."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.replay.intervals import NOTHING, Intervals

NUMBERS = st.sets(st.integers(0, 40))
RANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)))


def made(numbers: set[int]) -> Intervals:
    return Intervals.of_sorted(np.array(sorted(numbers), np.int64))


def members(found: Intervals) -> set[int]:
    return {number for start, end in found.ranges() for number in range(start, end)}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(NUMBERS, NUMBERS)
def test_they_are_sets(a: set[int], b: set[int]) -> None:
    """Union, intersection, difference, size and membership are those of sets; ranges never touch or overlap."""
    left, right = made(a), made(b)
    for found, expected in ((left | right, a | b), (left & right, a & b), (left - right, a - b)):
        assert members(found) == expected
        assert len(found) == len(expected)
        assert found == made(expected)
        assert all(before[1] < after[0] for before, after in pairwise(found.ranges()))
    assert left.holds(np.arange(41)).tolist() == [number in a for number in range(41)]
    assert left.highest == max(a, default=0)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RANGES)
def test_ranges_in_any_order_make_a_set(ranges: list[tuple[int, int]]) -> None:
    """Overlapping, touching, empty and unordered ranges are merged."""
    assert members(Intervals.of(ranges)) == {n for start, end in ranges for n in range(start, end)}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(NUMBERS, st.integers(0, 45))
def test_parts_from_both_ends(numbers: set[int], count: int) -> None:
    """The lowest and the highest part have as many numbers as asked for, or all."""
    ordered = sorted(numbers)
    assert members(made(numbers).lowest_part(count)) == set(ordered[:count])
    assert members(made(numbers).highest_part(count)) == set(ordered[len(ordered) - min(count, len(ordered)) :])


@pytest.mark.parametrize("count", [0, -1])
def test_no_part_is_nothing(count: int) -> None:
    """Asking for none gives none."""
    assert made({1, 2}).lowest_part(count) == NOTHING
