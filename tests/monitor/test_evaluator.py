"""When alerts begin, go on and end: each measure, each condition, by event time alone."""

import pytest
from monitor_kit import DAY, T0, S, Watched, event, every, rule


def test_tumbling_windows_count_each_event_once() -> None:
    """Windows follow each other without overlap or hole, empty ones too."""
    watched = Watched(rule(window="10s", above=100))
    watched.feed([*every(1, 0, 10), *every(0.5, 20, 30)])
    watched.until(T0 + 45 * S)
    assert watched.values() == [10, 0, 20, 0]


def test_hopping_windows_slide_by_their_hop() -> None:
    """A window of 20 s that hops by 5 s holds what the last four hops brought."""
    watched = Watched(rule(window="20s", hop="5s", above=100))
    watched.feed(every(1, 0, 20))
    watched.until(T0 + 50 * S)
    assert watched.values() == [20, 15, 10, 5, 0, 0]


def test_an_open_window_is_not_judged() -> None:
    """Nothing is said before the watermark has passed the window's end and the grace."""
    watched = Watched(rule(window="10s", grace="5s", above=1))
    watched.feed(every(1, 0, 15))
    watched.take()
    assert watched.told() == []
    watched.until(T0 + 15 * S)
    assert watched.told() == [("firing", 10)]
    assert watched.transitions[0].at_us == T0 + 15 * S


def test_a_partition_that_lags_holds_the_window_open() -> None:
    """The slowest partition decides, also one that has said nothing yet."""
    watched = Watched(rule(window="10s", grace="0s", above=1e9), partitions=2)
    watched.feed(every(1, 0, 60))
    watched.take()
    assert watched.points == []
    watched.feed(every(1, 0, 21), partition=1)
    watched.take()
    assert watched.values() == [20, 20]


def test_cells_that_come_after_the_window_was_closed_are_told() -> None:
    """What the clock closed stays as it was said; the events are counted as `closed`."""
    watched = Watched(rule(window="10s", above=100))
    watched.feed(every(1, 0, 10))
    watched.until(T0 + 60 * S)
    watched.feed(every(1, 10, 20))
    watched.take()
    assert watched.evaluator.uncounted["closed"] == 10
    assert watched.values() == [10, 0, 0, 0, 0]


def test_for_and_clear_for_and_repeat() -> None:
    """Fires when it has held for `for`, is told again every `repeat`, resolves when it was over for `clear_for`."""
    watched = Watched(rule(window="10s", above=5, for_="20s", clear_for="20s", repeat="30s"))
    watched.feed([*every(1, 0, 100), *every(1, 110, 120)])
    watched.until(T0 + 200 * S)
    expected = [("firing", 30), ("still_firing", 60), ("still_firing", 90), ("still_firing", 120), ("resolved", 150)]
    assert watched.told() == expected


def test_a_breach_shorter_than_for_says_nothing() -> None:
    """One window is not 20 s; the next breach begins anew."""
    watched = Watched(rule(window="10s", above=5, for_="20s"))
    watched.feed([*every(1, 0, 10), *every(1, 30, 40), *every(5, 50, 60)])
    watched.until(T0 + 100 * S)
    assert watched.told() == []


def test_a_ratio_counts_among_those_named_and_needs_enough() -> None:
    """Failed among password log-ins; few events are no ratio, and no alert."""
    checked = rule(
        window="10s", measure="ratio", where={"success": False}, among={"method": "PASSWORD"}, above=0.5, at_least=10
    )
    watched = Watched(checked)
    watched.feed(every(2, 0, 10, success=False, method="PASSWORD"))
    watched.feed(every(1, 10, 20, success=True, method="PASSWORD"))
    watched.feed(every(1, 20, 30, success=False, method="PASSWORD"))
    watched.feed(every(0.1, 30, 40, success=False, method="SSO"))
    watched.until(T0 + 60 * S)
    assert watched.values() == [1.0, 0.0, 1.0]
    assert watched.told() == [("firing", 30), ("resolved", 40)]


def test_a_rate_is_per_second() -> None:
    """200 events in 10 s are 20 a second; the message has the value."""
    watched = Watched(rule(window="10s", measure="rate", above=19, message="{value} a second, {window}"))
    watched.feed(every(0.05, 0, 10))
    watched.until(T0 + 20 * S)
    assert [each.message for each in watched.transitions[:1]] == ["20 a second, 10s"]


