"""Audit events: what a process tells of its own session's numbers, topic by topic.

They go into the process's own queue like any event, to a topic of their own. They are in none of the counts that they
tell of, and are told of by none: a session that does nothing sends none. What is told of a dead process's session, or
by who delivers for a living one: spool/folder_books.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from headrace.schemas.catalog import AUDIT_TOPIC
from headrace.schemas.events import Audit

from .counted_queue import CountedQueue
from .ledger import Ledger, Lost
from .readings import Readings

RANGES_MAX = 1000
_AFTER = ("refused", "expired", "damaged", "unreadable", "undelivered")
Put = Callable[[Audit], bool]


@dataclass(frozen=True)
class AuditSettings:
    """When a process tells of its numbers. What was lost is told of sooner, so that a SIGKILL hides little."""

    interval_s: float = 45.0
    losses_s: float = 2.0

    def __post_init__(self) -> None:
        """Raise ValueError for settings that cannot work."""
        if self.interval_s <= 0 or self.losses_s <= 0:
            raise ValueError("AuditSettings: interval_s and losses_s must be positive")


@dataclass(frozen=True)
class Account:
    """One topic's numbers as a reporter knows them. `ranges` are those of `dropped` that were not told of before."""

    last_seq: int
    accepted: int
    acked: int
    waiting: int
    dropped: Mapping[str, int]
    ranges: tuple[Lost, ...] = ()

    def telling(self, ranges: Sequence[Lost]) -> "Account":
        """Return it with ranges."""
        return replace(self, ranges=tuple(ranges))


class Auditor:
    """One process's own audit. report() is a sink of the reporter; close() is the last account."""

    def __init__(
        self,
        settings: AuditSettings,
        *,
        session_id: bytes,
        durability: Callable[[], str],
        numbers: Callable[[], Mapping[str, int]],
        elsewhere: Callable[[], Mapping[str, int]],
        drained: Callable[[], bool],
        ledger: Ledger,
        counted: CountedQueue | None,
        put: Put,
        clock_ns: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        """`numbers()`: the last number of each topic; `elsewhere()`: what was lost of no known number, by reason;
        `drained()`: whether nothing of any topic waits."""
        self._settings = settings
        self._session_id = session_id
        self._durability = durability
        self._numbers = numbers
        self._elsewhere = elsewhere
        self._drained = drained
        self._ledger = ledger
        self._counted = counted
        self._put = put
        self._clock_ns = clock_ns
        self._monotonic = monotonic
        self._since_us: dict[str, int] = {}
        self._began_us = clock_ns() // 1000
        self._told: dict[str, Account] = {}
        self._entries = 0
        self._last = monotonic()

    def report(self, readings: Readings, *, last: bool) -> None:
        """Send audit events when it is time; nothing at the end, which close() is for."""
        since = self._monotonic() - self._last
        urgent = since >= self._settings.losses_s and self._ledger.entries != self._entries
        if not last and (since >= self._settings.interval_s or urgent):
            self._audit(min(readings.seconds_until_drop.values(), default=float("inf")), ended=False)

    def close(self) -> None:
        """Tell of all numbers a last time. The process accepts no more events."""
        self._audit(float("inf"), ended=True)

    def _audit(self, seconds: float, *, ended: bool) -> None:
        self._last = self._monotonic()
        self._entries = self._ledger.entries
        elsewhere = dict(self._elsewhere())
        drained = ended and self._drained()
        for topic, last_seq in sorted(self._numbers().items()):
            if topic == AUDIT_TOPIC:
                continue
            while True:
                ranges = self._ledger.take(topic, RANGES_MAX)
                account = self._account(topic, last_seq, ranges)
                if not ended and not ranges and account == self._told.get(topic):
                    break
                if drained:
                    account = replace(account, waiting=0)
                closed = ended and account.waiting == 0
                if not self._put(self._event(topic, account, elsewhere, seconds, closed=closed)):
                    self._ledger.put_back(topic, ranges)
                    break
                self._told[topic] = self._account(topic, last_seq, [])
                self._since_us[topic] = self._clock_ns() // 1000
                if len(ranges) < RANGES_MAX:
                    break

    def _account(self, topic: str, last_seq: int, ranges: list[Lost]) -> Account:
        dropped = dict(self._ledger.counts.get(topic, {}))
        accepted = last_seq - sum(count for reason, count in dropped.items() if reason not in _AFTER)
        acked = 0 if self._counted is None else self._counted.acked.get(topic, 0)
        lost = sum(dropped.get(reason, 0) for reason in _AFTER)
        return Account(last_seq, accepted, acked, max(accepted - acked - lost, 0), dropped, tuple(ranges))

    def _event(
        self, topic: str, account: Account, elsewhere: Mapping[str, int], seconds: float, *, closed: bool
    ) -> Audit:
        told = self._told.get(topic)
        durability: Literal["MEMORY", "DISK"] = "MEMORY" if self._durability() == "memory" else "DISK"
        before = 0 if told is None else told.last_seq
        return audit_event(
            self._session_id,
            topic,
            account,
            reporter="OWN",
            closed=closed,
            durability=durability,
            since_us=self._since_us.get(topic, self._began_us),
            first_seq=before + 1 if account.last_seq > before else 0,
            elsewhere=elsewhere,
            seconds=seconds,
        )


def audit_event(
    session_id: bytes,
    topic: str,
    account: Account,
    *,
    reporter: Literal["OWN", "ADOPTER"],
    closed: bool,
    durability: Literal["MEMORY", "DISK"],
    since_us: int,
    first_seq: int,
    elsewhere: Mapping[str, int],
    seconds: float,
) -> Audit:
    """Return one audit event."""
    return Audit(
        about_session=session_id,
        about_topic=topic,
        reporter=reporter,
        closed=closed,
        durability=durability,
        since=datetime.fromtimestamp(since_us // 1_000_000, UTC),
        first_seq=first_seq,
        last_seq=account.last_seq,
        accepted=account.accepted,
        acked=account.acked,
        waiting=account.waiting,
        dropped=dict(account.dropped),
        lost_from=[each.first for each in account.ranges],
        lost_to=[each.last for each in account.ranges],
        lost_reason=[each.reason for each in account.ranges],
        dropped_elsewhere=dict(elsewhere),
        seconds_until_drop=None if seconds == float("inf") else seconds,
    )
