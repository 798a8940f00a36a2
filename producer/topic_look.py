"""What a producer's brokers say of topics, and the publishing of schemas beside the events.

Asked before librdkafka has any records of a topic: it would keep those of a missing one for seconds, and with them the
acknowledgement of all others (see window.py). Until the brokers tell, nothing is handed over: without knowing the
topic's partitions, librdkafka could not send it either.
"""

from typing import Any

from confluent_kafka import KafkaError, KafkaException

from .record import Record

SCHEMAS_TOPIC = "headrace.schemas"
TOPIC_ERRORS = frozenset(
    {
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
    }
)
_ASK_S = 0.1  # short, so that a shipper which is to stop does so soon


class NotTold(Exception):
    """The brokers did not answer; ask again."""


class TopicLook:
    """One producer's view of its topics."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self.there: set[str] = set()
        """Topics that the producer may be given records of."""
        self.published: set[str] = set()
        """The texts of the schemas that this producer published, or tried to."""

    def missing(self, topic: str) -> KafkaError | None:
        """Ask the brokers why a topic cannot be written to; None: it can. Raises NotTold."""
        try:
            error = self._producer.list_topics(topic, _ASK_S).topics[topic].error
        except (KafkaException, KeyError):
            raise NotTold(topic) from None
        return error if error is not None and error.code() in TOPIC_ERRORS else None

    def publish_schema(self, record: Record, on_delivery: Any) -> bool:
        """Publish a type's schema once a producer, best effort: nothing waits for its delivery. Return whether that
        began. Raises NotTold.
        """
        text = record.schema_text
        missing = bool(text) and self.missing(SCHEMAS_TOPIC) is not None
        self.published.add(text)
        if not text or missing:
            return not missing  # without a text, it is of a spool whose copy of it was damaged
        try:
            self._producer.produce(SCHEMAS_TOPIC, value=text.encode(), key=record.fingerprint, on_delivery=on_delivery)
        except (BufferError, KafkaException):
            return False
        return True
