"""What is usual at an hour: the median of the same hour on earlier days, and the median absolute deviation around it.

The textbook's robust pair (Huber, "Robust Statistics"; Iglewicz and Hoaglin, "How to Detect and Handle Outliers"): up
to half of the values may be incidents without moving it much. 1.4826 makes the MAD an estimate of the standard
deviation for normal values. Two floors keep an even past from making everything unusual: the square root of the median
for counts, which is what chance alone does to them (Poisson), and a twentieth of the median.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from .durations import DAY_US, HOUR_US
from .rules import Change, Measure

SAMPLES_PER_HOUR = 16
MAD_TO_DEVIATION = 1.4826
FLOOR_SHARE = 0.05
FLOOR_RATIO = 0.01
"""The least deviation of a ratio: one in a hundred."""

Slot = int


def deviation(values: Sequence[float], middle: float, measure: Measure, window_s: float) -> float:
    """Return the robust standard deviation of some values around their median, with its floors."""
    spread: float = MAD_TO_DEVIATION * median(abs(value - middle) for value in values)
    if measure == "ratio":
        return max(spread, FLOOR_RATIO)
    by_chance: float = (abs(middle) / (window_s if measure == "rate" else 1.0)) ** 0.5
    return max(spread, by_chance, FLOOR_SHARE * abs(middle), 1 / window_s if measure == "rate" else 1.0)


class Baseline:
    """One group's values at each hour of the day (or of the week), of the last days (or weeks)."""

    def __init__(self, condition: Change, measure: Measure, window_us: int, hop_us: int) -> None:
        self._condition = condition
        self._measure: Measure = measure
        self._window_us = window_us
        self._hop_us = hop_us
        self._season_us = DAY_US if condition.season == "day" else 7 * DAY_US
        # Windows that overlap say the same thing twice, and a few of an hour say enough.
        self._every_us = hop_us * max(-(-window_us // hop_us), -(-HOUR_US // (hop_us * SAMPLES_PER_HOUR)))
        self._slots: dict[Slot, dict[int, list[float]]] = {}
        self._known: tuple[tuple[Slot, int], tuple[float, float] | None] | None = None

    def _place(self, end_us: int) -> tuple[Slot, int]:
        """Return the hour within the season, and which season it is, of the window that ends there."""
        start_us = end_us - self._window_us
        return start_us % self._season_us // HOUR_US, start_us // self._season_us

    def add(self, end_us: int, value: float) -> Slot | None:
        """Remember a window's value, if it is one of those that are; return the slot that changed."""
        if end_us % self._every_us:
            return None
        slot, season = self._place(end_us)
        held = self._slots.setdefault(slot, {})
        held.setdefault(season, []).append(value)
        for old in [each for each in held if each < season - self._condition.days]:
            del held[old]
        return slot

    def expected(self, end_us: int) -> tuple[float, float] | None:
        """Return the band of usual values for the window that ends there; None while there is too little past."""
        place = self._place(end_us)
        if self._known is None or self._known[0] != place:
            self._known = (place, self._band(*place))
        return self._known[1]

    def _band(self, slot: Slot, season: int) -> tuple[float, float] | None:
        first = season - self._condition.days
        earlier = [values for each, values in self._slots.get(slot, {}).items() if first <= each < season]
        if len(earlier) < self._condition.days_min:
            return None
        values = [value for each in earlier for value in each]
        middle = median(values)
        width = self._condition.deviations * deviation(values, middle, self._measure, self._window_us / 1e6)
        high = middle + width
        return max(0.0, middle - width), min(1.0, high) if self._measure == "ratio" else high

    def slot_json(self, slot: Slot) -> Any:
        """Return one slot in a form for JSON."""
        return [[season, values] for season, values in self._slots.get(slot, {}).items()]

    def restore_slot(self, slot: Slot, value: Any) -> None:
        """Take a slot that slot_json() gave."""
        self._slots[slot] = {season: list(values) for season, values in value}
        self._known = None

    def slots(self) -> Mapping[Slot, Any]:
        """Return the slots that hold anything."""
        return self._slots
