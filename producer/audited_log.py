"""A process's half of an event log that accounts for its numbers: a ProcessLog with books, and audit events of its own.

The audit events are queued like all others, and are in none of the counts that the app sees.
"""

import functools
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from headrace.schemas.catalog import AUDIT_TOPIC
from headrace.schemas.event import Event

from .auditing import Auditor, AuditSettings
from .counted_queue import CountedQueue
from .counts import Counts
from .ledger import Ledger
from .letter import Letter
from .process_log import ProcessLog
from .queues import MemoryQueue, Queue
from .record import Record
from .spool.keeper import Keeper
from .spool.separate_queue import SeparateQueue


def process_log(audit: AuditSettings | None, queue: Queue, make_shipper: Callable[..., Any], **more: Any) -> ProcessLog:
    """Make a process's half with audit or without. `make_shipper(queue, on_refused)`; `more`: what ProcessLog takes."""
    if audit is None:
        return ProcessLog(queue=queue, make_sender=functools.partial(make_shipper, queue), **more)
    return AuditedLog(audit, CountedQueue(queue), queue=queue, make_shipper=make_shipper, **more)


class AuditedLog(ProcessLog):
    """Keeps a ledger of the numbers that will not arrive, and tells of all numbers."""

    def __init__(
        self, audit: AuditSettings, counted: CountedQueue, *, make_shipper: Callable[..., Any], **more: Any
    ) -> None:
        self._ledger = Ledger()
        self._counted = counted
        self._audits = 0
        self._audits_at: deque[int] = deque()  # where another process ships: the positions of those that wait
        # Where another process ships, nothing is read here, and the keeper wants the queue itself.
        read = more["queue"] if make_shipper is Keeper else counted.as_queue()
        super().__init__(make_sender=functools.partial(make_shipper, read), **more)
        counted.on_lost = self._lost
        self.auditor = Auditor(
            audit,
            session_id=self.envelope.session_id,
            durability=lambda: self.queue.durability,
            numbers=lambda: dict(self.seqs),
            elsewhere=self._elsewhere,
            drained=self._drained,
            ledger=self._ledger,
            counted=counted,
            put=self.put_audit,
            clock_ns=self._clock_ns,
            monotonic=self._monotonic,
        )
        self.reporter.also(self.auditor)
        if self.adopter is not None:
            self.adopter.tell = self.put_audit

    @property
    def appended(self) -> int:
        """How many records were queued, audit events too."""
        return self.accepted + self._audits

    def put_audit(self, event: Event) -> bool:
        """Queue an audit event, also when closed or nearly full; return whether that was possible."""
        with self._lock:
            if self._busy:
                return self._aside(event)
            self._busy = True
            try:
                return self._queue_own(event)
            finally:
                self._busy = False
                if self._side:
                    self._take_side()

    def close_account(self, flush: Callable[[], bool], *, done: bool) -> None:
        """Send the last audit events, and give them a moment; `done`: all events were delivered."""
        in_memory = isinstance(self.queue, MemoryQueue)
        if not done and isinstance(self.queue, MemoryQueue):
            for topic, seq in [*list(self._counted.waiting.values()), *self.queue.unread()]:
                self._lost(topic, seq, seq, "undelivered")
        self.auditor.close()
        if in_memory or done:
            flush()

    def counts(self) -> Counts:
        """Return the counts as they are now, of the app's events only."""
        found = super().counts()
        if isinstance(self.queue, SeparateQueue):
            done = self.queue.lowest_unacked()
            waiting = sum(position >= done for position in list(self._audits_at))
            acked = self._audits - waiting
        else:
            acked = self._counted.acked.get(AUDIT_TOPIC, 0)
            waiting = max(self._audits - acked, 0)
        delivered = min(max(found.acked - acked, 0), found.accepted)
        return replace(found, acked=delivered, queued=max(found.queued - waiting, 0))

    def _drained(self) -> bool:
        if isinstance(self.queue, SeparateQueue):
            return self.queue.depth()[0] == 0  # as far as the cursor tells of what another process delivers
        return self.counts().queued == 0

    def _queue_own(self, event: Event) -> bool:
        if self._let_go:
            return False
        now_us = self._clock_ns() // 1000
        seq = self.seqs[AUDIT_TOPIC] = self.seqs.get(AUDIT_TOPIC, 0) + 1
        value = event.kafka_value(self.envelope, self._ids.next(now_us // 1000), seq, now_us, None)
        key = event.kafka_key(self.envelope.service)
        record = Record(AUDIT_TOPIC, key, value, now_us // 1000, seq, event.SCHEMA, event.TYPE)
        queue = self.queue
        position = queue.appended if isinstance(queue, SeparateQueue) else -1
        if not queue.append(record, force=True):
            return False
        self._audits += 1
        if isinstance(queue, SeparateQueue):
            self._audits_at.append(position)
            while self._audits_at[0] < queue.lowest_unacked():
                self._audits_at.popleft()
        if not self._started:
            self._start()
        if self.shipper.idle:
            self.shipper.nudge()
        return True

    def _not_queued(self, topic: str, seq: int, reason: str) -> None:
        """Count an event that was given its number and was refused, and enter the number."""
        super()._not_queued(topic, seq, reason)
        self._ledger.add(topic, seq, seq, reason)

    def _lost(self, topic: str, first: int, last: int, reason: str) -> None:
        with self._lock:
            self._ledger.add(topic, first, last, reason)

    def _refused(self, letter: Letter) -> None:
        """Count an event that Kafka refused for good, and enter its number."""
        if letter.record is not None:
            self._counted.refuse(letter.record)
        super()._refused(letter)

    def _elsewhere(self) -> dict[str, int]:
        """Return how many events were dropped of which the ledger does not say which numbers they had, by reason."""
        found = self.counts().dropped
        for counts in list(self._ledger.counts.values()):
            for reason, count in dict(counts).items():
                found[reason] = found.get(reason, 0) - count
        return {reason: count for reason, count in found.items() if count > 0}
