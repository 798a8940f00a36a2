"""Metrics of an event log: the list, the Prometheus collector, the reporter's thread."""

import math
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_producer import HOLD, FakeBroker
from house.tree import ROOT
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from headrace.producer import EventLog, Readings
from headrace.producer.counts import Counts
from headrace.producer.metric_list import METRICS, PREFIX
from headrace.producer.prometheus import export
from headrace.producer.reporter import Reporter
from headrace.producer.spool.limits import SpoolLimits
from headrace.schemas import Pin

PIN = Pin(user_id=7, pin_id=9, action="SAVE")


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def make(broker: FakeBroker) -> Iterator[Callable[..., EventLog]]:
    """Makes logs over the fake broker, and closes them."""
    made: list[EventLog] = []

    def build(**settings: Any) -> EventLog:
        log = EventLog(**{"service": "web", "kafka": "x", "make_producer": broker.make_producer, **settings})
        made.append(log)
        return log

    yield build
    broker.decide = lambda *_: None
    for log in made:
        log.close(1)


def until(true: Callable[[], bool], timeout_s: float = 180) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def scraped(registry: CollectorRegistry) -> dict[str, float]:
    """What a scrape sees, by name and labels as they are written."""
    text = generate_latest(registry).decode()
    return {
        sample.name.removeprefix(PREFIX) + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_documentation_has_the_list() -> None:
    """docs/producer-metrics.md has each metric with its kind, labels and how it is added up, and no other."""
    rows = re.findall(
        r"^\| `(headrace_producer_\w+)(?:\{(\w+)\})?` \| (\w+) \| (\w+) \|",
        (ROOT / "docs" / "producer-metrics.md").read_text(),
        re.MULTILINE,
    )
    names = [(PREFIX + m.name + ("_total" if m.kind == "counter" else ""), *(m.labels or ("",))) for m in METRICS]
    assert rows == [(*name, m.kind, m.across) for name, m in zip(names, METRICS, strict=True)]


def test_a_registry_shows_the_counts(make: Callable[..., EventLog], tmp_path: Path) -> None:
    """The app's own registry serves what counts() says, and the spool's state; nothing in it is NaN."""
    log, registry = make(spool=tmp_path), CollectorRegistry()
    export(log, registry)
    before = scraped(registry)
    assert before["accepted_total"] == 0
    for _ in range(5):
        log.emit(PIN)
    log.emit(Pin, user_id=7, pin_id=1 << 70, action="SAVE")
    assert log.flush(60)
    found = scraped(registry)
    assert (found["accepted_total"], found["acked_total"], found["dropped_total[invalid]"]) == (5, 5, 1)
    assert (found["queued"], found["durability[disk]"], found["restarts_total"]) == (0, 1, 0)
    assert found["spool_bytes"] > 0
    assert found["spool_bytes_max"] == 4 << 30
    assert not any(math.isnan(value) for value in found.values())


def test_a_spool_that_nobody_empties_is_forecast(
    make: Callable[..., EventLog], broker: FakeBroker, tmp_path: Path
) -> None:
    """With the broker silent, the low class runs out before the normal one and that before the high one; each is a
    number of seconds, which gets to 0 when its events are refused. Ages show too."""
    broker.decide = lambda *_: HOLD
    now = [1000.0]
    log = make(
        spool=tmp_path,
        spool_limits=SpoolLimits(bytes_max=4 << 20, free_bytes_min=0),
        monotonic=lambda: now[0],
        clock_ns=lambda: int(now[0] * 1e9),
    )

    def later() -> Readings:
        """The readings a second later, when the spool has been tended again."""
        now[0] += 1
        return log.readings()

    assert log.emit(PIN)
    assert set(log.readings().seconds_until_drop.values()) <= {math.inf}
    for _ in range(3):
        for _ in range(2000):
            log.emit(PIN)
        until(lambda: later().oldest_waiting_s > 0)
    seconds = later().seconds_until_drop
    assert 0 < seconds["low"] < seconds["normal"] < seconds["high"] < 3600
    while log.emit(PIN):
        pass
    until(lambda: later().seconds_until_drop["normal"] == 0)
    assert log.counts().dropped.keys() == {"shed"}


def test_memory_has_a_forecast_too(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """Without a spool the bounds of the queue in memory are forecast; no spool's bytes are shown."""
    broker.decide = lambda *_: HOLD
    now = [1000.0]
    log, registry = make(queue_records_max=100, monotonic=lambda: now[0]), CollectorRegistry()
    export(log, registry)
    log.emit(PIN)
    scraped(registry)
    now[0] += 10
    for _ in range(49):
        log.emit(PIN)
    found = scraped(registry)
    assert found["seconds_until_drop[low]"] == pytest.approx(50 / 4.9)
    assert found["durability[memory]"] == 1
    assert "spool_bytes" not in found


def test_a_registry_takes_one_log(make: Callable[..., EventLog]) -> None:
    """Two logs in one registry would show one metric twice: refused where it is done."""
    registry = CollectorRegistry()
    export(make(), registry)
    with pytest.raises(ValueError, match="Duplicated"):
        export(make(), registry)


def test_the_producer_needs_no_prometheus_client() -> None:
    """Without prometheus-client installed the producer works; only the module that exports to it is missing."""
    code = """
import sys
sys.modules["prometheus_client"] = None
from headrace.producer import EventLog
from headrace.producer.statsd import StatsD
EventLog(service="web", kafka="x").report_to(StatsD("127.0.0.1:1"))
try:
    import headrace.producer.prometheus
except ImportError:
    print("fine")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "fine\n"


class Kept:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Readings, bool]] = []
        self.threads: set[int] = set()

    def report(self, readings: Readings, *, last: bool) -> None:
        self.told.append((readings, last))
        self.threads.add(threading.get_ident())


def test_a_sink_hears_once_a_second_and_at_the_end(make: Callable[..., EventLog]) -> None:
    """A sink is told on a thread that is not the app's, also when it comes after the first event, and a last time
    when the log is closed, with the final counts."""
    log, early, late = make(), Kept(), Kept()
    log.report_to(early)
    log.emit(PIN)
    log.report_to(late)
    until(lambda: bool(early.told and late.told))
    log.emit(PIN)
    assert log.close(60)
    for sink in (early, late):
        readings, last = sink.told[-1]
        assert last
        assert (readings.counts.accepted, readings.counts.acked) == (2, 2)
        assert threading.get_ident() not in sink.threads


def test_a_failing_sink_is_its_own_problem(caplog: pytest.LogCaptureFixture) -> None:
    """A sink that raises is logged once, and the others still hear each time."""

    class Broken:
        def report(self, readings: Readings, *, last: bool) -> None:  # noqa: ARG002 - a sink's
            raise RuntimeError("no")

    kept = Kept()
    reporter = Reporter([Broken(), kept], lambda: Readings(Counts(durability="memory")))
    reporter.report(last=False)
    reporter.report(last=False)
    assert len(kept.told) == 2
    assert len(caplog.records) == 1


def test_a_hanging_sink_does_not_hold_up_the_end(make: Callable[..., EventLog]) -> None:
    """close() waits for a sink that hangs no longer than its grace."""
    go_on = threading.Event()

    class Hanging:
        def report(self, readings: Readings, *, last: bool) -> None:  # noqa: ARG002 - a sink's
            go_on.wait(180)

    log = make()
    log.report_to(Hanging())
    log.emit(PIN)
    begun = time.monotonic()
    assert log.close(1)
    assert time.monotonic() - begun < 60
    go_on.set()