def test_groups_are_alerts_of_their_own() -> None:
    """Labels, values and states are a group's; one may fire while another does not."""
    watched = Watched(rule(window="10s", group_by=["method"], above=5, message="{method}: {value}"))
    watched.feed([*every(1, 0, 10, method="SSO"), *every(5, 0, 10, method="TOKEN")])
    watched.until(T0 + 30 * S)
    told = [(each.state, dict(each.labels), each.message) for each in watched.transitions]
    assert told == [("firing", {"method": "SSO"}, "SSO: 10"), ("resolved", {"method": "SSO"}, "SSO: 0")]


def test_below_is_seen_in_empty_windows() -> None:
    """Nothing at all is below."""
    watched = Watched(rule(window="10s", below=1, at_least=5))
    watched.feed(every(1, 0, 10))
    watched.until(T0 + 40 * S)
    assert watched.told()[0] == ("firing", 20)


def test_a_drop_to_nothing_fires_only_after_much() -> None:
    """A busy stream that stops fires at its first empty window, and resolves with the first event after."""
    checked = rule(window="10s", hop="5s", drop={"from_at_least": 5, "before": "30s"}, group_by=["method"])
    watched = Watched(checked)
    watched.feed(sorted([*every(1, 0, 60, method="A"), *every(6, 0, 60, method="B")], key=lambda e: e["occurred_at"]))
    watched.feed(every(1, 100, 130, method="A"))
    watched.until(T0 + 140 * S)
    states = [(each.state, each.labels["method"], (each.window_end_us - T0) // S) for each in watched.transitions]
    assert [each for each in states if each[0] != "still_firing"] == [("firing", "A", 70), ("resolved", "A", 105)]


def test_a_value_is_new_once() -> None:
    """It fires at its first window, is over after `hold`, and is no news when it comes again within `remember`."""
    checked = rule(
        window="10s", group_by=["method"], first_seen={"remember": "1h", "hold": "30s"}, learn="20s", repeat="1d"
    )
    watched = Watched(checked)
    watched.feed([*every(1, 0, 20, method="old"), *every(1, 20, 40, method="old"), *every(2, 40, 44, method="new")])
    watched.feed([*every(1, 200, 210, method="new"), event(T0 + 4000 * S, method="new")])
    watched.until(T0 + 4100 * S)
    told = [(each.state, each.labels["method"], (each.window_end_us - T0) // S) for each in watched.transitions]
    assert told == [
        ("firing", "new", 50),
        ("resolved", "new", 80),
        ("firing", "new", 4010),
        ("resolved", "new", 4040),
    ]


def test_a_change_is_against_the_same_hour_of_earlier_days() -> None:
    """Four times the usual of this hour fires, though another hour has more; with too few days nothing is said."""
    checked = rule(type="pin", window="5m", change={"direction": "both", "deviations": 6, "days_min": 3})
    watched = Watched(checked, origin_us=T0)
    for day in range(5):
        for hour in range(24):
            step_s = 2.0 if hour == 12 else 10.0
            step_s = 2.5 if (day, hour) == (4, 3) else step_s
            watched.feed(every(step_s, 86_400 * day + 3600 * hour, 86_400 * day + 3600 * hour + 3600))
    watched.until(T0 + 5 * DAY)
    firing = [each for each in watched.transitions if each.state == "firing"]
    assert [(each.window_start_us - T0) // (3600 * S) for each in firing] == [4 * 24 + 3]
    assert firing[0].expected is not None
    assert firing[0].expected[0] < 30 < firing[0].expected[1] < firing[0].value == 120
    assert watched.points[0].expected is None


def test_windows_before_the_origin_are_not_judged() -> None:
    """A monitor that begins in the middle of a window says nothing about it."""
    watched = Watched(rule(window="10s", above=1), origin_us=T0 + 5 * S)
    watched.feed(every(1, 5, 40))
    watched.until(T0 + 45 * S)
    assert [(point.start_us - T0) // S for point in watched.points] == [10, 20, 30]


def test_groups_have_a_bound() -> None:
    """Groups of a hop beyond the bound are not counted, and told."""
    watched = Watched(rule(window="10s", group_by=["method"], above=1e9, groups_max=10))
    watched.feed([event(T0 + n, n, method=str(n)) for n in range(25)])
    watched.until(T0 + 30 * S)
    assert watched.evaluator.uncounted["groups"] == 15


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\nb"])
def test_what_came_from_events_is_safe_in_messages(text: str) -> None:
    """A label cannot steer a terminal, or add a line."""
    watched = Watched(rule(window="10s", group_by=["method"], above=0, message="of {method}"))
    watched.feed([event(T0, method=text)])
    watched.until(T0 + 20 * S)
    assert watched.transitions[0].message.isprintable()
