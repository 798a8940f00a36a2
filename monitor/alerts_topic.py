"""The topic of alerts, which says what was told: events are sent through an EventLog, and read back from the tail.

Whoever begins, and whoever is about to tell something, reads first what was told: so no worker says again what another
said before it crashed, or before its partitions were moved.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from headrace.producer import EventLog
from headrace.schemas.errors import SchemaError
from headrace.schemas.frame import Decoder

from .alerts_event import Told, event_of, told_of

RECORDS_MAX = 100_000
"""So many of the newest records are read at the start. An alert that fires is in there again with each still_firing."""
READ_S = 30.0
POLL_S = 0.02
REQUEST_TIMEOUT_S = 10.0
DELIVERY_S = 30.0
PAUSE_S = 0.25
_PASSING = frozenset({
    *(KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.REQUEST_TIMED_OUT),
    *(KafkaError.NETWORK_EXCEPTION, KafkaError.REPLICA_NOT_AVAILABLE, KafkaError.BROKER_NOT_AVAILABLE),
    *(KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN),
})  # fmt: skip
"""What a new topic, a broker that restarts, or a leader that moves answers for a while."""
_SETTINGS = {
    "group.id": "headrace-alerts",  # required by the client; nothing is ever committed to it
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "allow.auto.create.topics": False,
    "auto.offset.reset": "earliest",
    "queued.max.messages.kbytes": 8192,
}


class AlertsUnusable(RuntimeError):
    """The topic of alerts cannot be read or written: a monitor that does not know what it told must not go on."""


class Record(Protocol):
    """What remembers what was told: AlertTopic, or a list in a test."""

    def read(self) -> list[Told]:
        """Return what was told since the last call, by whoever, oldest first; at the first call the newest there is."""

    def tell(self, news: Sequence[Told]) -> None:
        """Keep it; return when it is safe. Raises AlertsUnusable."""

    def close(self) -> None:
        """Let go of it."""


class AlertTopic:
    """The topic in one cluster. `kafka`: librdkafka's settings for reading; `log`: an EventLog that sends to `topic`.

    May be used by several threads.
    """

    def __init__(
        self,
        log: EventLog,
        kafka: Mapping[str, Any],
        topic: str,
        decoder: Decoder,
        *,
        monotonic: Callable[[], float],
        make_consumer: Callable[[dict[str, Any]], Any] = Consumer,
    ) -> None:
        self._make_consumer = make_consumer
        self._log = log
        self._config = {"log_level": 0, "error_cb": lambda _error: None, **kafka, **_SETTINGS}
        self._topic = topic
        self._decoder = decoder
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._next: dict[int, int] = {}
        self._closed = threading.Event()

    def read(self) -> list[Told]:
        """See Record. A record that is no alert event is passed over: anybody may write to a topic."""
        with self._lock:
            deadline = self._monotonic() + READ_S
            while True:
                consumer = self._make_consumer(dict(self._config))
                try:
                    return self._read(consumer, deadline)
                except KafkaException as error:
                    reason: KafkaError = error.args[0]
                    if reason.code() not in _PASSING or self._monotonic() > deadline or self._closed.is_set():
                        text = f"reading what was told from topic {self._topic}: {reason.str()}"
                        raise AlertsUnusable(text) from error
                finally:
                    consumer.close()
                self._closed.wait(PAUSE_S)

    def tell(self, news: Sequence[Told]) -> None:
        """See Record."""
        for each in news:
            if not self._log.emit(event_of(each)):
                dropped = ", ".join(f"{reason} {count}" for reason, count in self._log.counts().dropped.items())
                raise AlertsUnusable(
                    f"alert {each.transition.rule} was not accepted for topic {self._topic} ({dropped or 'closed'}); "
                    f"it is told after a restart"
                )
        if not self._log.flush(DELIVERY_S):
            raise AlertsUnusable(
                f"{len(news)} alerts were not acknowledged by topic {self._topic} within {DELIVERY_S:g} s. Is Kafka "
                f"there, and may this user write to the topic? They are told after a restart"
            )

    def close(self) -> None:
        """See Record."""
        self._closed.set()
        self._log.close()

    def _read(self, consumer: Any, deadline: float) -> list[Told]:
        known = consumer.list_topics(self._topic, REQUEST_TIMEOUT_S).topics.get(self._topic)
        if known is not None and known.error is not None and known.error.code() in _PASSING:
            raise KafkaException(known.error)
        if known is None or known.error is not None:
            raise AlertsUnusable(
                f"topic {self._topic} does not exist, or this user may not see it; create it with `kafka-topics.sh "
                f"--create --topic {self._topic}`, one partition is enough"
            )
        places, ends = dict(self._next), dict[int, int]()
        for number in known.partitions:
            low, high = consumer.get_watermark_offsets(KafkaPartition(self._topic, number), REQUEST_TIMEOUT_S)
            start = max(low, high - RECORDS_MAX // len(known.partitions))
            if places.get(number, start) > high:  # the topic was made anew
                places[number] = start
            if places.setdefault(number, start) < high:
                ends[number] = high
        found = self._consume(consumer, places, ends, deadline) if ends else []
        self._next = places  # only now: what was read before a failure is read again
        return found

    def _consume(self, consumer: Any, places: dict[int, int], ends: Mapping[int, int], deadline: float) -> list[Told]:
        consumer.assign([KafkaPartition(self._topic, number, places[number]) for number in ends])
        left: set[int] = set(ends)
        found: list[Told] = []
        while left:
            if self._monotonic() > deadline:
                raise AlertsUnusable(f"topic {self._topic} could not be read to its end within {READ_S:g} s")
            for message in consumer.consume(1000, POLL_S):
                error, number = message.error(), message.partition() or 0
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                after = (message.offset() or 0) + (error is None)
                places[number] = max(places[number], after)
                if after >= ends[number]:
                    left.discard(number)
                if error is None and (told := self._told(message)) is not None:
                    found.append(told)
        return found

    def _told(self, message: Message) -> Told | None:
        try:
            return told_of(self._decoder.decode(message.value() or b""))
        except (SchemaError, KeyError, TypeError, ValueError):
            return None
