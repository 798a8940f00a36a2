"""What a producer's brokers say of topics, and the publishing of schemas beside the events.

Asked before librdkafka has any records of a topic: it would keep those of a missing one for seconds, and with them the
acknowledgement of all others (see window.py). When the brokers don't tell, the records are handed over all the same.
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
_METADATA_S = 1.0


class TopicLook:
    """One producer's view of its topics."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._asking = True
        self.there: set[str] = set()
        """Topics that the producer may be given records of."""
        self.published: set[str] = set()
        """The texts of the schemas that this producer published, or tried to."""

    def missing(self, topic: str) -> KafkaError | None:
        """Ask the brokers why a topic cannot be written to; None: it can, or they don't tell within a second."""
        if not self._asking:
            return None
        try:
            error = self._producer.list_topics(topic, _METADATA_S).topics[topic].error
        except (KafkaException, KeyError):
            self._asking = False  # once a producer is enough: it may be an outage
            return None
        return error if error is not None and error.code() in TOPIC_ERRORS else None

    def publish_schema(self, record: Record, on_delivery: Any) -> bool:
        """Publish a type's schema once a producer, best effort: nothing waits for it. Return whether that began."""
        self.published.add(record.schema_text)
        if not record.schema_text:
            return True  # of a spool whose copy of it was damaged
        if self.missing(SCHEMAS_TOPIC) is not None:
            return False
        value, key = record.schema_text.encode(), record.fingerprint
        try:
            self._producer.produce(SCHEMAS_TOPIC, value=value, key=key, on_delivery=on_delivery)
        except (BufferError, KafkaException):
            return False
        return True
