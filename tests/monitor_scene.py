"""A made-up night for the charts of rules: a log-in attack that goes on, a feed that was out, an error that is new.

`python -m monitor_scene` (with PYTHONPATH=src:tests) writes the pictures of docs/.
"""

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from alert_kit import MINUTE_US, transition
from browser import Browser, browsing
from dashboard_scene import NOW_MS, calm, shown
from house.tree import ROOT

from headrace.cli.dashboard_monitor import Source, charts_json
from headrace.monitor.alerts_charts import read_charts
from headrace.monitor.alerts_event import Told
from headrace.monitor.alerts_numbers import MonitorNumbers
from headrace.monitor.alerts_points import PointStore
from headrace.monitor.transition import State, Transition, WindowPoint

NOW_US = NOW_MS * 1000
MINUTES = 360
RULES = {
    "failed-logins": ("critical", "failed log-ins by all log-ins"),
    "feed-loads": ("critical", "feed loads a minute"),
    "error-rate": ("warning", "errors a minute, by service"),
    "new-error": ("warning", "fingerprints of errors never seen before"),
}


def wave(minute: int, level: float, shake: float) -> float:
    """A quiet day's value: it swings slowly, and trembles."""
    swing = 1 + 0.25 * math.sin(minute / 57)
    return level * swing + shake * math.sin(minute * 1.7) * math.cos(minute * 0.61)


def points(rule: str, level: float, shake: float, *, service: str = "", odd: dict[int, float]) -> list[WindowPoint]:
    """Six hours of a rule; `odd`: the values of minutes in which something is wrong."""
    found = []
    for minute in range(MINUTES):
        end_us = NOW_US - (MINUTES - 1 - minute) * MINUTE_US
        middle = wave(minute, level, 0)
        band = (max(0.0, middle - 3 * shake), middle + 3 * shake)
        value = odd.get(minute, max(0.0, wave(minute, level, shake)))
        labels = {"service": service} if service else {}
        found.append(WindowPoint(rule, labels, end_us - MINUTE_US, end_us, value, band, minute in odd))
    return found


def mark(rule: str, state: State, minute: int, message: str, service: str = "") -> Told:
    """What was told of a rule."""
    end_us = NOW_US - (MINUTES - 1 - minute) * MINUTE_US
    labels = {"service": service} if service else {}
    found: Transition = transition(
        state, rule=rule, labels=labels, message=message, window_start_us=end_us - MINUTE_US, window_end_us=end_us
    )
    return Told.of(found, end_us)


def night(store: PointStore) -> None:
    """Write the whole night."""
    attack = {minute: 0.2 + 0.6 * (1 - math.exp((331 - minute) / 6)) for minute in range(332, MINUTES)}
    outage = dict.fromkeys(range(120, 149), 0.0)
    store.rules(RULES)
    store.points(points("failed-logins", 0.05, 0.012, odd=attack))
    store.points(points("feed-loads", 840, 60, odd=outage))
    for service, level in (("web", 6.0), ("api", 3.0), ("feed", 1.5)):
        store.points(points("error-rate", level, level / 5, service=service, odd={}))
    store.marks([
        mark("failed-logins", "firing", 332, "20% of log-ins failed; 2% to 9% are usual at this hour"),
        mark("feed-loads", "firing", 120, "no feed load in a minute; 700 to 1,000 are usual"),
        mark("feed-loads", "resolved", 149, "feed loads are back"),
    ])  # fmt: skip


@contextmanager
def written(nights: Sequence[object] = (night,), rules: bool = True) -> Iterator[Path]:
    """A file that a monitor wrote, just now."""
    with tempfile.TemporaryDirectory(prefix="headrace-charts-") as folder:
        path = Path(folder) / "charts.sqlite"
        store = PointStore(path, MonitorNumbers(), now_us=lambda: NOW_US + 4_000_000)
        for each in nights if rules else ():
            each(store)  # type: ignore[operator]
        store.close()
        yield path


def source(path: Path, late_s: float = 9.0) -> Source:
    """What the page gets of a file, so many seconds after the newest window."""
    return lambda: charts_json(read_charts(path), NOW_MS + int(late_s * 1000))


def rules_drawn(browser: Browser, url: str) -> None:
    """Open a page and wait until it shows the status and the rules."""
    browser.open(url)
    browser.until("document.body && document.body.dataset.drawn && document.body.dataset.rules")


SHOTS = (("monitor-charts.png", 1180, 760, False, False), ("monitor-charts-dark-phone.png", 390, 844, True, True))


def main(folder: Path = ROOT / "docs") -> None:
    """Take the pictures."""
    with browsing() as browser, written() as path, shown(calm(), source(path)) as url:
        for name, width, height, dark, mobile in SHOTS:
            browser.look(width, height, dark=dark, mobile=mobile)
            rules_drawn(browser, url)
            browser.ask("document.getElementById('rules').scrollIntoView()")
            (folder / name).write_bytes(browser.picture())
            print(name, (folder / name).stat().st_size, browser.complaints)


if __name__ == "__main__":
    import sys

    main(*(Path(each) for each in sys.argv[1:]))
