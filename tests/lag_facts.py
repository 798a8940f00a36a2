"""Facts of one partition for the pure tests of lag, loss and rules: all is well unless said otherwise."""

from typing import Any

from headrace.archiver.kafka_admin import LogEnds
from headrace.archiver.oncall.facts import Facts
from headrace.archiver.oncall.lag import PartitionLag, evaluate
from headrace.archiver.source import TopicPartition

NOW_MS = 1_800_000_000_000


def facts(**known: Any) -> Facts:
    given: dict[str, Any] = {"where": TopicPartition("t", 0), "ends": LogEnds(0, 10, 10), "durable": 10, **known}
    return Facts(**{"committed": given["durable"], **given})


def judged(**known: Any) -> PartitionLag:
    return evaluate(facts(**known), NOW_MS)


class FixedClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.s = 1000.0

    def now(self) -> str:
        return "2026-11-23T00:00:00.000000Z"

    def monotonic(self) -> float:
        return self.s

    def pause(self, seconds: float) -> None:
        self.s += seconds
