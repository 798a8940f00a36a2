"""A made-up night for the page: five topics, an archiver that is gone, data that will be lost; and its pictures.

`python -m dashboard_scene` (with PYTHONPATH=src:tests) writes the pictures of docs/.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from browser import Browser, browsing
from house.tree import ROOT

from headrace.archiver.kafka_admin import FirstRecord, LogEnds
from headrace.archiver.oncall.facts import Facts, Rates, Retention
from headrace.archiver.oncall.gather import Gathered
from headrace.archiver.oncall.heartbeat import Heartbeat
from headrace.archiver.oncall.lag import evaluate, worst_first
from headrace.archiver.oncall.looking import Sample, Trouble
from headrace.archiver.oncall.rules import findings
from headrace.archiver.oncall.status import Status
from headrace.archiver.oncall.thresholds import Thresholds
from headrace.archiver.oncall.topic_news import EntryNews, GapNews, TopicNews
from headrace.archiver.oncall.whole import Account, Whole
from headrace.archiver.source import TopicPartition
from headrace.cli.address import Address
from headrace.cli.dashboard import pages_of
from headrace.cli.dashboard_monitor import Source, no_monitor
from headrace.cli.serving import serving

NOW_MS = 1_795_580_460_000  # 2026-11-25T04:21:00Z
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WEEK = Retention(ms=7 * DAY_MS, bytes=None)


class Scene:
    """Stands in for a Watcher: the same judgement, on facts that are made up."""

    every_s = 10.0

    def __init__(
        self, facts: list[Facts], news: tuple[TopicNews, ...], whole: Whole, history: dict[str, list[Sample]]
    ) -> None:
        self.facts, self.news, self.whole, self._history = facts, news, whole, history
        self.problem = ""
        self.told: list[Trouble] = []

    def status(self) -> Status:
        lags = worst_first(evaluate(each, NOW_MS) for each in self.facts)
        gathered = Gathered(self.facts, self.problem, whole=self.whole, news=self.news)
        found = findings(lags, Thresholds(), self.whole, NOW_MS)
        return Status(NOW_MS, "s3://a/b", "headrace", lags, found, gathered, 0.31)

    def history(self) -> dict[str, list[Sample]]:
        return self._history

    def troubles(self) -> list[Trouble]:
        return self.told


def partition(topic: str, number: int, end: int, *, behind: int = 0, age_s: float = 4, **known: Any) -> Facts:
    """One partition as it may be at night."""
    worker = f"archive-{number % 2 + 1}:411{number % 2}:0"
    beat = Heartbeat(worker, NOW_MS - 3_000 - 700 * number, end - behind // 2, 240)
    given: dict[str, Any] = {
        "where": TopicPartition(topic, number), "ends": LogEnds(max(0, end - 900_000), end, end),
        "durable": end - behind, "committed": end - behind, "heartbeat": beat, "retention": WEEK,
        "rates": Rates(120, 210), "first": FirstRecord(NOW_MS - int(age_s * 1000)) if behind else None,
        "rows": 41_000, **known,
    }  # fmt: skip
    return Facts(**given)


def news(topic: str, head: int, records: int, *, gaps: tuple[GapNews, ...] = (), stopped_s: int = 0) -> TopicNews:
    """A topic's last commits and dates."""
    entries = tuple(
        EntryNews(head - n, _iso(NOW_MS - (stopped_s + 21 + 60 * n) * 1000), "commit", records + 37 * n, 0, 6, 2,
                  records * 31, f"archive-{n % 2 + 1}:411{n % 2}:0")
        for n in range(8)
    )  # fmt: skip
    sealed = tuple(f"2026-11-{day}" for day in range(24, 10, -1))
    return TopicNews(topic, head, entries, sealed, 31, ("2026-11-25",), gaps, len(gaps), 48_000_000, 112)


def _iso(ms: int) -> str:
    from datetime import UTC, datetime  # noqa: PLC0415

    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


def wave(count: int, scale: float, shift: float) -> list[Sample]:
    """The last hour of a topic that is archived each minute."""
    found = []
    for n in range(count):
        saw = (n + shift) % 6 / 6
        behind = int(scale * (0.15 + saw * (1 + 0.3 * math.sin(n / 23 + shift))))
        found.append(Sample(NOW_MS - (count - 1 - n) * 10_000, behind, 60 * saw, 604_000))
    return found


