"""The outcome of an audit: what became of each session's numbers, in numbers and as ranges, for people and as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .intervals import NOTHING, Intervals

AUDIT_VERSION = 1
State = Literal["closed", "open", "no account"]


@dataclass(frozen=True, slots=True)
class SessionAudit:
    """One session in one topic. emitted = archived + dropped + spooled + waiting + not_yet + unexplained.

    `state`: closed (it ended, and what it left was delivered), open (it may go on), no account (it sent no audit
    event). `as_of_ms`: when it was last told of; None without an account.
    """

    session: bytes
    service: str
    host: str
    state: State
    as_of_ms: int | None
    emitted: int
    archived: int
    repeats: int
    dropped: Mapping[str, Intervals]
    """Numbers that will never arrive, by reason."""
    uncertain: Mapping[str, Intervals]
    """Of `dropped`, those that only the count explains: the report did not say which numbers they are."""
    spooled: Intervals = NOTHING
    waiting: Intervals = NOTHING
    not_yet: Intervals = NOTHING
    unexplained: Intervals = NOTHING

    @property
    def plain(self) -> bool:
        """Whether all is archived, once, by the session's own account."""
        return self.state == "closed" and self.archived == self.emitted and not self.repeats

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form; ranges are [first, last]."""
        return {
            "session": self.session.hex(),
            "service": self.service,
            "host": self.host,
            "state": self.state,
            "as_of_ms": self.as_of_ms,
            "emitted": self.emitted,
            "archived": self.archived,
            "repeats": self.repeats,
            "dropped": {reason: _json(numbers) for reason, numbers in self.dropped.items()},
            "uncertain": {reason: _json(numbers) for reason, numbers in self.uncertain.items()},
            "spooled": _json(self.spooled),
            "waiting": _json(self.waiting),
            "not_yet": _json(self.not_yet),
            "unexplained": _json(self.unexplained),
        }


@dataclass(slots=True)
class AuditReport:
    """All sessions of a topic. `reach_ms`: up to when the archive surely has what was delivered; infinite: all."""

    topic: str
    url: str
    snapshot: int
    audit_snapshot: int
    reach_ms: float
    sessions: list[SessionAudit] = field(default_factory=list)
    rows: int = 0
    foreign: int = 0
    quarantined: int = 0
    repeats: int = 0
    clashes: int | None = None
    """Rows whose number another event has too; None: there were too many repeats to tell."""

    @property
    def ok(self) -> bool:
        """Whether there is no hole that nobody explains, and no number that two events have."""
        return not self.clashes and not any(len(each.unexplained) for each in self.sessions)

    def total(self, name: str) -> int:
        """Return a sum over all sessions: of a count, or of the size of a set."""
        values = [getattr(each, name) for each in self.sessions]
        return sum(len(value) if isinstance(value, Intervals) else value for value in values)

    def dropped(self) -> dict[str, int]:
        """Return how many numbers were dropped, by reason."""
        found: dict[str, int] = {}
        for each in self.sessions:
            for reason, numbers in each.dropped.items():
                found[reason] = found.get(reason, 0) + len(numbers)
        return dict(sorted(found.items()))

    def as_json(self) -> dict[str, Any]:
        """Return the documented JSON form, version 1."""
        names = ("emitted", "archived", "spooled", "waiting", "not_yet", "unexplained")
        return {
            "version": AUDIT_VERSION,
            "topic": self.topic,
            "archive": self.url,
            "ok": self.ok,
            "snapshot": self.snapshot,
            "audit_snapshot": self.audit_snapshot,
            "reach_ms": None if self.reach_ms == float("inf") else int(self.reach_ms),
            "rows": self.rows,
            "rows_without_number": self.foreign,
            "rows_quarantined": self.quarantined,
            "repeats": self.repeats,
            "clashes": self.clashes,
            "totals": {**{name: self.total(name) for name in names}, "dropped": self.dropped()},
            "sessions": [each.as_json() for each in self.sessions],
        }


def _json(numbers: Intervals) -> list[list[int]]:
    return [[start, end - 1] for start, end in numbers.ranges()]


def text_of(numbers: Intervals, ranges_max: int = 10) -> str:
    """Return numbers as people write them: 3, 7-9; what is left out is said."""
    shown = list(numbers.ranges())
    words = [str(start) if end == start + 1 else f"{start}-{end - 1}" for start, end in shown[:ranges_max]]
    more = f", and {len(shown) - ranges_max} ranges more" if len(shown) > ranges_max else ""
    return ", ".join(words) + more
