"""One process's half of an event log: session, sequence numbers, event ids, queue, shipper.

A forked child makes its own; nothing here is shared with a parent. put() is the hot path: one short lock, no logging,
no other lock, and nothing that waits.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from headrace.schemas.event import ID_BYTES, Envelope, Event
from headrace.schemas.uuid7 import Uuid7

from .counts import Counts
from .forecast import Forecast
from .greenlets import Threads, real_threads
from .letter import Letter, unmade
from .oversize import Aside
from .queues import Queue
from .readings import Readings, Sink
from .record import Record, new_record
from .reporter import Reporter
from .sender import Sender
from .spool.adoption import Adopter

# Events emitted by a thread while it is inside of emit() (signal handlers, __del__): a handful in practice.
_SIDE_MAX = 10_000
_MOVE_RECORDS = 100
_LATE_S = 10.0
# A record's timestamp may be this much older than now. Kafka's retention goes by it: an event that tells of last week
# keeps that in occurred_at, and is not expired the moment it arrives.
_TIMESTAMP_AGE_MS_MAX = 3_600_000

Item = tuple[Event, bytes | None] | str | Event
"""What comes in under the lock: an event with its trace, the reason of a drop, or an event of our own."""


class ProcessLog:
    """Numbers, encodes and queues the events of one process, and ships them on a thread of its own."""

    def __init__(
        self,
        *,
        generation: int,
        service: str,
        host: str,
        topic_of: Callable[[str], str],
        queue: Queue,
        make_sender: Callable[[Callable[[Letter], None]], Sender],
        adopter: Adopter | None = None,
        session_id: bytes | None = None,
        threads: Threads | None = None,
        sinks: Sequence[Sink] = (),
        clock_ns: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        randomness: Callable[[int], bytes],
    ) -> None:
        self.generation = generation
        self.envelope = Envelope(service=service, host=host, session_id=session_id or randomness(ID_BYTES))
        self.queue = queue
        self.adopter = adopter
        self._threads = threads or real_threads()
        self.shipper = make_sender(self._refused)
        self._topic_of = topic_of
        self._clock_ns = clock_ns
        self._ids = Uuid7(randomness)
        self.seqs: dict[str, int] = {}
        """The last number of each topic."""
        self._topics: dict[str, str] = {}  # by event type
        self._lock = self._threads.make_rlock()
        self._busy = False
        self._side: deque[Item] = deque()
        self._started = False
        self._let_go = False
        self._inline = self._threads.make_lock()
        self._monotonic = monotonic
        self._forecast = Forecast()
        self._forecasting = self._threads.make_lock()
        self.reporter = Reporter(sinks, self.readings, self._threads)
        self.accepted = 0
        self.dropped: dict[str, int] = {}
        self.closed = False

    def put(self, event: Event, trace_id: bytes | None) -> bool:
        """Number, encode and queue an event; return whether it was accepted.

        The lock is re-entrant, so that a signal handler or a __del__ that runs between any two steps of an emit() of
        the same thread gets in; it then finds `_busy` set and leaves its event on the side, for the outer frame.
        """
        with self._lock:
            if self._busy:
                return self._aside((event, trace_id))
            self._busy = True
            try:
                accepted = self._queue_event(event, trace_id)
            finally:
                self._busy = False
            if self._side:
                self._take_side()
            return accepted

    def drop(self, reason: str) -> None:
        """Count an event that was not accepted, or that was lost after it was."""
        with self._lock:
            if self._busy:
                self._aside(reason)
                return
            self._count(reason)
            if self._side:
                self._take_side()

    def put_aside(
        self, reason: str, what: object, values: dict[str, Any], error: Exception, trace_id: bytes | None
    ) -> None:
        """Count an event that cannot be accepted, and have it kept as a dead letter: whole if it is too large."""
        if reason == "oversize" and isinstance(what, Event):
            with self._lock:
                if not self._busy:
                    self._busy = True
                    try:
                        self._queue_event(what, trace_id, to=Aside(self.queue, str(error)))
                    finally:
                        self._busy = False
                    if self._side:
                        self._take_side()
                    return
        self.drop(reason)
        self.queue.put_aside(unmade(reason, what, values, error))

    def _refused(self, _letter: Letter) -> None:
        """Count an event that Kafka refused for good."""
        self.drop("refused")

    def move_to(self, queue: Queue) -> None:
        """Go on in another queue: first all that waits in the present one, some at a time, so that no emit() waits."""
        while True:
            with self._lock:
                self._busy = True
                try:
                    batch = self.queue.read(_MOVE_RECORDS)
                    for position, record in batch:
                        if not queue.append(record, force=True):
                            self._not_queued(record.topic, record.seq, queue.refusal)
                        self.queue.ack(position)
                    if not batch:
                        self.queue = queue
                finally:
                    self._busy = False
                self._take_side()
            if not batch:
                return

    def _aside(self, item: Item) -> bool:
        if len(self._side) >= _SIDE_MAX:
            return False
        self._side.append(item)
        return True

    def _take_side(self) -> None:
        """Handle what came while this thread was inside; what comes meanwhile goes to the side again."""
        while self._side:
            self._busy = True
            try:
                while self._side:
                    item = self._side.popleft()
                    if isinstance(item, str):
                        self._count(item)
                    elif isinstance(item, tuple):
                        self._queue_event(*item, force=True)
                    else:
                        self._queue_own(item)
            finally:
                self._busy = False

    def _count(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def _queue_event(
        self, event: Event, trace_id: bytes | None, *, force: bool = False, to: Queue | None = None
    ) -> bool:
        if self.closed:
            self._count("closed")
            return False
        now_us = self._clock_ns() // 1000
        now_ms = now_us // 1000
        occurred_us = event.occurred_us()
        if occurred_us is None:
            occurred_us, timestamp_ms = now_us, now_ms
        else:
            timestamp_ms = kafka_timestamp_ms(occurred_us // 1000, now_ms)
        topic = self._topics.get(event.TYPE) or self._topics.setdefault(event.TYPE, self._topic_of(event.TYPE))
        # A refused event uses up its number: whoever reads the topic sees the hole, not only who reads our counters.
        seq = self.seqs.get(topic, 0) + 1
        self.seqs[topic] = seq
        envelope = self.envelope
        key = event.kafka_key(envelope.service)
        value = event.kafka_value(envelope, self._ids.next(now_ms), seq, occurred_us, event.trace_id or trace_id)
        record = new_record(Record, (topic, key, value, timestamp_ms, seq, event.SCHEMA, event.TYPE))
        queue = to or self.queue
        if not queue.append(record, force=force):
            self._not_queued(topic, seq, queue.refusal)
            return False
        self.accepted += 1
        if not self._started:
            self._start()
        if self.shipper.idle:
            self.shipper.nudge()
        return True

    def _not_queued(self, topic: str, seq: int, reason: str) -> None:  # noqa: ARG002 - for those that keep accounts
        """Count an event that was given its number, and was refused by the queue."""
        self._count(reason)

    def _queue_own(self, event: Event) -> bool:
        """Queue an event of our own."""
        raise NotImplementedError(f"{event!r}: only audited logs have events of their own")

    @property
    def appended(self) -> int:
        """How many records were queued."""
        return self.accepted

    def _start(self) -> None:
        """Start the shipper's thread, without the locks of the threading module; at exit close() ships instead."""
        self._started = True
        try:
            self._threads.start(self._ship, ())
        except RuntimeError:
            self._started = False
            return
        if self.adopter is not None:
            with contextlib.suppress(RuntimeError):
                self._threads.start(self.adopter.run, ())
        self.reporter.start()

    def _ship(self) -> None:
        """Run the shipper; when it ends too late for stop(), let go of the queue in its place."""
        self.shipper.run()
        if self.closed:
            self._let_go_of_queue(_LATE_S)

    @property
    def started(self) -> bool:
        """Whether the shipper has a thread."""
        return self._started

    def ship_here(self) -> None:
        """Do one step of shipping on the calling thread: for when no thread can be started any more."""
        with self._inline:
            self.shipper.advance()

    def close_account(self, flush: Callable[[], bool], *, done: bool) -> None:
        """Do what is left before the threads end, now that no event is accepted any more; `done`: all are delivered.
        For those that keep accounts."""

    def drop_undelivered(self) -> None:
        """Count what waits in memory as lost."""
        for _ in range(self.counts().queued):
            self.drop("undelivered")

    def stop(self, grace_s: float, monotonic: Callable[[], float], pause: Callable[[], None]) -> None:
        """End the threads and let go of the queue. A shipper that does not end in time does so when it ends."""
        self.shipper.stop()
        if self.adopter is not None:
            self.adopter.stop()
        end = monotonic() + grace_s
        while self._started and not self.shipper.stopped and monotonic() < end:
            pause()
        while self._started and self.adopter is not None and not self.adopter.stopped and monotonic() < end:
            pause()
        if self.shipper.stopped or not self._started:
            self._let_go_of_queue(max(end - monotonic(), 0.1))

    def _let_go_of_queue(self, timeout_s: float) -> None:
        """Close the queue, once, under the lock: so that no other thread is in the middle of an append. `closed` keeps
        later ones out."""
        if self._lock.acquire(timeout=timeout_s):
            try:
                if not self._busy and not self._let_go:
                    self._let_go = True
                    self.queue.close()
            finally:
                self._lock.release()

    def counts(self) -> Counts:
        """Return the counts as they are now."""
        adopter, dropped = self.adopter, dict(self.dropped)
        for reason, count in dict(self.queue.losses).items():
            dropped[reason] = dropped.get(reason, 0) + count
        return Counts(
            durability=self.queue.durability,
            accepted=self.accepted,
            acked=self.shipper.acked,
            queued=self.queue.depth()[0],
            dropped=dropped,
            restarts=self.shipper.restarts,
            schemas_failed=self.shipper.schemas_failed,
            adopted=0 if adopter is None else adopter.delivered,
            adopted_lost={} if adopter is None else dict(adopter.losses),
            last_error=self.shipper.last_error or (None if adopter is None else adopter.last_error),
        )

    def readings(self) -> Readings:
        """Return what the instruments show now."""
        now_ms = self._clock_ns() // 1_000_000
        oldest_ms, usage = self.queue.oldest_ms(), self.queue.usage()
        with self._forecasting:
            seconds = self._forecast.add(self._monotonic(), self.queue.levels(now_ms))
        return Readings(
            counts=self.counts(),
            queued_bytes=self.queue.depth()[1],
            oldest_waiting_s=0.0 if oldest_ms is None else max(now_ms - oldest_ms, 0) / 1000,
            spool_bytes=None if usage is None else usage[0],
            spool_bytes_max=None if usage is None else usage[1],
            seconds_until_drop=seconds,
        )


def kafka_timestamp_ms(occurred_ms: int, now_ms: int) -> int:
    """Return the record's timestamp: when it happened, unless that is in the future or too long ago, else now.

    Brokers refuse records far in the future, and expire old ones by this timestamp.
    """
    return occurred_ms if now_ms - _TIMESTAMP_AGE_MS_MAX <= occurred_ms <= now_ms else now_ms
