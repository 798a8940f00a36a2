"""Decides for one rule: adds up what all partitions bring, closes hops as the watermarks pass, and follows its alerts.

No clock: a hop closes when every partition of the topic has been read past its end and the grace, or was found empty up
to then (`idle`). Hops close one after the other, groups are looked at in order, so the answer does not depend on how
partials were cut or in which order partitions brought them.
"""

from collections.abc import Mapping
from typing import NamedTuple

from .alert_state import AlertState
from .baseline import Baseline
from .first_seen import SeenValues
from .measuring import Cell
from .messages import message
from .partial import UNCOUNTED, Partial
from .rules import Change, Drop, FirstSeen, Group, Rule, Threshold
from .transition import State, Transition, WindowPoint
from .window_sums import WindowSums

POINT_GROUPS_MAX = 20
"""Groups of one window that become points of a chart: the largest, and all that fire."""


class Closed(NamedTuple):
    """What came of hops that closed."""

    transitions: list[Transition]
    points: list[WindowPoint]


class Evaluator:
    """One rule. `origin_us`: windows that start before it are not judged (None: the first hop that holds events).

    `last_us`: windows that end after it are not judged. `from_now`: begin with the first hop after what had been read
    when all partitions were known: the hop in which a monitor is started is not whole.
    """

    def __init__(
        self, rule: Rule, *, origin_us: int | None = None, last_us: int | None = None, from_now: bool = False
    ) -> None:
        self.rule = rule
        self.origin_us = origin_us
        self._last_us = last_us
        self._from_now = from_now
        self.learned_us = 0
        self.watermarks: dict[int, int] = {}
        self.partitions = 0
        self.next_us: int | None = None
        self.open: dict[int, dict[Group, Cell]] = {}
        self.sums = WindowSums(rule.hops)
        before_us = rule.condition.before_us if isinstance(rule.condition, Drop) else 0
        self.before = WindowSums(before_us // rule.hop_us) if before_us else None
        self.alerts: dict[Group, AlertState] = {}
        self.baselines: dict[Group, Baseline] = {}
        self.seen = SeenValues(rule.groups_max)
        self.uncounted = dict.fromkeys((*UNCOUNTED, "closed", "groups"), 0)
        self.changed_panes: set[int] = set()
        self.changed_slots: set[tuple[Group, int]] = set()

    def merge(self, partial: Partial) -> None:
        """Take what a partition brought. Cells of hops that were closed without them count as late (`closed`)."""
        self.partitions = partial.partitions
        for (start_us, group), cell in partial.cells.items():
            if self.next_us is not None and start_us < self.next_us:
                self.uncounted["closed"] += cell.among
                continue
            self._add(start_us, group, cell)
        for reason, count in partial.uncounted.items():
            self.uncounted[reason] += count
        self._passed(partial.partition, partial.watermark_us)

    def _add(self, start_us: int, group: Group, cell: Cell) -> None:
        pane = self.open.setdefault(start_us, {})
        held = pane.get(group)
        if held is not None:
            held.add(cell)
        elif len(pane) < self.rule.groups_max:
            pane[group] = cell
        else:
            self.uncounted["groups"] += cell.among
            return
        self.changed_panes.add(start_us)

    def know(self, other: "Evaluator") -> None:
        """Take over what another evaluator of this rule has learned: baselines, and values that were seen."""
        self.baselines = other.baselines
        self.changed_slots = {(group, slot) for group, each in other.baselines.items() for slot in each.slots()}
        self.seen = other.seen
        self.seen.changed = set(other.seen.groups())
        self.learned_us = self.rule.learn_us

    def idle(self, watermarks: Mapping[int, int], partitions: int) -> None:
        """Take that some partitions hold nothing unread up to a time: partition -> microseconds."""
        self.partitions = partitions
        for partition, watermark_us in watermarks.items():
            self._passed(partition, watermark_us)

    def _passed(self, partition: int, watermark_us: int) -> None:
        if watermark_us > self.watermarks.get(partition, -1):
            self.watermarks[partition] = watermark_us

    @property
    def watermark_us(self) -> int:
        """The time up to which all partitions were read; -1 while one is unknown."""
        if not self.partitions or len(self.watermarks) < self.partitions:
            return -1
        return min(self.watermarks.values())

    def close(self) -> Closed:
        """Close all hops that the watermarks have passed, and return what the rule says."""
        closed = Closed([], [])
        watermark_us = self.watermark_us
        rule = self.rule
        if self.next_us is None and not self._begin(watermark_us):
            return closed
        while self.next_us is not None and self.next_us + rule.hop_us + rule.grace_us <= watermark_us:
            if self._last_us is not None and self.next_us + rule.hop_us > self._last_us:
                break
            self._close_one(self.next_us, closed)
        return closed

    def _begin(self, watermark_us: int) -> bool:
        """Find the first hop, once all partitions are known."""
        if watermark_us < 0:
            return False
        hop_us = self.rule.hop_us
        if self._from_now and self.origin_us is None:
            self.origin_us = max(self.watermarks.values())
        if self.origin_us is not None:
            self.next_us = -(-self.origin_us // hop_us) * hop_us
            for start_us in [each for each in self.open if each < self.next_us]:
                del self.open[start_us]
                self.changed_panes.add(start_us)
            return True
        first_us = min(self.open, default=None)
        if first_us is None or first_us + hop_us + self.rule.grace_us > watermark_us:
            return False
        self.next_us = self.origin_us = first_us
        return True

    def _close_one(self, start_us: int, closed: Closed) -> None:
        rule = self.rule
        pane = self.open.pop(start_us, {})
        end_us = start_us + rule.hop_us
        self.next_us = end_us
        gone = self.sums.push(pane)
        if self.before is not None and gone is not None:
            self.before.push(gone)
        quiet = end_us - (self.origin_us or 0) < rule.learn_us - self.learned_us
        if isinstance(rule.condition, FirstSeen):
            self.seen.appeared(pane, end_us, rule.condition, known=quiet)
        if end_us - rule.window_us < (self.origin_us or 0):
            return
        points = []
        for group in sorted(self._groups(pane)):
            value = self.sums.value(rule, group)
            expected = self._expected(group, end_us, value)
            breach = not quiet and value is not None and self._breach(group, value, expected, end_us)
            alert = self.alerts.get(group) or AlertState()
            state = alert.step(rule, end_us, breach=breach)
            if alert.idle:
                self.alerts.pop(group, None)
            else:
                self.alerts[group] = alert
            if state is not None:
                closed.transitions.append(self._transition(state, group, value or 0.0, expected, end_us))
            if value is not None:
                start = end_us - rule.window_us
                points.append(
                    WindowPoint(rule.name, rule.labels(group), start, end_us, value, expected, firing=alert.firing)
                )
        closed.points.extend(_shown(points))

    def _groups(self, pane: Mapping[Group, Cell]) -> set[Group]:
        """Return the groups that a window has to be looked at for."""
        if not self.rule.group_by:
            return {()}
        if isinstance(self.rule.condition, FirstSeen):
            return {group for group in pane if self.seen.is_new(group)} | set(self.alerts)
        return set(self.sums.groups()) | set(self.alerts) | set(self.before.groups() if self.before else ())

    def _expected(self, group: Group, end_us: int, value: float | None) -> tuple[float, float] | None:
        condition = self.rule.condition
        if not isinstance(condition, Change) or value is None:
            return None
        baseline = self.baselines.get(group)
        if baseline is None:
            if len(self.baselines) >= self.rule.groups_max:
                return None
            rule = self.rule
            baseline = self.baselines[group] = Baseline(condition, rule.measure, rule.window_us, rule.hop_us)
        expected = baseline.expected(end_us)
        slot = baseline.add(end_us, value)
        if slot is not None:
            self.changed_slots.add((group, slot))
        return expected

    def _breach(self, group: Group, value: float, expected: tuple[float, float] | None, end_us: int) -> bool:
        condition = self.rule.condition
        if isinstance(condition, Drop):
            return self.sums.among(group) == 0 and (self._firing(group) or self._was_busy(group, condition))
        if isinstance(condition, FirstSeen):
            return self.seen.holds(group, end_us, condition)
        if self.sums.among(group) < self.rule.at_least and not _is_fall(condition):
            return False
        if isinstance(condition, Threshold):
            above = condition.above is not None and value > condition.above
            return above or (condition.below is not None and value < condition.below)
        if expected is None:
            return False
        rises = condition.direction != "down" and value > expected[1]
        return rises or (condition.direction != "up" and value < expected[0])

    def _firing(self, group: Group) -> bool:
        return group in self.alerts and self.alerts[group].firing

    def _was_busy(self, group: Group, condition: Drop) -> bool:
        """Say whether windows before this one held enough: only once all of that time was watched."""
        if self.before is None or len(self.before.panes()) < condition.before_us // self.rule.hop_us:
            return False
        matched = self.before.groups().get(group, (0, 0))[0]
        return matched * self.rule.window_us >= condition.from_at_least * condition.before_us

    def _transition(
        self, state: State, group: Group, value: float, expected: tuple[float, float] | None, end_us: int
    ) -> Transition:
        rule = self.rule
        labels = rule.labels(group)
        text = message(rule, labels, value, expected)
        start_us = end_us - rule.window_us
        at_us = end_us + rule.grace_us
        return Transition(
            rule.name, state, labels, value, rule.severity, text, rule.runbook, start_us, end_us, at_us, expected
        )


def _is_fall(condition: object) -> bool:
    """Say whether few events are what the condition is about."""
    return isinstance(condition, Threshold) and condition.below is not None and condition.above is None


def _shown(points: list[WindowPoint]) -> list[WindowPoint]:
    """Return those points that a chart can hold, in their order."""
    if len(points) <= POINT_GROUPS_MAX:
        return points
    largest = set(sorted(range(len(points)), key=lambda n: -points[n].value)[:POINT_GROUPS_MAX])
    return [point for n, point in enumerate(points) if n in largest or point.firing]