def calm() -> Scene:
    """All is well: a few seconds behind, as always between two commits."""
    topics = {"pin": 6, "follow": 6, "login": 6, "feed_load": 6, "error": 2}
    facts = [
        partition(
            topic, n, 900_000 + 31_337 * n, behind=220 * (n + 1) if topic in ("pin", "follow") else 0, age_s=9 + 5 * n
        )
        for topic, count in topics.items()
        for n in range(count)
    ]
    history = {topic: wave(360, 9000 / (n + 1), n * 1.7) for n, topic in enumerate(topics)}
    accounts = tuple(
        Account("pin", "web", f"web-{n}", f"{n:032x}", True, False, False, NOW_MS - 20_000, 9000, 8990, 10, 0, 0, None)
        for n in range(1, 5)
    )
    gap = (GapNews(2, 18_001, 18_044, "retention"),)
    told = (news("pin", 8123, 14_200, gaps=gap), news("follow", 7991, 2_100), news("login", 6002, 310))
    return Scene(facts, told, Whole((), accounts), history)


def night() -> Scene:
    """The archiver of `pin` has been gone for hours, and its retention is short; S3 refuses the other's credentials."""
    scene = calm()
    end = 6_412_889
    short = Retention(ms=5 * HOUR_MS, bytes=None)
    lost_s = 4 * 3600 + 18 * 60
    gone = Heartbeat("archive-1:3102:0", NOW_MS - (lost_s - 60) * 1000, end - 410_000, 260)
    pins = [
        partition("pin", n, end + 991 * n, behind=402_000 + 1717 * n, age_s=lost_s - 97 * n, heartbeat=gone,
                  retention=short, rates=Rates(26, 44))
        for n in range(6)
    ]  # fmt: skip
    trouble = "s3: ExpiredToken: The provided token has expired"
    beat = Heartbeat("archive-2:4111:0", NOW_MS - 4000, 900_000, 0, trouble, NOW_MS - 412_000)
    rest = [each for each in scene.facts if each.where.topic != "pin"]
    rest = [
        partition("follow", n, 930_000 + n, behind=51_000 + n, age_s=431 + n, heartbeat=beat if n == 0 else None)
        if each.where.topic == "follow"
        else each
        for n, each in enumerate(rest)
    ]
    follow = [each for each in rest if each.where.topic == "follow"]
    rest = [each for each in rest if each.where.topic != "follow"]
    follow = [
        Facts(**{**{f: getattr(each, f) for f in Facts.__slots__}, "where": TopicPartition("follow", n)})
        for n, each in enumerate(follow)
    ]
    count = 360
    climb = [
        Sample(NOW_MS - (count - 1 - n) * 10_000, 1_870_000 + n * 1_540 + int(9000 * math.sin(n / 9)),
               lost_s - (count - 1 - n) * 10, 2500)
        for n in range(count)
    ]  # fmt: skip
    history = {**scene.history(), "pin": climb}
    accounts = (
        Account(
            "pin", "web", "web-3", "5f0c9a" * 5, True, False, False, NOW_MS - 31_000, 9000, 1000, 8000, 0, 0, 2710.0
        ),
        *scene.whole.accounts,
    )
    made = Scene([*pins, *follow, *rest], scene.news, Whole((), accounts), history)
    stopped = (
        news("pin", 8123, 14_200, gaps=(GapNews(2, 18_001, 18_044, "retention"),), stopped_s=lost_s),
        *scene.news[1:],
    )
    made.news = stopped
    made.told = [Trouble("archive-2:4111:0", trouble, NOW_MS - 412_000, NOW_MS - 4000)]
    return made


@contextmanager
def shown(scene: Any, monitor: Source = no_monitor) -> Iterator[str]:
    """Serve the page of a scene, with the rules of a monitor or without."""
    with serving(Address("127.0.0.1", 0), pages_of(scene, monitor)) as at:
        yield at.url


def drawn(browser: Browser, url: str) -> None:
    """Open a page and wait until it shows what its server knows."""
    browser.open(url)
    browser.until("document.body && document.body.dataset.drawn")


SHOTS: tuple[tuple[str, Callable[[], Scene], int, int, bool, bool], ...] = (
    ("dashboard-light.png", night, 1180, 980, False, False),
    ("dashboard-dark.png", night, 1180, 980, True, False),
    ("dashboard-calm.png", calm, 1180, 1100, False, False),
    ("dashboard-phone.png", night, 390, 844, False, True),
)


def main(folder: Path = ROOT / "docs") -> None:
    """Take the pictures."""
    with browsing() as browser:
        for name, scene, width, height, dark, mobile in SHOTS:
            with shown(scene()) as url:
                browser.look(width, height, dark=dark, mobile=mobile)
                drawn(browser, url)
                (folder / name).write_bytes(browser.picture())
                print(name, (folder / name).stat().st_size, browser.complaints)


if __name__ == "__main__":
    import sys

    main(*(Path(each) for each in sys.argv[1:]))
