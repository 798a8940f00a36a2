"""The list of metrics: each one's name, labels, meaning, and what of the readings it is. Every exporter goes by it.

docs/producer-metrics.md has the same list for people; a test compares the two.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from .readings import Readings

PREFIX = "headrace_producer_"
Values = Mapping[tuple[str, ...], float]


@dataclass(frozen=True)
class Metric:
    """One metric. `across`: how its values of several processes of a host become one."""

    name: str
    kind: Literal["counter", "gauge"]
    labels: tuple[str, ...]
    across: Literal["sum", "max", "min"]
    text: str
    values: Callable[[Readings], Values]
    """By label values, in the order of `labels`; nothing where there is nothing to say."""
    at_rest: float = 0.0
    """What a gauge is set to when its process ends, where values outlive processes."""


def _one(value: float | None) -> Values:
    return {} if value is None else {(): float(value)}


def _by(counts: Mapping[str, float]) -> Values:
    return {(name,): float(value) for name, value in counts.items()}


METRICS = (
    Metric("accepted", "counter", (), "sum", "Events that emit() accepted.", lambda r: _one(r.counts.accepted)),
    Metric("acked", "counter", (), "sum", "Own events that Kafka acknowledged.", lambda r: _one(r.counts.acked)),
    Metric(
        "dropped",
        "counter",
        ("reason",),
        "sum",
        "Events that emit() refused, or that were lost after it accepted them, by reason.",
        lambda r: _by(r.counts.dropped),
    ),
    Metric(
        "adopted",
        "counter",
        (),
        "sum",
        "Events of dead processes that were delivered.",
        lambda r: _one(r.counts.adopted),
    ),
    Metric(
        "adopted_lost",
        "counter",
        ("reason",),
        "sum",
        "Events of dead processes that were lost, by reason.",
        lambda r: _by(r.counts.adopted_lost),
    ),
    Metric(
        "restarts",
        "counter",
        (),
        "sum",
        "How often delivery failed and began again with a new Kafka producer.",
        lambda r: _one(r.counts.restarts),
    ),
    Metric("queued", "gauge", (), "sum", "Events that are not acknowledged yet.", lambda r: _one(r.counts.queued)),
    Metric("queued_bytes", "gauge", (), "sum", "Bytes of the events that wait.", lambda r: _one(r.queued_bytes)),
    Metric(
        "oldest_waiting_seconds",
        "gauge",
        (),
        "max",
        "How long the oldest event that waits has waited; 0 when none waits.",
        lambda r: _one(r.oldest_waiting_s),
    ),
    Metric(
        "durability",
        "gauge",
        ("durability",),
        "sum",
        "Processes by where their events wait: disk, or memory.",
        lambda r: {(r.counts.durability,): 1.0},
    ),
    Metric(
        "spool_bytes",
        "gauge",
        (),
        "max",
        "Bytes of the whole spool folder, of all processes of the host.",
        lambda r: _one(r.spool_bytes),
    ),
    Metric("spool_bytes_max", "gauge", (), "max", "What the spool folder may take.", lambda r: _one(r.spool_bytes_max)),
    Metric(
        "seconds_until_drop",
        "gauge",
        ("class",),
        "min",
        "Seconds until events of a class are refused or expire, at the present growth; +Inf while nothing grows.",
        lambda r: _by(r.seconds_until_drop),
        at_rest=float("inf"),
    ),
)
