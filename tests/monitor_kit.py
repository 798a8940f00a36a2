"""Rules and events as tests of the monitor write them down, and one way to feed them."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace.monitor.evaluator import Evaluator
from headrace.monitor.partial import Partial
from headrace.monitor.partition_panes import PartitionPanes
from headrace.monitor.rules import Rule
from headrace.monitor.rules_file import read_rule
from headrace.monitor.transition import Transition, WindowPoint
from headrace.schemas.catalog import builtin

S = 1_000_000
DAY = 86_400 * S
T0 = 1_795_392_000 * S  # 2026-11-23T00:00:00Z


def rule(name: str = "r", **keys: Any) -> Rule:
    """The rule that these keys say in a file; `for_` and `clear_for` as there."""
    table = {key.rstrip("_"): value for key, value in keys.items()}
    made, wrong = read_rule(name, {"type": "login"} | table, builtin())
    if made is None:
        raise ValueError(str(wrong))
    return made


def an_id(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()[:16]


def event(at_us: int, number: object = 0, **fields: Any) -> dict[str, Any]:
    return {"event_id": an_id(at_us, number), "occurred_at": at_us, **fields}


@dataclass
class Watched:
    """One rule fed by some partitions, and all that it said. Partials travel as bytes, as in a live run."""

    rule: Rule
    partitions: int = 1
    origin_us: int | None = None
    transitions: list[Transition] = field(default_factory=list)
    points: list[WindowPoint] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.panes = [PartitionPanes([self.rule], number, self.partitions) for number in range(self.partitions)]
        self.evaluator = Evaluator(self.rule, origin_us=self.origin_us)

    def feed(self, events: Iterable[dict[str, Any]], partition: int = 0) -> None:
        for each in events:
            self.panes[partition].add(each, each["occurred_at"])

    def take(self) -> None:
        for panes in self.panes:
            for partial in panes.take():
                self.merge(partial)

    def merge(self, partial: Partial) -> None:
        for body in partial.messages():
            self.evaluator.merge(Partial.of(body))
        self.close()

    def close(self) -> None:
        closed = self.evaluator.close()
        self.transitions += closed.transitions
        self.points += closed.points

    def until(self, time_us: int) -> None:
        """Everything was read up to a time."""
        self.take()
        self.evaluator.idle(dict.fromkeys(range(self.partitions), time_us), self.partitions)
        self.close()

    def values(self) -> list[float]:
        return [point.value for point in self.points]

    def told(self) -> list[tuple[str, int]]:
        """Each change of state, and the seconds after T0 at which its window ended."""
        return [(each.state, (each.window_end_us - T0) // S) for each in self.transitions]


def every(step_s: float, start_s: float, end_s: float, **fields: Any) -> Sequence[dict[str, Any]]:
    """Events at even distances, in seconds after T0."""
    count = round((end_s - start_s) / step_s)
    return [event(T0 + round((start_s + n * step_s) * S), ("every", n), **fields) for n in range(count)]
