"""The metrics that `headrace monitor run` serves: the list. docs/metrics.md has the same list for people."""

from headrace.archiver.metric import Metric, Values

from .alerts_event import finite
from .alerts_numbers import MonitorNumbers


def _values(numbers: MonitorNumbers) -> Values:
    shown = {(rule,): finite(each.value) for rule, each in numbers.newest().items()}
    return {labels: value for labels, value in shown.items() if value is not None}


def _bounds(numbers: MonitorNumbers) -> Values:
    found: dict[tuple[str, ...], float] = {}
    for rule, each in numbers.newest().items():
        for name, bound in zip(("low", "high"), each.expected or (), strict=False):
            if (value := finite(bound)) is not None:
                found[rule, name] = value
    return found


MONITOR_METRICS: tuple[Metric[MonitorNumbers], ...] = (
    Metric(
        "headrace_monitor_alerts",
        "counter",
        ("rule", "severity", "state"),
        "Alerts told by this process, by state: firing, still_firing, resolved",
        lambda n: n.count("told"),
    ),
    Metric(
        "headrace_monitor_firing",
        "gauge",
        ("rule", "severity"),
        "Alerts that fire now, whoever told of them, not long ago; 0 for a rule that told of one and has none",
        MonitorNumbers.firing_now,
    ),
    Metric(
        "headrace_monitor_silent",
        "counter",
        ("rule", "why"),
        "Alerts not told: repeat, it was; still, it goes on and that was told not long ago; "
        "unknown, it ended and was not known to fire; old, in the topic only",
        lambda n: n.count("silent"),
    ),
    Metric(
        "headrace_monitor_windows",
        "counter",
        ("rule",),
        "Windows that were evaluated, one for each group",
        lambda n: n.count("windows"),
    ),
    Metric(
        "headrace_monitor_value",
        "gauge",
        ("rule",),
        "Value of the rule's newest window; of several groups the largest",
        _values,
    ),
    Metric(
        "headrace_monitor_expected",
        "gauge",
        ("rule", "bound"),
        "Bounds of that window's baseline, low and high; absent for a rule without one",
        _bounds,
    ),
    Metric(
        "headrace_monitor_window_end_timestamp_seconds",
        "gauge",
        ("rule",),
        "End of that window, event time: how far the monitor is",
        lambda n: {(rule,): each.end_us / 1e6 for rule, each in n.newest().items()},
    ),
    Metric(
        "headrace_monitor_records",
        "counter",
        ("topic",),
        "Records read",
        lambda n: n.count("records"),
    ),
    Metric(
        "headrace_monitor_uncounted",
        "counter",
        ("rule", "why"),
        "Events that a rule did not count: late, duplicate, malformed, early, closed, groups",
        lambda n: n.count("uncounted"),
    ),
    Metric(
        "headrace_monitor_notifications",
        "counter",
        ("to", "outcome"),
        "Attempts to tell a server: sent, failed (made again), refused (given up); dropped without "
        "an attempt, for want of room",
        lambda n: n.count("notified"),
    ),
    Metric(
        "headrace_monitor_notifications_waiting",
        "gauge",
        ("to",),
        "Alerts that a server has still to be told",
        lambda n: {(to,): count for to, (_, count) in n.servers().items()},
    ),
    Metric(
        "headrace_monitor_notify_up",
        "gauge",
        ("to",),
        "0 while the last attempt to tell a server failed, 1 otherwise",
        lambda n: {(to,): float(up) for to, (up, _) in n.servers().items()},
    ),
    Metric(
        "headrace_monitor_points_lost",
        "counter",
        (),
        "Times that the charts' points could not be written",
        lambda n: {(): n.lost()},
    ),
)
