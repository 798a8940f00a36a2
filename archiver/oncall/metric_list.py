"""The metrics of `headrace exporter`: what the lag verb knows, one metric a fact. docs/metrics.md has the same list."""

import math
from collections.abc import Callable, Iterator

from ..metric import Metric, Values
from .lag import PartitionLag
from .status import Status

_WHERE = ("topic", "partition")
_CATCH_UP = {"done": 0.0, "never": math.inf}


def _each(value: Callable[[PartitionLag], float | None]) -> Callable[[Status], Values]:
    def values(status: Status) -> Values:
        found: dict[tuple[str, ...], float] = {}
        for lag in status.lags:
            number = value(lag)
            if number is not None:
                found[lag.facts.where.topic, str(lag.facts.where.partition)] = number
        return found

    return values


def _one(value: Callable[[Status], float]) -> Callable[[Status], Values]:
    return lambda status: {(): value(status)}


def _to_loss(lag: PartitionLag) -> float | None:
    return (
        {"nothing": math.inf, "compaction": math.inf}.get(lag.loss.by) if lag.loss.seconds is None else lag.loss.seconds
    )


def _catch_up(lag: PartitionLag) -> float | None:
    return lag.catch_up.seconds if lag.catch_up.when == "in" else _CATCH_UP.get(lag.catch_up.when)


def _offsets(status: Status) -> Values:
    return {
        (lag.facts.where.topic, str(lag.facts.where.partition), position): offset
        for lag in status.lags
        for position, offset in _positions(lag)
        if offset is not None
    }


def _positions(lag: PartitionLag) -> Iterator[tuple[str, int | None]]:
    facts = lag.facts
    yield from (("durable", facts.durable), ("committed", facts.committed))
    yield "taken", None if facts.heartbeat is None else facts.heartbeat.taken
    if facts.ends is not None:
        yield from (("start", facts.ends.log_start), ("end", facts.ends.last_stable))
        yield "high_watermark", facts.ends.high_watermark


def _states(status: Status) -> Values:
    return {(each.facts.where.topic, str(each.facts.where.partition), each.state): 1.0 for each in status.lags}


def _findings(status: Status) -> Values:
    found: dict[tuple[str, ...], float] = {}
    for each in status.findings:
        found[each.rule, each.severity, each.topic, "" if each.partition is None else str(each.partition)] = 1.0
    return found


LAG_METRICS: tuple[Metric[Status], ...] = (
    Metric(
        "headrace_verdict",
        "gauge",
        ("verdict",),
        "1 for what --check says: ok, warning, critical, cannot-tell.",
        lambda s: {(s.verdict,): 1.0},
    ),
    Metric(
        "headrace_finding",
        "gauge",
        ("rule", "severity", "topic", "partition"),
        "1 for each finding; the runbook has a page a rule.",
        _findings,
    ),
    Metric(
        "headrace_source_up",
        "gauge",
        ("source",),
        "1 while kafka, or s3, answers.",
        lambda s: {("kafka",): float(not s.gathered.kafka_problem), ("s3",): float(not s.gathered.store_problem)},
    ),
    Metric(
        "headrace_unanswered_questions",
        "gauge",
        (),
        "Single questions that were not answered.",
        _one(lambda s: len(s.gathered.unanswered)),
    ),
    Metric("headrace_look_timestamp_seconds", "gauge", (), "When all this was so.", _one(lambda s: s.at_ms / 1000)),
    Metric("headrace_look_seconds", "gauge", (), "How long it took to ask.", _one(lambda s: s.took_s)),
    Metric(
        "headrace_partition_state", "gauge", (*_WHERE, "state"), "1 for the state that the partition is in.", _states
    ),
    Metric(
        "headrace_partition_records_behind",
        "gauge",
        _WHERE,
        "Records that are not durable in S3 yet, in offsets; absent when not known.",
        _each(lambda p: p.records_behind),
    ),
    Metric(
        "headrace_partition_seconds_behind",
        "gauge",
        _WHERE,
        "Age of the first of them, 0 when there is none; absent when not known.",
        _each(lambda p: p.seconds_behind),
    ),
    Metric(
        "headrace_partition_seconds_to_loss",
        "gauge",
        _WHERE,
        "When Kafka may delete the first of them; +Inf for never, absent when not known.",
        _each(_to_loss),
    ),
    Metric(
        "headrace_partition_catch_up_seconds",
        "gauge",
        _WHERE,
        "When the archive has caught up; 0 when it has, +Inf for never at this speed, absent when not known.",
        _each(_catch_up),
    ),
    Metric(
        "headrace_partition_lost_records",
        "gauge",
        _WHERE,
        "Offsets that Kafka deleted before they were archived, not yet on record as a gap.",
        _each(lambda p: p.lost),
    ),
    Metric(
        "headrace_partition_offset",
        "gauge",
        (*_WHERE, "position"),
        "Offsets: start, durable, taken, committed, end, high_watermark.",
        _offsets,
    ),
    Metric(
        "headrace_partition_heartbeat_age_seconds",
        "gauge",
        _WHERE,
        "How old the last word of the worker is; absent without one.",
        _each(lambda p: p.beat_age_s),
    ),
    Metric(
        "headrace_partition_transaction_seconds",
        "gauge",
        _WHERE,
        "How long a transaction has been open that holds records back; absent without one.",
        _each(lambda p: p.held_back_s),
    ),
    Metric(
        "headrace_partition_hour_rows",
        "gauge",
        _WHERE,
        "Records archived in the last hour and decoded.",
        _each(lambda p: p.facts.rows),
    ),
    Metric(
        "headrace_partition_hour_quarantined",
        "gauge",
        _WHERE,
        "Records archived in the last hour that could not be decoded.",
        _each(lambda p: p.facts.quarantined),
    ),
)
