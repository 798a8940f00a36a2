"""What sessions said of their events in the last hour: the newest audit events, read from Kafka's audit topic.

Read on at each look, so that a watcher pays for what is new only. Bounded in records and time: it is a look at the
newest, and the exact audit is `headrace verify TOPIC --audit`. Nothing of an event but these counts is kept.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from headrace.schemas.errors import SchemaError
from headrace.schemas.frame import Decoder

from .whole import CLOSED_FOR_US, Account

WINDOW_MS = 3_600_000
RECORDS_MAX = 20_000
ACCOUNTS_MAX = 10_000
READ_S = 3.0
POLL_S = 0.5
REQUEST_TIMEOUT_S = 5.0
_SETTINGS = {
    "group.id": "headrace-lag",  # required by the client; nothing is ever committed to it
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "allow.auto.create.topics": False,
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
    "queued.max.messages.kbytes": 8192,
}


class AuditTail:
    """Reads one cluster's audit topic. `decoder` reads its events; `monotonic()` is seconds."""

    def __init__(
        self, kafka: Mapping[str, Any], topic: str, decoder: Decoder, *, monotonic: Callable[[], float]
    ) -> None:
        self._config = {"log_level": 0, "error_cb": lambda _error: None, **kafka, **_SETTINGS}
        self._topic = topic
        self._decoder = decoder
        self._monotonic = monotonic
        self._next: dict[int, int] = {}
        self._accounts: dict[tuple[bytes, bytes, str], Account] = {}

    def accounts(self, partitions: int, now_ms: int) -> tuple[Account, ...]:
        """Return the accounts of the last hour; `partitions`: how many the topic has. Raises KafkaException."""
        if partitions:
            consumer = Consumer(self._config)
            try:
                self._read(consumer, partitions, now_ms)
            finally:
                consumer.close()
        fresh = {key: each for key, each in self._accounts.items() if each.told_ms > now_ms - WINDOW_MS}
        if len(fresh) > ACCOUNTS_MAX:
            newest = sorted(fresh.items(), key=lambda item: -item[1].told_ms)
            fresh = dict(newest[:ACCOUNTS_MAX])
        self._accounts = fresh
        return tuple(fresh.values())

    def _read(self, consumer: Consumer, partitions: int, now_ms: int) -> None:
        asked = [KafkaPartition(self._topic, number, now_ms - WINDOW_MS) for number in range(partitions)]
        if not set(range(partitions)) <= self._next.keys():
            for each in consumer.offsets_for_times(asked, REQUEST_TIMEOUT_S):
                low, high = consumer.get_watermark_offsets(each, REQUEST_TIMEOUT_S)
                start = high if each.offset < 0 else each.offset
                self._next.setdefault(each.partition, max(low, start, high - RECORDS_MAX // partitions))
        consumer.assign([KafkaPartition(self._topic, number, self._next[number]) for number in range(partitions)])
        left, deadline, count = set(range(partitions)), self._monotonic() + READ_S, 0
        while left and count < RECORDS_MAX and self._monotonic() < deadline:
            for message in consumer.consume(1000, POLL_S):
                count += 1
                error, number = message.error(), message.partition() or 0
                if error is None:
                    self._next[number] = (message.offset() or 0) + 1
                    self._take(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(number)
                else:
                    raise KafkaException(error)

    def _take(self, message: Message) -> None:
        try:
            event = self._decoder.decode(message.value() or b"")
            account = account_of(event)
        except (SchemaError, KeyError, TypeError, ValueError):
            return  # not an audit event that this version knows
        self._accounts[event["session_id"], event["about_session"], account.topic] = account


def account_of(event: Mapping[str, Any]) -> Account:
    """Return what an audit event says. Raises KeyError, TypeError or ValueError for another event."""
    at: datetime = event["occurred_at"]
    dropped: dict[str, int] = event["dropped"]
    lost = sum(count for reason, count in dropped.items() if reason in CLOSED_FOR_US)
    return Account(
        topic=str(event["about_topic"]),
        service=str(event["service"]),
        host=str(event["host"]),
        session=event["about_session"].hex(),
        own=event["reporter"] == "OWN",
        closed=bool(event["closed"]),
        in_memory=event["durability"] == "MEMORY",
        told_ms=int(at.timestamp() * 1000),
        accepted=int(event["accepted"]),
        acked=int(event["acked"]),
        waiting=int(event["waiting"]),
        lost=lost,
        refused=sum(dropped.values()) - lost,
        seconds_until_drop=event["seconds_until_drop"],
    )
