"""Tries rules on archived events: the same code as the live run, fed from the archive in the order of offsets.

A partition of the archive is read exactly as the partition of Kafka was, so its cells are the same, and so are the
closed hops and the alerts. What only a live run can know is when a partition was found empty: an event that came into
Kafka so late that its hop had been closed by the clock counts here, and did not there (`closed`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from headrace.archiver.object_store import ObjectStore
from headrace.replay.columns import Columns, plan_schema
from headrace.replay.reader import Reading, open_reading
from headrace.replay.selection import Selection

from .durations import DAY_US, HOUR_US
from .evaluator import Evaluator
from .measuring import Event
from .partition_panes import PartitionPanes
from .rules import Change, FirstSeen, Rule
from .transition import Transition, WindowPoint

ENVELOPE = ("event_id", "occurred_at")
ROWS_AT_ONCE = 16_384
HISTORY_US = 7 * DAY_US
"""How much of the past a rule that compares with it is shown before the range that is asked about."""

OnWindows = Callable[[Sequence[Transition], Sequence[WindowPoint]], None]


@dataclass(slots=True)
class BacktestCounts:
    """What was read: records, and how many events each rule did not count, by reason. `snapshots` by topic."""

    records: int = 0
    uncounted: dict[str, Mapping[str, int]] = field(default_factory=dict)
    snapshots: dict[str, int] = field(default_factory=dict)


def history_us(rule: Rule) -> int:
    """Return how much of the past a rule needs before it can judge."""
    if isinstance(rule.condition, Change):
        return HISTORY_US if rule.condition.season == "day" else 4 * HISTORY_US
    return max(rule.learn_us, HISTORY_US) if isinstance(rule.condition, FirstSeen) else 0


def backtest(
    store: ObjectStore,
    rules: Sequence[Rule],
    from_us: int,
    to_us: int,
    on_windows: OnWindows,
    *,
    past_us: int | None = None,
    at: int | None = None,
    on_records: Callable[[int], None] = lambda _records: None,
) -> BacktestCounts:
    """Run rules over the windows that lie within [from_us, to_us) whole; hand over what they say, as hops close.

    `past_us`: how much before is shown to all rules (None: what each topic's rules need); `at`: a snapshot. Topics come
    one after the other; within one, hop after hop. Raises what reading the archive raises: TopicUnknown, RangeMissing,
    ArchiveDamaged, StoreError.
    """
    counts = BacktestCounts()
    for topic in sorted({rule.topic for rule in rules}):
        own = [rule for rule in rules if rule.topic == topic]
        before_us = max(history_us(rule) for rule in own) if past_us is None else past_us
        start_us = max(0, from_us - before_us)
        evaluators = [Evaluator(rule, origin_us=start_us, last_us=to_us) for rule in own]
        run = _TopicRun(store, topic, evaluators, (start_us, to_us), at)
        counts.snapshots[topic] = run.snapshot
        for records in run.steps():
            counts.records += records
            on_records(records)
            for evaluator in evaluators:
                closed = evaluator.close()
                told = [each for each in closed.transitions if each.window_end_us > from_us]
                points = [each for each in closed.points if each.start_us >= from_us]
                if told or points:
                    on_windows(told, points)
        counts.uncounted.update({each.rule.name: each.uncounted for each in evaluators})
    return counts


def learned(store: ObjectStore, rule: Rule, until_us: int, past_us: int | None = None) -> Evaluator:
    """Return an evaluator that has seen a rule's past up to a time: for its baselines and the values that it knows."""
    start_us = max(0, until_us - (history_us(rule) if past_us is None else past_us))
    evaluator = Evaluator(rule, origin_us=start_us, last_us=until_us)
    for _ in _TopicRun(store, rule.topic, [evaluator], (start_us, until_us), None).steps():
        evaluator.close()
    return evaluator


class _TopicRun:
    """Reads one topic for its rules; after each step hops may be closed."""

    def __init__(
        self,
        store: ObjectStore,
        topic: str,
        evaluators: Sequence[Evaluator],
        within_us: tuple[int, int],
        at: int | None,
    ) -> None:
        rules = [each.rule for each in evaluators]
        start_us, to_us = within_us
        self._evaluators = evaluators
        self._end_us = to_us + max(rule.grace_us for rule in rules)
        # Kafka refuses timestamps over an hour ahead: later records cannot belong to the range.
        lead_us = max(rule.window_us for rule in rules)
        since_ms, until_ms = max(0, start_us - lead_us) // 1000, (self._end_us + HOUR_US) // 1000
        plan = open_reading(store, topic, Selection(since_ms=since_ms, until_ms=until_ms), at=at).plan
        self.snapshot = plan.snapshot
        self._names = [*ENVELOPE, *sorted(frozenset().union(*(rule.fields for rule in rules)) - set(ENVELOPE))]
        held = plan_schema(store, plan)
        columns = Columns(pa.schema([held.field(name) for name in self._names if name in held.names]))
        self._reading = Reading(store, plan, columns=columns, allow_empty=True, digests=False)
        numbers = sorted({covered.identity.partition for covered in plan.ranges})
        self._partitions = len(numbers)
        self._panes = {number: PartitionPanes(rules, number, len(numbers)) for number in numbers}

    def steps(self) -> Iterator[int]:
        """Yield how many records each step read; the last one reads none, and ends the range."""
        for chunk in self._reading.chunks():
            panes = self._panes[chunk.partition]
            if chunk.table is None or panes.watermark_us >= self._end_us:
                continue  # whatever follows in this partition would be late for all windows of the range
            stamps = chunk.records.column("timestamp").to_pylist()
            for at in range(0, len(stamps), ROWS_AT_ONCE):
                events = rows(chunk.table.slice(at, ROWS_AT_ONCE))
                for event, stamp in zip(events, stamps[at : at + ROWS_AT_ONCE], strict=True):
                    panes.add(event, stamp * 1000 if stamp >= 0 else -1)
                self._hand_over(panes)
                yield min(ROWS_AT_ONCE, len(stamps) - at)
        for evaluator in self._evaluators:
            evaluator.idle(dict.fromkeys(self._panes, self._end_us), self._partitions)
        yield 0

    def _hand_over(self, panes: PartitionPanes) -> None:
        for evaluator, partial in zip(self._evaluators, panes.take(), strict=True):
            evaluator.merge(partial)
        panes.take_ids()


def rows(table: pa.Table) -> Iterator[Event]:
    """Yield a table's rows as events: times as microseconds, fixed as bytes, enums as text."""
    names = table.column_names
    columns = []
    for column in table.columns:
        plain = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        columns.append(plain.to_pylist())
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))
