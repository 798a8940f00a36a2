"""What was told already: decides whether a transition is news. Pure; fed from the topic and by what is told itself.

Firing is told once, still firing at most each so often (in event time), resolved once. What is told again after a
restart, or found again when old events are replayed, is no news: for each alert the window's ends only go forward.
"""

from collections import OrderedDict
from dataclasses import replace
from typing import Literal, TypeAlias

from .alerts_event import Told
from .transition import Transition

KNOWN_MAX = 100_000
"""So many alerts are remembered; beyond that, the one that was told of longest ago is forgotten."""

Silence: TypeAlias = Literal["repeat", "still", "unknown"]
"""Why a transition is not told: it was; it goes on, and that was told not long ago; its alert is not known to fire."""


class AlertMemory:
    """The alerts that are known, by fingerprint. Not thread-safe."""

    def __init__(self, *, still_every_us: int, known_max: int = KNOWN_MAX) -> None:
        self._still_every_us = still_every_us
        self._known_max = known_max
        self._known: OrderedDict[str, Told] = OrderedDict()

    def news(self, found: Transition) -> Told | Silence:
        """Return what to tell of a transition, or why nothing. Changes nothing: what was told is observed."""
        last = self._known.get(found.fingerprint)
        if last is not None and _fires(last):
            return self._next(found, last)
        if last is not None and found.window_end_us <= last.transition.window_end_us:
            return "repeat"
        if found.state == "resolved":
            return "unknown"
        return Told.of(replace(found, state="firing"), found.window_end_us)

    def _next(self, found: Transition, last: Told) -> Told | Silence:
        """Return what to tell of an alert that fires."""
        ahead_us = found.window_end_us - last.transition.window_end_us
        if found.state == "resolved":
            return "repeat" if ahead_us < 0 else Told.of(found, last.began_us)
        if ahead_us <= 0:
            return "repeat"
        if found.at_us - last.transition.at_us < self._still_every_us:
            return "still"
        return Told.of(replace(found, state="still_firing"), last.began_us)

    def observe(self, told: Told) -> bool:
        """Note what was told, by whoever, in the order in which it was told; return whether that was not known."""
        last = self._known.get(told.fingerprint)
        if last is not None and _order(told) < _order(last):
            return False
        new = last != told
        self._known[told.fingerprint] = told
        self._known.move_to_end(told.fingerprint)
        while len(self._known) > self._known_max:
            self._known.popitem(last=False)
        return new

    def of(self, fingerprint: str) -> Told | None:
        """Return what was told last of an alert that fires, or None."""
        last = self._known.get(fingerprint)
        return last if last is not None and _fires(last) else None

    def firing(self) -> list[Told]:
        """Return what was told last of each alert that fires, the longest silent first."""
        return [each for each in self._known.values() if _fires(each)]


def _order(told: Told) -> tuple[int, bool]:
    return told.transition.window_end_us, not _fires(told)


def _fires(told: Told) -> bool:
    return told.transition.state != "resolved"


class Noticed:
    """Which alerts people were told of: what is too old to be acted on goes into the topic, and wakes nobody.

    After an outage of the monitor, or when it begins at the start of a topic, it finds alerts of hours ago. One that
    is over wakes nobody; one that goes on is told as firing once its windows are recent.
    """

    def __init__(self, *, age_us_max: int, known_max: int = KNOWN_MAX) -> None:
        self._age_us_max = age_us_max
        self._known_max = known_max
        self._noticed: dict[str, None] = {}  # in the order in which people came to know

    def others_told(self, told: Told) -> None:
        """Take it that people know, or know that it is over, as another process told them: if it was recent then."""
        if told.transition.state == "resolved":
            self._noticed.pop(told.fingerprint, None)
        elif told.told_us is None or told.told_us - told.transition.window_end_us <= self._age_us_max:
            self._add(told.fingerprint)

    def knows(self, fingerprint: str) -> bool:
        """Whether people know that it fires."""
        return fingerprint in self._noticed

    def for_people(self, told: Told, now_us: int) -> Told | None:
        """Return what to tell people, now at `now_us`; None: nothing."""
        if told.transition.state == "resolved":
            known = told.fingerprint in self._noticed
            self._noticed.pop(told.fingerprint, None)
            return told if known else None
        if told.fingerprint in self._noticed:
            return told
        if now_us - told.transition.window_end_us > self._age_us_max:
            return None
        self._add(told.fingerprint)
        return told.as_state("firing")

    def _add(self, fingerprint: str) -> None:
        self._noticed[fingerprint] = None
        while len(self._noticed) > self._known_max:
            del self._noticed[next(iter(self._noticed))]
