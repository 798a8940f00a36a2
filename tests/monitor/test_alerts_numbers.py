"""The metrics: what was told, what fires, how far the monitor is; no NaN, whatever a rule's value is."""

import pytest
from alert_kit import MINUTE_US, START_US, transition
from scraping import samples_of

from headrace.archiver.metric_collector import exposed
from headrace.monitor.alerts_event import Told
from headrace.monitor.alerts_metrics import MONITOR_METRICS
from headrace.monitor.alerts_numbers import MonitorNumbers
from headrace.monitor.transition import WindowPoint


def point(minute: int, value: float, *, group: str = "a", expected: tuple[float, float] | None = None) -> WindowPoint:
    end_us = START_US + minute * MINUTE_US
    return WindowPoint("r", {"g": group}, end_us - MINUTE_US, end_us, value, expected, firing=False)


def scraped(numbers: MonitorNumbers) -> dict[str, dict[tuple[str, ...], float]]:
    return samples_of(exposed(MONITOR_METRICS, lambda: numbers)().decode())


def test_what_was_told_and_what_fires() -> None:
    """A counter by state; a gauge that rises with others' alerts too, and is 0, not absent, when they are over."""
    numbers = MonitorNumbers()
    mine, others = (Told.of(transition(labels={"n": each}), START_US) for each in "ab")
    numbers.told([mine])
    numbers.observed([mine, others])
    found = scraped(numbers)
    assert found["headrace_monitor_alerts_total"] == {("failed-logins", "critical", "firing"): 1}
    assert found["headrace_monitor_firing"] == {("failed-logins", "critical"): 2}
    numbers.observed([each.as_state("resolved") for each in (mine, others)])
    assert scraped(numbers)["headrace_monitor_firing"] == {("failed-logins", "critical"): 0}


def test_a_rule_that_was_removed_does_not_fire_for_ever() -> None:
    """Nobody will tell of its end: after some time without a word it is taken to be over."""
    since_us = 0
    numbers = MonitorNumbers(lambda: since_us)
    numbers.told([Told.of(transition(), START_US)])
    assert numbers.firing_now() == {("failed-logins", "critical"): 1}
    since_us = transition().at_us + 1
    assert numbers.firing_now() == {("failed-logins", "critical"): 0}


def test_how_far_it_is() -> None:
    """The newest window of a rule; of its groups the largest value, with that group's band."""
    numbers = MonitorNumbers()
    numbers.points([point(0, 99.0), point(1, 3.0, expected=(1.0, 4.0)), point(1, 2.0, group="b")])
    numbers.points([point(0, 50.0, group="c")])
    found = scraped(numbers)
    assert found["headrace_monitor_windows_total"] == {("r",): 4}
    assert found["headrace_monitor_value"] == {("r",): 3.0}
    assert found["headrace_monitor_expected"] == {("low", "r"): 1.0, ("high", "r"): 4.0}
    assert found["headrace_monitor_window_end_timestamp_seconds"] == {("r",): (START_US + MINUTE_US) / 1e6}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_none_has_no_sample(value: float) -> None:
    """NaN would make every sum in an alert's expression NaN."""
    numbers = MonitorNumbers()
    numbers.points([point(0, value, expected=(value, 2.0))])
    found = scraped(numbers)
    assert "headrace_monitor_value" not in found
    assert found["headrace_monitor_expected"] == {("high", "r"): 2.0}


def test_what_did_not_count() -> None:
    """The evaluator's totals as they are; records add up."""
    numbers = MonitorNumbers()
    for total in (3, 5):
        numbers.records("login", 100)
        numbers.uncounted("r", {"late": total, "malformed": 1})
    found = scraped(numbers)
    assert found["headrace_monitor_records_total"] == {("login",): 200}
    assert found["headrace_monitor_uncounted_total"] == {("r", "late"): 5, ("r", "malformed"): 1}
