"""What a monitor counts, for Prometheus: filled by the runner, the teller and the notifiers, read at each scrape."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from headrace.archiver.metric import Values

from .alerts_event import Told
from .transition import WindowPoint

FIRING_MAX = 100_000
Notified = Literal["sent", "failed", "refused", "dropped"]
"""An attempt worked, failed and is made again, was refused for good; or there was no room to wait in."""


@dataclass
class _State:
    """All numbers. Keys are label values in the order of the metric's labels."""

    records: Counter[tuple[str, ...]] = field(default_factory=Counter)
    uncounted: dict[tuple[str, ...], float] = field(default_factory=dict)
    windows: Counter[tuple[str, ...]] = field(default_factory=Counter)
    told: Counter[tuple[str, ...]] = field(default_factory=Counter)
    silent: Counter[tuple[str, ...]] = field(default_factory=Counter)
    notified: Counter[tuple[str, ...]] = field(default_factory=Counter)
    lost_points: int = 0
    newest: dict[str, WindowPoint] = field(default_factory=dict)
    firing: dict[str, tuple[str, str, int]] = field(default_factory=dict)  # rule, severity, when told; by fingerprint
    rules: dict[str, str] = field(default_factory=dict)  # severity by rule, of those that told something
    waiting: dict[str, int] = field(default_factory=dict)
    up: dict[str, bool] = field(default_factory=dict)


class MonitorNumbers:
    """The numbers of one monitor process. Thread-safe. `told_since_us()`: what was told last before is forgotten."""

    def __init__(self, told_since_us: Callable[[], int] = lambda: 0) -> None:
        self._told_since_us = told_since_us
        self._lock = threading.Lock()
        self._state = _State()

    def records(self, topic: str, count: int) -> None:
        """Note that so many more records of a topic were read."""
        with self._lock:
            self._state.records[topic,] += count

    def uncounted(self, rule: str, totals: Mapping[str, int]) -> None:
        """Note how many events a rule has not counted so far, by reason: what its evaluator says."""
        with self._lock:
            for why, total in totals.items():
                self._state.uncounted[rule, why] = total

    def points(self, points: Sequence[WindowPoint]) -> None:
        """Note windows that were evaluated. Of a rule's newest windows the one with the largest value is shown."""
        with self._lock:
            for each in points:
                self._state.windows[each.rule,] += 1
                shown = self._state.newest.get(each.rule)
                if shown is None or (each.end_us, each.value) >= (shown.end_us, shown.value):
                    self._state.newest[each.rule] = each

    def told(self, news: Sequence[Told]) -> None:
        """Note what was told."""
        with self._lock:
            for each in news:
                found = each.transition
                self._state.told[found.rule, found.severity, found.state] += 1
                self._fires(each)

    def observed(self, news: Sequence[Told]) -> None:
        """Note what others told, or this one in an earlier life: it fires, or does not; but is not counted."""
        with self._lock:
            for each in news:
                self._fires(each)

    def silent(self, rule: str, why: str) -> None:
        """Note a transition that was not told."""
        with self._lock:
            self._state.silent[rule, why] += 1

    def notified(self, to: str, outcome: Notified, count: int = 1) -> None:
        """Note what became of attempts to tell a server."""
        with self._lock:
            self._state.notified[to, outcome] += count
            if outcome in ("sent", "failed"):
                self._state.up[to] = outcome == "sent"

    def waiting(self, to: str, count: int) -> None:
        """Note how many alerts wait for a server."""
        with self._lock:
            self._state.waiting[to] = count
            self._state.up.setdefault(to, True)

    def points_lost(self) -> None:
        """Note that points could not be written."""
        with self._lock:
            self._state.lost_points += 1

    def _fires(self, told: Told) -> None:
        found = told.transition
        self._state.rules[found.rule] = found.severity
        if found.state == "resolved":
            self._state.firing.pop(told.fingerprint, None)
        else:
            self._state.firing[told.fingerprint] = (found.rule, found.severity, found.at_us)
            while len(self._state.firing) > FIRING_MAX:
                del self._state.firing[next(iter(self._state.firing))]

    # What the metrics read.

    def count(self, name: Literal["records", "uncounted", "windows", "told", "silent", "notified"]) -> Values:
        """Return a counter's values."""
        with self._lock:
            return dict(getattr(self._state, name))

    def firing_now(self) -> Values:
        """Return how many alerts fire, by rule and severity; 0 for a rule that told something and does not."""
        with self._lock:
            found: dict[tuple[str, ...], float] = dict.fromkeys(self._state.rules.items(), 0.0)
            since_us = self._told_since_us()
            for rule, severity, told_us in self._state.firing.values():
                found[rule, severity] = found.get((rule, severity), 0.0) + (told_us >= since_us)
            return found

    def newest(self) -> Mapping[str, WindowPoint]:
        """Return the newest window of each rule."""
        with self._lock:
            return dict(self._state.newest)

    def servers(self) -> Mapping[str, tuple[bool, int]]:
        """Return for each server that is told: whether the last attempt worked, and what waits."""
        with self._lock:
            return {to: (up, self._state.waiting.get(to, 0)) for to, up in self._state.up.items()}

    def lost(self) -> int:
        """Return how often points could not be written."""
        return self._state.lost_points
