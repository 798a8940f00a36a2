"""What sessions, and those who adopted their spools, said became of their numbers: the archived audit events, added up.

A report tells of one session in one topic. Its counts are of all that its reporter ever told of, so that the newest
report of each is enough; its lists of lost numbers hold what was found since the one before, so all of them count. A
reporter that is killed before it could cross out what it told leaves that to the next one, which tells of it again:
numbers are a set, and counts are compared with what the same reporter named.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .intervals import NOTHING, Intervals

_COLUMNS = (
    "service", "host", "session_id", "seq", "about_session", "reporter", "closed", "durability", "last_seq", "acked",
    "waiting", "dropped", "lost_from", "lost_to", "lost_reason", "dropped_elsewhere", "_timestamp",
)  # fmt: skip

Lost = dict[tuple[bytes, bytes, str], list[tuple[int, int]]]
"""Numbers that will never arrive, by session, reporter and reason."""


@dataclass(frozen=True, slots=True)
class Report:
    """The newest report of one reporter. `at_ms`: when it was made."""

    at_ms: int
    seq: int
    own: bool
    closed: bool
    durability: str
    service: str
    host: str
    last_seq: int
    waiting: int
    dropped: dict[str, int]
    elsewhere: dict[str, int]


@dataclass(slots=True)
class Account:
    """All that is said of one session. `newest` and `settled` are by reporter; settled: made within the reach."""

    newest: dict[bytes, Report] = field(default_factory=dict)
    settled: dict[bytes, Report] = field(default_factory=dict)
    listed: dict[str, Intervals] = field(default_factory=dict)
    """The numbers that will never arrive, by reason."""
    named: dict[tuple[bytes, str], int] = field(default_factory=dict)
    """How many of them each reporter named, by reason."""

    @property
    def own(self) -> Report | None:
        """The session's own newest report."""
        return next((report for report in self.newest.values() if report.own), None)

    @property
    def last_seq(self) -> int:
        """The highest number that anybody says was given out."""
        return max((report.last_seq for report in self.newest.values()), default=0)

    @property
    def settled_seq(self) -> int:
        """The highest number of which the archive has all that was delivered before it was told of."""
        return max((report.last_seq for report in self.settled.values()), default=0)

    @property
    def at_ms(self) -> int:
        """When the newest report was made."""
        return max(report.at_ms for report in self.newest.values())

    @property
    def adopted(self) -> bool:
        """Whether somebody has delivered all that the session left."""
        return any(report.closed for report in self.settled.values() if not report.own)

    @property
    def waiting(self) -> int:
        """How many numbers may not have been delivered, by the last reports within the reach."""
        if self.adopted:
            return 0
        own = next((report for report in self.settled.values() if report.own), None)
        # Who delivers for the session knows more: all that it read is delivered but what it says waits.
        reader = max(
            (each for each in self.settled.values() if not each.own), key=lambda each: each.at_ms, default=None
        )
        if reader is None:
            return 0 if own is None else own.waiting
        behind = max(self.settled_seq - reader.last_seq, 0) + reader.waiting
        return behind if own is None else min(own.waiting, behind)

    @property
    def torn_after(self) -> int | None:
        """After which number an adopter found only the damaged end of the session's spool; None: it found none."""
        torn = [report.last_seq for report in self.newest.values() if report.elsewhere.get("torn")]
        return min(torn, default=None)

    def unlisted(self) -> dict[str, int]:
        """How many numbers are lost by reason that no list names."""
        found: dict[str, int] = {}
        for reporter, report in self.newest.items():
            for reason, count in report.dropped.items():
                found[reason] = found.get(reason, 0) + max(count - self.named.get((reporter, reason), 0), 0)
        for reason in ("damaged", "unreadable", "expired"):
            own = sum(report.elsewhere.get(reason, 0) for report in self.newest.values() if report.own)
            # Who goes on with a dead process's folder goes on with its books too.
            others = (report.elsewhere.get(reason, 0) for report in self.newest.values() if not report.own)
            found[reason] = found.get(reason, 0) + own + max(others, default=0)
        return {reason: count for reason, count in found.items() if count > 0}


def read_accounts(tables: Iterable[pa.Table], topic: str, reach_ms: float) -> dict[bytes, Account]:
    """Add up the audit events about one topic: by session. `reach_ms`: how far the topic's archive reaches."""
    accounts: dict[bytes, Account] = {}
    lost: Lost = {}
    for table in tables:
        if "about_topic" not in table.column_names:
            continue
        own = table.filter(pc.equal(table.column("about_topic").cast(pa.string()), topic)).select(_COLUMNS)
        if own.num_rows:
            _take_newest(accounts, own, reach_ms)
            _take_lists(lost, own.filter(pc.greater(pc.list_value_length(own.column("lost_from")), 0)))
    for (session, reporter, reason), ranges in lost.items():
        account, numbers = accounts[session], Intervals.of(ranges)
        account.named[reporter, reason] = len(numbers)
        account.listed[reason] = account.listed.get(reason, NOTHING) | numbers
    return accounts


def _take_newest(accounts: dict[bytes, Account], table: pa.Table, reach_ms: float) -> None:
    """Keep the last report of each (session, reporter); and the last one within the reach."""
    within = np.flatnonzero(table.column("_timestamp").to_numpy() <= reach_ms)
    for rows, settled in ((np.arange(table.num_rows), False), (within, True)):
        part = table.take(pa.array(rows))
        for row in part.take(pa.array(_last_of_each(part))).to_pylist():
            account = accounts.setdefault(row["about_session"], Account())
            kept = account.settled if settled else account.newest
            before = kept.get(row["session_id"])
            if before is None or row["seq"] > before.seq:
                kept[row["session_id"]] = _report(row)


def _last_of_each(table: pa.Table) -> np.ndarray:
    """Return the rows with the highest seq of each (session, reporter)."""
    if not table.num_rows:
        return np.empty(0, np.int64)
    about, reporter = (
        pa.concat_arrays(table.column(name).chunks).dictionary_encode().indices.to_numpy()
        for name in ("about_session", "session_id")
    )
    order = np.lexsort((table.column("seq").to_numpy(), reporter, about))
    about, reporter = about[order], reporter[order]
    changes = (np.diff(about) != 0) | (np.diff(reporter) != 0)
    return order[np.concatenate((np.flatnonzero(changes), [len(order) - 1]))]


def _report(row: dict[str, Any]) -> Report:
    return Report(
        at_ms=row["_timestamp"],
        seq=row["seq"],
        own=row["reporter"] == "OWN",
        closed=row["closed"],
        durability=row["durability"].lower(),
        service=row["service"],
        host=row["host"],
        last_seq=row["last_seq"],
        waiting=row["waiting"],
        dropped=dict(row["dropped"]),
        elsewhere=dict(row["dropped_elsewhere"]),
    )


def _take_lists(lost: Lost, table: pa.Table) -> None:
    for row in table.select(["about_session", "session_id", "lost_from", "lost_to", "lost_reason"]).to_pylist():
        for first, last, reason in zip(row["lost_from"], row["lost_to"], row["lost_reason"], strict=True):
            lost.setdefault((row["about_session"], row["session_id"], reason), []).append((first, last + 1))
