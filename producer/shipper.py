"""The shipper: takes records off the queue and delivers them to Kafka, in order, until each is acknowledged.

It owns the librdkafka producer, which is idempotent, and is the only one to touch it. What it never does: give up a
record that Kafka did not refuse for good, or raise. in_flight.py tells how it knows what is delivered.

A delivery that fails, or that takes too long, ends the producer: what it has not sent is purged, what is on the wire is
waited for, and a new producer goes back to the lowest record that is not acknowledged. So order holds within a
partition, whatever failed.
Two failures are treated apart. A topic that does not exist (or may not be written) only parks that topic's records,
and is tried again. A record that the broker refuses for good takes its whole batch with it, so the records since the
lowest unacknowledged one are sent again in batches of one: only the record that is refused alone is dropped.
"""

import contextlib
import logging
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from . import forks
from .in_flight import InFlight, Place, Report
from .kafka_settings import SINGLY, settled
from .letter import Letter, refused
from .parking import TOPIC_ERRORS, Parking
from .queues import Queue
from .record import Record
from .schema_topic import SchemaTopic
from .topic_trial import TopicTrial

_BATCH = 200  # records handed to librdkafka before callbacks are served and other threads get the interpreter
_POLL_S = 0.02
_IDLE_S = 0.5
_MOMENT_S = 0.001
_QUIET_S = 30.0
# When the oldest has had no answer for so long, a partition may stand still: then each record is a group of its own, so
# that those of other partitions are acknowledged. For these there is the other half of the room for what is on its way.
_PATIENCE_S = 2.0
_log = logging.getLogger("headrace.producer")
_REFUSED_FOR_GOOD = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.POLICY_VIOLATION,
    }
)

ProducerFactory = Callable[[Mapping[str, Any]], Any]


