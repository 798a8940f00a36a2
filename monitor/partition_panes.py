"""Reads one partition for all rules of its topic: adds each event to its hop's cell, unless it is late or a repeat.

What is late is decided by the partition alone: its watermark is the highest timestamp of its records so far, in the
order of their offsets. So the same records give the same cells, live or out of the archive, however partitions are read
beside each other.
"""

from collections.abc import Callable, Sequence

from .durations import HOUR_US
from .measuring import Cell, CellKey, Event, group_of, matcher, new_sketch
from .partial import UNCOUNTED, Partial
from .rules import Group, Rule
from .seen_ids import SeenIds, packed

AHEAD_US_MAX = HOUR_US
"""An event that says it happened longer after the watermark than this is not counted (`early`): memory has a bound."""
ID_BYTES = 16


class _RulePanes:
    """One rule's cells since the last take()."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.hop_us = rule.hop_us
        self.late_us = rule.hop_us + rule.grace_us
        self.cells: dict[CellKey, Cell] = {}
        self.late = 0
        self._group: Callable[[Event], Group] = group_of(rule)
        self._matches = matcher(rule.where)
        self._among = matcher(rule.among)
        self._ratio = rule.measure == "ratio"
        self._field = rule.field if rule.measure == "distinct" else None

    def add(self, event: Event, start_us: int) -> None:
        """Add an event to the cell of the hop that starts there."""
        matched = self._matches is None or self._matches(event)
        if self._ratio:
            if self._among is not None and not self._among(event):
                return
        elif not matched:
            return
        key = CellKey(start_us, self._group(event))
        cell = self.cells.get(key)
        if cell is None:
            cell = self.cells[key] = Cell()
        cell.among += 1
        if matched:
            cell.matched += 1
        if self._field is not None and (value := event.get(self._field)) is not None:
            if cell.sketch is None:
                cell.sketch = new_sketch()
            cell.sketch.update(value if isinstance(value, str) else str(value))


class PartitionPanes:
    """The cells of one partition for some rules of one topic. `watermark_us`: -1 before the first record."""

    def __init__(self, rules: Sequence[Rule], partition: int, partitions: int, *, ids_max: int = 2_000_000) -> None:
        if not rules:
            raise ValueError("a partition is read for rules, and there is none")
        self._panes = [_RulePanes(rule) for rule in rules]
        self._partition = partition
        self._partitions = partitions
        keep_us = max(pane.late_us for pane in self._panes)
        self.ids_keep_us = 2 * keep_us
        """An id of an event older than this before the watermark need not be known: a repeat would be late."""
        self._seen = SeenIds(keep_us, ids_max=ids_max)
        self._new_ids: list[bytes] = []
        self._uncounted = dict.fromkeys(UNCOUNTED, 0)
        self.watermark_us = -1

    def add(self, event: Event, timestamp_us: int) -> None:
        """Take one record in the order of offsets: its decoded fields, and Kafka's timestamp (-1: it has none).

        `occurred_at` is in microseconds, `event_id` bytes; without them the record counts as malformed.
        """
        occurred_us = event.get("occurred_at")
        event_id = event.get("event_id")
        if type(occurred_us) is not int or type(event_id) is not bytes or len(event_id) != ID_BYTES:
            self.malformed()
            return
        watermark_us = self._watermark(timestamp_us if timestamp_us >= 0 else occurred_us)
        if occurred_us > watermark_us + AHEAD_US_MAX:
            self._uncounted["early"] += 1
            return
        due = []
        for pane in self._panes:
            start_us = occurred_us - occurred_us % pane.hop_us
            if start_us + pane.late_us <= watermark_us:
                pane.late += 1
            else:
                due.append((pane, start_us))
        if not due:
            return
        if not self._seen.add(event_id, occurred_us):
            self._uncounted["duplicate"] += 1
            for pane in self._panes:  # a repeat is only a repeat, also for those rules for which it is late as well
                pane.late -= all(pane is not each for each, _ in due)
            return
        self._new_ids.append(packed(event_id, occurred_us))
        for pane, start_us in due:
            pane.add(event, start_us)

    def malformed(self) -> None:
        """Take a record that is no event: it counts nowhere, and moves no watermark."""
        self._uncounted["malformed"] += 1

    def _watermark(self, timestamp_us: int) -> int:
        if timestamp_us > self.watermark_us:
            self.watermark_us = timestamp_us
            self._seen.expire(timestamp_us)
        return self.watermark_us

    def take(self) -> list[Partial]:
        """Return what was added since the last time, a partial for each rule."""
        partials = [
            Partial(
                pane.rule.name,
                pane.rule.definition,
                self._partition,
                self._partitions,
                self.watermark_us,
                pane.cells,
                self._uncounted | {"late": pane.late},
            )
            for pane in self._panes
        ]
        for pane in self._panes:
            pane.cells = {}
            pane.late = 0
        self._uncounted = dict.fromkeys(UNCOUNTED, 0)
        return partials

    def take_ids(self) -> list[bytes]:
        """Return the packed ids that were noted since the last time: what a restart needs besides the watermark."""
        ids, self._new_ids = self._new_ids, []
        return ids

    def restore(self, watermark_us: int, ids: Sequence[tuple[bytes, int]]) -> None:
        """Go on from a watermark and the ids that were noted before it."""
        self.watermark_us = watermark_us
        for event_id, occurred_us in ids:
            self._seen.add(event_id, occurred_us)
        self._seen.expire(watermark_us)

    @property
    def ids_kept(self) -> int:
        """How many ids are in memory."""
        return len(self._seen)
