"""The charts' points: what is written is read back, bounded, by a reader that may come at any moment."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alert_kit import MINUTE_US, START_US, transition

from headrace.monitor import alerts_points
from headrace.monitor.alerts_charts import POINTS_SHOWN, SERIES_SHOWN, Point, read_charts, thinned
from headrace.monitor.alerts_event import Told
from headrace.monitor.alerts_numbers import MonitorNumbers
from headrace.monitor.alerts_points import SERIES_MAX, PointStore
from headrace.monitor.transition import WindowPoint

RULES = {"failed-logins": ("critical", "failed log-ins by service"), "feed": ("warning", "")}


def point(minute: int, value: float = 3.0, rule: str = "failed-logins", **changed: Any) -> WindowPoint:
    end_us = START_US + minute * MINUTE_US
    given: dict[str, Any] = {"labels": {"service": "web"}, "expected": (1.0, 5.0), "firing": False, **changed}
    return WindowPoint(rule=rule, start_us=end_us - MINUTE_US, end_us=end_us, value=value, **given)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "points.sqlite"


@pytest.fixture
def numbers() -> MonitorNumbers:
    return MonitorNumbers()


@pytest.fixture
def store(path: Path, numbers: MonitorNumbers) -> Iterator[PointStore]:
    made = PointStore(path, numbers, now_us=lambda: START_US)
    made.rules(RULES)
    yield made
    made.close()


def test_what_is_written_is_read_back(store: PointStore, path: Path) -> None:
    """Rules, series with baseline and firing, and what was told; a rule without windows is there too, empty."""
    store.points([point(n, n, firing=n == 2) for n in range(4)] + [point(0, float("nan"), "feed", expected=None)])
    store.marks([Told.of(transition("firing", 2), START_US), Told.of(transition("still_firing", 3), START_US)])
    found = read_charts(path)
    assert (found.state, found.written_ms) == ("there", START_US // 1000)
    logins, feed = found.rules
    assert (logins.rule, logins.severity, logins.about, logins.groups) == ("failed-logins", *RULES["failed-logins"], 1)
    (series,) = logins.series
    assert series.labels == {"service": "web"}
    at = [(START_US + n * MINUTE_US) // 1000 for n in range(4)]
    assert list(series.points) == [(at[n], float(n), 1.0, 5.0, n == 2) for n in range(4)]
    assert list(series.marks) == [(at[2], "firing", "41 of 50 log-ins failed")]
    assert list(feed.series[0].points) == [(at[0], None, None, None, False)]


def test_the_same_window_again_is_the_same_point(store: PointStore, path: Path) -> None:
    """A replay after a restart changes nothing of the chart."""
    for _ in range(2):
        store.points([point(0), point(1)])
        store.marks([Told.of(transition("firing"), START_US)])
    (series,) = read_charts(path).rules[0].series
    assert (len(series.points), len(series.marks)) == (2, 1)


def test_old_points_go(path: Path, numbers: MonitorNumbers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the last hours of event time are kept, and only so many rows."""
    monkeypatch.setattr(alerts_points, "PRUNE_EACH", 1)
    store = PointStore(path, numbers, now_us=lambda: START_US, hours=1)
    store.rules(RULES)
    for minute in range(0, 300, 10):
        store.points([point(minute)])
    (series,) = read_charts(path).rules[0].series
    assert [(each[0] * 1000 - START_US) // MINUTE_US for each in series.points] == list(range(230, 300, 10))
    monkeypatch.setattr(alerts_points, "ROWS_MAX", 3)
    store.points([point(300)])
    (series,) = read_charts(path).rules[0].series
    assert len(series.points) == 3
    store.close()


def test_of_many_groups_the_ones_that_matter_are_kept(store: PointStore, path: Path) -> None:
    """Those that fire, then the largest: 100,000 users do not make 100,000 charts."""
    points = [point(0, n, labels={"user": str(n)}, firing=n == 7) for n in range(1000)]
    store.points(points)
    rule = read_charts(path).rules[0]
    assert (rule.groups, len(rule.series)) == (SERIES_MAX, SERIES_SHOWN)
    assert [each.labels["user"] for each in rule.series] == ["7", "999", "998", "997", "996", "995"]


def test_rules_that_fire_come_first(store: PointStore, path: Path) -> None:
    """Whoever looks sees them without scrolling; rules that are no more are not shown."""
    store.points([point(0), point(0, rule="feed", firing=True), point(0, rule="gone", firing=True)])
    assert [each.rule for each in read_charts(path).rules] == ["feed", "failed-logins"]


def test_a_peak_or_a_drop_outlives_the_thinning() -> None:
    """Many points become few: the newest, the ones that fire and the odd ones are among them."""
    points: list[Point] = [(n, 10.0, None, None, n == 333) for n in range(3000)]
    points[100] = (100, 90.0, None, None, False)
    points[2000] = (2000, 0.0, None, None, False)
    found = thinned(points)
    assert len(found) <= POINTS_SHOWN
    assert {100, 333, 2000, 2999} <= {each[0] for each in found}
    assert [each[0] for each in found] == sorted(each[0] for each in found)


def test_a_file_that_is_not_there_or_no_database_is_said(path: Path) -> None:
    """Never an exception, never an empty chart that looks like calm."""
    assert read_charts(path).state == "missing"
    path.parent.mkdir()
    path.write_bytes(b"x" * 5000)
    found = read_charts(path)
    assert found.state == "unreadable"
    assert str(path) in found.problem
    path.unlink()
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 99")
    assert "version 99" in read_charts(path).problem


def test_a_full_disk_is_counted_and_does_not_stop_the_monitor(store: PointStore, numbers: MonitorNumbers) -> None:
    """Points are not what a monitor is for: the failure is a metric, and the next window is tried again."""
    store._connection.execute("PRAGMA max_page_count = 1")
    points = [point(n, labels={"x": "y" * 900}) for n in range(100)]
    store.points(points)
    store.points(points)
    assert numbers.lost() == 2
    store._connection.execute("PRAGMA max_page_count = 100000")
    store.points(points)
    assert numbers.lost() == 2


def test_reading_while_it_is_written(store: PointStore, path: Path, numbers: MonitorNumbers) -> None:
    """A dashboard that reads again and again sees whole moments only, and costs the monitor nothing that it counts."""
    done = threading.Event()
    problems: list[str] = []

    def look() -> None:
        while not done.is_set():
            found = read_charts(path)
            if found.state != "there" or any(len(each.series[0].points) % 10 for each in found.rules if each.series):
                problems.append(found.problem or "torn")

    reader = threading.Thread(target=look)
    reader.start()
    for batch in range(20):
        store.points([point(batch * 10 + n) for n in range(10)])
    done.set()
    reader.join()
    assert problems == []
    assert numbers.lost() == 0
