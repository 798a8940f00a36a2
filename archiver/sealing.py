"""Declares dates complete: one `seal` entry a date, then the marker `_SUCCESS` for readers that look for one.

A date is complete when each partition is archived up to the date's end: the first offset whose timestamp is at least
the date's end plus `lateness_s`, or, where there is none yet, the end of the partition, read after the wall clock has
passed that moment and while no transaction is open. That is a statement about clocks, the only one that the archive
makes. What it does not rest on is who makes it: any worker of the topic may, and the log lets the first one do it.
"""

import datetime as dt
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from .clock import Clock
from .commit_log import CommitLog, Committed
from .failpoints import Failpoint
from .garbage import remove_dead_objects
from .held import Writer
from .log_entries import Entry
from .log_state import LogState
from .object_store import ObjectNotFound, StoreError
from .source import Source, SourceError

log = logging.getLogger("headrace.archiver")

NO_DATE = "1970-01-01"
"""Records without any time come to this date: it is never complete."""
DATES_AT_ONCE = 8
MARKERS_REMEMBERED = 32


@runtime_checkable
class DateEnds(Protocol):
    """What sealing asks of Kafka; kafka_source.KafkaSource has it."""

    def date_ends(self, topic: str, timestamp_ms: int) -> Mapping[int, int | None]:
        """Return for each partition that Kafka has of a topic the first offset with at least this timestamp.

        Where there is none: the partition's end, if no transaction is open there, else None. Raises SourceError.
        """
        ...

    def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return the id of each topic that exists now: see source.Source."""
        ...


@dataclass(frozen=True, slots=True)
class SealRules:
    """When a date is complete: `lateness_s` after it ended; looked for each `interval_s`."""

    lateness_s: float = 3600.0
    interval_s: float = 60.0


class Sealer:
    """Seals one topic's dates for one worker."""

    def __init__(
        self,
        commit_log: CommitLog,
        ends: DateEnds,
        rules: SealRules,
        *,
        writer: Writer,
        clock: Clock,
        new_id: Callable[[], str],
        failpoint: Failpoint,
    ) -> None:
        self._store = commit_log.store
        self._log = commit_log
        self._ends = ends
        self._rules = rules
        self._writer = writer
        self._clock = clock
        self._new_id = new_id
        self._failpoint = failpoint
        self._next_s = clock.monotonic()
        self._marked: set[str] = set()

    def seal(self, topic_id: str, *, now: bool = False) -> None:
        """Seal what is complete, at most each `interval_s`; put the markers that are missing.

        Kafka or a store that does not answer is no error here: the next call tries again. Raises LogCorrupt, LogTooNew,
        LogViolation.
        """
        if not now and self._clock.monotonic() < self._next_s:
            return
        self._next_s = self._clock.monotonic() + self._rules.interval_s
        try:
            state = self._log.refresh()
            if state.topic_id == topic_id:
                for date in self._due(state):
                    self._seal(date, topic_id)
            self._mark()
        except (StoreError, SourceError) as error:
            log.warning(
                "%s: could not seal, trying again in %.0f s: %s", self._log.topic, self._rules.interval_s, error
            )

    def _due(self, state: LogState) -> list[str]:
        """Return the dates that have rows, are not sealed, and whose end and lateness the wall clock has passed."""
        now_ms = millis_of(self._clock.now())
        closed = state.closed_dates
        dates = [date for date, (rows, _) in sorted(state.dates.items()) if rows and date not in closed]
        return [date for date in dates if date != NO_DATE and self._end_ms(date) <= now_ms][:DATES_AT_ONCE]

    def _end_ms(self, date: str) -> int:
        return millis_of(f"{date}T00:00:00Z") + 86_400_000 + int(self._rules.lateness_s * 1000)

    def _seal(self, date: str, topic_id: str) -> None:
        ends = self._ends.date_ends(self._log.topic, self._end_ms(date))
        if not ends or any(end is None for end in ends.values()):
            return  # a transaction is open
        if self._ends.topic_ids([self._log.topic]).get(self._log.topic) != topic_id:
            return  # the ends may be those of the topic that was made again
        entry = Entry(
            kind="seal",
            topic=self._log.topic,
            cluster_id=self._writer.cluster_id,
            entry_id=self._new_id(),
            writer=self._writer.name,
            at=self._clock.now(),
            topic_id=topic_id,
            details={"dt": date, "ends": {str(partition): end for partition, end in sorted(ends.items())}},
        )
        if self._log.state.conflict(entry) is not None:
            return  # not archived so far yet, or sealed by another worker
        self._failpoint("before-seal")
        outcome = self._log.append(entry)
        self._failpoint("after-seal")
        if isinstance(outcome, Committed):
            rows, _ = self._log.state.dates[date]
            log.info("%s: sealed %s with %d rows, entry %d", self._log.topic, date, rows, outcome.entry.seq)

    def _mark(self) -> None:
        """Put the markers of the newest sealed dates, each once nothing but its committed files lies there."""
        sealed, expired = self._log.state.sealed, self._log.state.expired
        by_seq = sorted(sealed.keys() - expired.keys(), key=lambda date: sealed[date].seq)
        for date in by_seq[-MARKERS_REMEMBERED:]:
            if date in self._marked or self._has_marker(date):
                self._marked.add(date)
                continue
            cleaning = remove_dead_objects(self._store, self._log.state, self._log.refresh, date=date)
            for key in cleaning.removed:
                log.info("%s: removed %s, which a writer that ended early had left", self._log.topic, key)
            if cleaning.left:
                continue  # somebody's commit is under way there, or a rewrite
            self._failpoint("before-marker")
            self._store.put(marker_key(self._log.topic, date), b"")
            self._failpoint("after-marker")
            self._marked.add(date)

    def _has_marker(self, date: str) -> bool:
        try:
            self._store.size(marker_key(self._log.topic, date))
        except ObjectNotFound:
            return False
        return True


def make_sealer(
    commit_log: CommitLog,
    source: Source,
    rules: SealRules | None,
    *,
    writer: Writer,
    clock: Clock,
    new_id: Callable[[], str],
    failpoint: Failpoint,
) -> Sealer | None:
    """Return a topic's sealer: None without rules, or on a source that cannot tell where a date ends."""
    if rules is None or not isinstance(source, DateEnds):
        return None
    return Sealer(commit_log, source, rules, writer=writer, clock=clock, new_id=new_id, failpoint=failpoint)


def marker_key(topic: str, date: str) -> str:
    """Return the key of the marker of a sealed date."""
    return f"data/topic={topic}/dt={date}/_SUCCESS"


def millis_of(text: str) -> int:
    """Return an ISO 8601 time in UTC as milliseconds since 1970."""
    return round(dt.datetime.fromisoformat(text).timestamp() * 1000)
