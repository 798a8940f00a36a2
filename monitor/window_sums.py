"""Sums over the last hops of all groups: what a sliding window holds, kept up by adding a hop and taking one away.

Counts are added and subtracted. Sketches cannot be subtracted: their union is made anew when it is asked for.
"""

from collections import deque
from collections.abc import Mapping

from .measuring import Cell, union
from .rules import Group, Rule

Pane = Mapping[Group, Cell]


class WindowSums:
    """The last `hops` hops. Memory: the groups that occur in them."""

    def __init__(self, hops: int) -> None:
        self._hops = hops
        self._panes: deque[Pane] = deque()
        self._totals: dict[Group, list[int]] = {}

    def push(self, pane: Pane) -> Pane | None:
        """Take in the next hop; return the one that left, if one did."""
        for group, cell in pane.items():
            total = self._totals.get(group)
            if total is None:
                self._totals[group] = [cell.matched, cell.among]
            else:
                total[0] += cell.matched
                total[1] += cell.among
        self._panes.append(pane)
        if len(self._panes) <= self._hops:
            return None
        gone = self._panes.popleft()
        for group, cell in gone.items():
            total = self._totals[group]
            total[0] -= cell.matched
            total[1] -= cell.among
            if total[1] == 0:
                del self._totals[group]
        return gone

    def groups(self) -> Mapping[Group, list[int]]:
        """Return the groups with events in the window: how many matched, and among how many."""
        return self._totals

    def value(self, rule: Rule, group: Group) -> float | None:
        """Return a group's value in the window; None: a ratio of nothing."""
        matched, among = self._totals.get(group, (0, 0))
        if rule.measure == "ratio":
            return matched / among if among else None
        if rule.measure == "rate":
            return matched / (rule.window_us / 1e6)
        if rule.measure == "distinct":
            sketches = [pane[group].sketch for pane in self._panes if group in pane]
            held = [each for each in sketches if each is not None]
            return float(round(union(*held).get_estimate())) if held else 0.0
        return float(matched)

    def among(self, group: Group) -> int:
        """Return how many events of a group the window holds."""
        return self._totals.get(group, (0, 0))[1]

    def panes(self) -> list[Pane]:
        """Return the hops, oldest first."""
        return list(self._panes)