class Shipper:
    """Delivers a queue's records. step() does what can be done at once; run() is a thread's main loop around it."""

    def __init__(
        self,
        *,
        queue: Queue,
        config: Mapping[str, Any],
        make_producer: ProducerFactory,
        on_refused: Callable[[Letter], None],
        in_flight_records_max: int,
        drain_timeout_s: float = 10.0,
        topic_retry_s: float = 5.0,
        idle_s: float = _IDLE_S,
        monotonic: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._config, self._delivery_timeout_s = settled(config)
        self._make_producer = make_producer
        self._on_refused = on_refused
        self._in_flight_max = in_flight_records_max
        self._drain_timeout_s = drain_timeout_s
        self._idle_s = idle_s
        self._monotonic = monotonic
        self._producer: Any = None
        self._failed: str | None = None
        self._highest = -1  # the highest position handed to librdkafka so far
        self._single_until = -1  # up to this position records go in batches of one
        self._single = False  # whether the present producer sends them so
        self._held: list[Place] = []  # read, but not taken by a full librdkafka
        self._parking = Parking(
            retry_s=topic_retry_s,
            trial=TopicTrial(make_producer, self._config),
            on_failed=self._topic_failed,
            on_delivered=lambda position: self._acknowledge([position]),
            monotonic=monotonic,
        )
        self._in_flight = InFlight()
        self._schemas = SchemaTopic()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self.idle = False  # whether it sleeps until nudge()
        self._quiet_until = float("-inf")
        self._stop = False
        self.stopped = False
        self.acked = 0
        self.restarts = 0
        self.delivered_to = 0
        self.last_error: str | None = None

    @property
    def schemas_failed(self) -> int:
        """How many schemas could not be published."""
        return self._schemas.failed

    # --- called by the emitting side ---

    def nudge(self) -> None:
        """Wake the shipper if it sleeps. Takes no lock that Python code could hold: safe in signal handlers."""
        if self.idle:
            self.idle = False  # one token is enough, however many events come before the shipper is up
            self._wake.put(None)

    def stop(self) -> None:
        """Ask the loop to end; it does so within a fraction of a second, delivered or not."""
        self._stop = True
        self._wake.put(None)

    # --- the shipper's own thread ---

    def run(self, done: Callable[[], bool] = lambda: False) -> None:
        """Ship until stop(), or until `done`. Whatever goes wrong is kept in `last_error` and tried again."""
        while not self._stop and not done():
            if not self.advance():
                self._wait()
        self._drop_producer()
        self._parking.let_go()
        self.stopped = True

    def advance(self) -> bool:
        """Do one step; an error is kept and logged, never raised. Return whether any record was handed over."""
        try:
            self._queue.tend()
            return self.step()
        except Exception as error:  # noqa: BLE001 - a shipper that dies would lose everything queued behind it
            self._stumbled(error)
            return False

    def step(self) -> bool:
        """Do what can be done at once: recover, hand over records, serve callbacks. Return whether to go on at once."""
        if self._failed is not None and self._producer is not None:
            self._recover()
        if self._producer is None:
            self._start_producer()
        now = self._monotonic()
        waited_s = self._in_flight.waited_s(now)
        if waited_s > self._delivery_timeout_s:
            self._failed = self._noted(f"delivery failed, trying again: no answer in {self._delivery_timeout_s:g} s")
            return True
        alone = waited_s > _PATIENCE_S
        try:
            handed = self._ship(self._next_batch(alone=alone), now, alone=alone)
        except BaseException as error:
            self._failed = self._failed or f"shipping was interrupted: {type(error).__name__}"
            raise
        finally:
            self._in_flight.close()
        self._poll(0)
        self.delivered_to = self._queue.lowest_unacked()
        return handed

    def _next_batch(self, *, alone: bool) -> list[Place]:
        """Return what comes next: held back records, parked ones whose time has come, else new ones."""
        if self._held:
            batch, self._held = self._held, []
            return batch
        on_their_way = self._in_flight.topics
        back = self._parking.due(on_their_way)
        if back or self._parking.full:
            return back
        room = (self._in_flight_max if alone else (self._in_flight_max + 1) // 2) - sum(on_their_way.values())
        return self._queue.read(min(_BATCH, room)) if room > 0 else []

    def _ship(self, batch: list[Place], now: float, *, alone: bool) -> bool:
        """Hand a batch to librdkafka; return whether any record was taken. The loop is the shipper's hot path."""
        taken = False
        produce, in_flight = self._producer.produce, self._in_flight
        published, parked = self._schemas.published, self._parking.until
        reports: dict[str, Report] = {}
        if batch:
            self._highest = max(self._highest, batch[-1][0])  # those that are held back will follow
        for index, place in enumerate(batch):
            position, record = place
            topic, key, value, timestamp_ms, _, schema_text, _ = record
            if topic in parked:
                self._parking.park(place)
                continue
            if 0 <= self._single_until < position:
                # The refused batch is through: once nothing is on its way, a new producer makes full batches again.
                self._held = batch[index:]
                if not taken and not any(in_flight.topics.values()):
                    self._failed = "back to full batches"
                    self._single_until = -1
                return taken
            if schema_text not in published:
                self._schemas.publish(self._producer, record)
            report = reports.get(topic)
            if report is None or alone:
                report = reports[topic] = in_flight.open(topic, now)
            try:
                produce(topic, value, key, -1, report, None, timestamp_ms)  # keywords would cost more than the call
            except BufferError:
                self._held = batch[index:]
                return taken
            except KafkaException as error:
                self._undelivered(position, record, error.args[0])
                if self._failed is not None:
                    return True
                continue
            report.group.places.append(place)
            taken = True
        return taken

    def _poll(self, timeout_s: float) -> None:
        """Serve reports and what else librdkafka has to say."""
        try:
            if self._producer.poll(timeout_s):
                forks.answered(self._producer)
        except BaseException as error:
            if not isinstance(error, KafkaException):  # which is a fatal error of its own, and ends no report
                self._in_flight.distrust()
                self._failed = self._failed or "a report of a delivery was interrupted"
            raise
        finally:
            self._settle()

    def _settle(self) -> None:
        """Look at the failures that were reported, and acknowledge what is delivered."""
        in_flight = self._in_flight
        while in_flight.failures:
            group, error, message = in_flight.failures.popleft()
            place = group.fail(message.key(), message.value())
            if place is None:
                group.fail_all()
                self._fail(error)
            else:
                self._undelivered(*place, error)
        for group in in_flight.settled():
            self._acknowledge(group.delivered())

    def _acknowledge(self, positions: list[int]) -> None:
        self._queue.ack_all(positions)
        self.acked += len(positions)

    def _undelivered(self, position: int, record: Record, error: KafkaError) -> None:
        """Decide what a failed delivery means: park the topic, send singly, drop the record, or start over."""
        code = error.code()
        if code in TOPIC_ERRORS:
            self._parking.park((position, record))
            self._parking.shut(record.topic, error)
        elif code not in _REFUSED_FOR_GOOD:
            self._fail(error)
        elif self._single:
            self._noted(f"topic {record.topic}: an event was refused for good and dropped: {error.str()}")
            letter = refused(record, f"{error.name()}: {error.str()}")
            self._queue.refused(position, letter)
            self._on_refused(letter)
            self._queue.ack(position)
        else:
            self._single_until = self._highest
            self._fail(error)

    def _topic_failed(self, topic: str, error: KafkaError) -> None:
        self._noted(f"topic {topic}: {error.str()}; its events wait in the queue")

    def _fail(self, error: KafkaError) -> None:
        if self._failed is not None:
            return  # what comes of it, such as the reports of what is purged, is no news
        self._failed = self._noted(f"delivery failed, trying again: {error.name()}: {error.str()}")

    def _stumbled(self, error: Exception) -> None:
        self._failed = self._noted(f"shipping failed, trying again: {type(error).__name__}: {error}")

    def _noted(self, text: str) -> str:
        """Keep an error for counts(), and log it, but not more than once in a while: outages last."""
        self.last_error = text
        now = self._monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + _QUIET_S
            _log.warning("headrace: %s", text)
        return text

    def _recover(self) -> None:
        """End the failed producer and go back to the lowest record that is not acknowledged."""
        producer, deadline = self._producer, self._monotonic() + self._drain_timeout_s
        producer.purge(in_queue=True, in_flight=False, blocking=True)
        while len(producer) and self._monotonic() < deadline and not self._stop:
            self._poll(_POLL_S)
        if len(producer):
            # Their fate stays unknown: sent again, they may come twice, with the same event id.
            producer.purge(in_queue=True, in_flight=True, blocking=True)
            self._poll(0)
        self._drop_producer()
        self._queue.rewind()
        self._held, self._in_flight = [], InFlight()
        self._parking.forget()
        self._failed = None
        self.restarts += 1

    def _start_producer(self) -> None:
        config = dict(self._config)
        self._single = self._single_until >= 0
        if self._single:
            config |= SINGLY
        self._schemas.begin()
        producer = self._make_producer(config | {"error_cb": self._noticed, "delivery.report.only.error": True})
        forks.hold(producer)  # before anything else refers to it: a fork may come at any moment
        self._producer = producer
        self._failed = None

    def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaException):
                producer.purge(in_queue=True, in_flight=True, blocking=False)
            forks.release(producer)

    def _noticed(self, error: KafkaError) -> None:
        """Take an error that belongs to no record: kept for counts(); a fatal one ends the producer."""
        self.last_error = f"{error.name()}: {error.str()}"
        if error.fatal():
            self._fail(error)

    def _wait(self) -> None:
        """Wait for something to do: callbacks while records are on their way, else the next append."""
        if self._producer is None:
            self._sleep(_IDLE_S)  # it could not be made
            return
        if any(self._in_flight.topics.values()) or self._held or self._parking:
            try:
                self._poll(_POLL_S)
            except Exception as error:  # noqa: BLE001 - fatal errors are raised here too; this thread must live
                self._stumbled(error)
            return
        self.idle = True
        try:
            # Looked at after the flag is up: an append before it is seen here, one after it nudges.
            self._sleep(self._idle_s if self._queue.depth()[0] == 0 else _MOMENT_S)
        finally:
            self.idle = False

    def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(Empty):
            self._wake.get(timeout=seconds)
