"""The schemas that a shipper publishes beside the events, best effort: nothing waits for it or fails with it."""

import functools
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from .record import Record

SCHEMAS_TOPIC = "headrace.schemas"


class SchemaTopic:
    """What was published, by one producer after the other."""

    def __init__(self) -> None:
        self.failed = 0
        """How many could not be published."""
        self.published: set[str] = set()
        """The texts that the present producer published, or tried to."""
        self._refused: set[str] = set()

    def begin(self) -> None:
        """Begin anew with a new producer."""
        self.published = set(self._refused)

    def publish(self, producer: Any, record: Record) -> None:
        """Publish the schema of a record."""
        text = record.schema_text
        self.published.add(text)
        if not text:
            return  # of a spool whose copy of it was damaged
        report = functools.partial(self._reported, text)
        try:
            producer.produce(SCHEMAS_TOPIC, value=text.encode(), key=record.fingerprint, on_delivery=report)
        except (BufferError, KafkaException):
            self.failed += 1

    def _reported(self, text: str, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self.failed += 1
            if error.code() > 0:  # by the broker, and so for good: it would end one producer after the other
                self._refused.add(text)
