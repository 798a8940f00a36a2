"""Forecasts when a bound of the queue is reached, if what grows goes on as it does. Pure: time is an argument."""

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

CLASSES = ("low", "normal", "high")
WINDOW_S = 30.0
_SPAN_S_MIN = 0.5


class Level(NamedTuple):
    """One bound: how much is `left` before events of these classes are lost, and what eats it up as it rises.

    Several values may rise towards the same bound (files come in large steps, what is in them does not): the one that
    rises fastest counts.
    """

    classes: tuple[str, ...]
    left: float
    rising: tuple[float, ...]


class Forecast:
    """Remembers the levels of the last half minute. add() and seconds() have one caller at a time."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._seen: deque[tuple[float, Sequence[Level]]] = deque()

    def add(self, now_s: float, levels: Sequence[Level]) -> dict[str, float]:
        """Take the levels at a moment; return by class the seconds until an event of it is lost, infinite for never.

        The levels must come in the same order each time.
        """
        if len(self._seen) > 1 and now_s - self._seen[-2][0] < _SPAN_S_MIN:
            self._seen.pop()  # however often somebody asks, half a minute is few entries
        self._seen.append((now_s, levels))
        while len(self._seen) > 2 and now_s - self._seen[1][0] >= self._window_s:
            self._seen.popleft()
        began_s, before = self._seen[0]
        found: dict[str, float] = {}
        for then, level in zip(before, levels, strict=False):
            seconds = _seconds(level, then, now_s - began_s)
            for each in level.classes:
                found[each] = min(seconds, found.get(each, math.inf))
        return found


def _seconds(level: Level, then: Level, span_s: float) -> float:
    if level.left <= 0:
        return 0.0
    if span_s < _SPAN_S_MIN:
        return math.inf
    rate = max((now - before) / span_s for now, before in zip(level.rising, then.rising, strict=True))
    return level.left / rate if rate > 0 else math.inf
