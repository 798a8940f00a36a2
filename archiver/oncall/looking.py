"""Looks at cluster and archive and judges: once for a command, or again and again for what is scraped and watched."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..object_store import StoreError
from ..source import SourceError
from .gather import Gathered, Gatherer, NoSuchTopic
from .heartbeat import SILENT_S
from .lag import by_topic, evaluate, oldest_s, records_behind, soonest_loss_s, worst_first
from .rules import findings
from .status import Status
from .thresholds import Thresholds

log = logging.getLogger("headrace.oncall")

SAMPLES_MAX = 360
TOPICS_MAX = 500
TROUBLES_MAX = 20


class Looker:
    """Looks once. Topics of none given: see Gatherer.look."""

    def __init__(
        self,
        gatherer: Gatherer,
        thresholds: Thresholds,
        *,
        archive: str,
        group: str,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
        topics: Sequence[str] = (),
    ) -> None:
        self._gatherer = gatherer
        self._thresholds = thresholds
        self._archive = archive
        self._group = group
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._topics = topics

    def look(self) -> Status:
        """Return what is so now. Raises NoSuchTopic, SourceError, StoreError."""
        begun_s = self._monotonic()
        gathered = self._gatherer.look(self._topics)
        now_ms = self._now_ms()
        lags = worst_first(evaluate(each, now_ms) for each in gathered.facts)
        found = findings(lags, self._thresholds, gathered.whole, now_ms)
        took_s = self._monotonic() - begun_s
        return Status(now_ms, self._archive, self._group, lags, found, gathered, took_s)

    def cannot_tell(self, why: str) -> Status:
        """Return the status of a look that found nobody."""
        return Status(self._now_ms(), self._archive, self._group, [], [], Gathered([], kafka_problem=why))


@dataclass(frozen=True, slots=True)
class Sample:
    """A topic at one moment. `seconds_behind` None: not known. `loss_s` None: never, or not known."""

    at_ms: int
    records_behind: int
    seconds_behind: float | None
    loss_s: float | None


@dataclass(frozen=True, slots=True)
class Trouble:
    """An error that was seen: of a worker, or of a look. `first_ms`, `last_ms`: when."""

    who: str
    text: str
    first_ms: int
    last_ms: int


@dataclass
class _Seen:
    status: Status | None = None
    history: dict[str, deque[Sample]] = field(default_factory=dict)
    troubles: dict[tuple[str, str], Trouble] = field(default_factory=dict)


class Watcher:
    """Looks each `every_s` seconds on a thread of its own, and keeps the last look and each topic's recent past.

    `wait(seconds)` pauses, and returns True when it is time to end.
    """

    def __init__(self, looker: Looker, *, every_s: float, wait: Callable[[float], bool]) -> None:
        self._looker = looker
        self._every_s = every_s
        self._wait = wait
        self._seen = _Seen()
        self._first = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headrace-watcher", daemon=True)

    @property
    def every_s(self) -> float:
        """Seconds between looks."""
        return self._every_s

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def status(self, timeout_s: float = 30.0) -> Status:
        """Return the last look; waits for the first one."""
        self._first.wait(timeout_s)
        return self._seen.status or self._looker.cannot_tell("the first look is not done yet")

    def history(self) -> dict[str, list[Sample]]:
        """Return the samples of each topic, oldest first."""
        return {topic: list(samples) for topic, samples in list(self._seen.history.items())}

    def troubles(self) -> list[Trouble]:
        """Return the last errors, newest first."""
        return sorted(self._seen.troubles.values(), key=lambda each: -each.last_ms)

    def step(self) -> None:
        """Look once, and note it."""
        try:
            status = self._looker.look()
        except (SourceError, StoreError, NoSuchTopic) as error:
            status = self._looker.cannot_tell(str(error))
        # A scrape must never end because one look failed in a way that nobody expected: it is told instead.
        except Exception as error:
            log.exception("looking failed")
            status = self._looker.cannot_tell(f"{type(error).__name__}: {error}")
        self._note(status)
        self._note_troubles(status)
        self._seen.status = status
        self._first.set()

    def _run(self) -> None:
        while True:
            self.step()
            if self._wait(self._every_s):
                return

    def _note(self, status: Status) -> None:
        history = dict(self._seen.history)
        for topic, own in by_topic(status.lags).items():
            if any(each.records_behind is None for each in own):
                continue  # a hole in the chart, not a zero
            sample = Sample(status.at_ms, records_behind(own), oldest_s(own), soonest_loss_s(own))
            if topic in history or len(history) < TOPICS_MAX:
                history.setdefault(topic, deque(maxlen=SAMPLES_MAX)).append(sample)
        self._seen.history = history

    def _note_troubles(self, status: Status) -> None:
        told = [("the look", text) for text in status.unanswered]
        for each in status.lags:
            beat = each.facts.heartbeat
            if beat is not None and beat.trouble and (each.beat_age_s or 0) <= SILENT_S:
                told.append((beat.worker, beat.trouble))
            if each.facts.damaged:
                told.append((each.facts.where.topic, each.note))
        troubles = dict(self._seen.troubles)
        for who, text in told:
            before = troubles.get((who, text))
            first_ms = status.at_ms if before is None else before.first_ms
            troubles[who, text] = Trouble(who, text, first_ms, status.at_ms)
        kept = sorted(troubles.items(), key=lambda item: -item[1].last_ms)[:TROUBLES_MAX]
        self._seen.troubles = dict(kept)
