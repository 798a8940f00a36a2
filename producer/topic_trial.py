"""Tries with one record whether a topic may be written again, on a producer of its own.

A topic that may be seen but not written is refused by the broker at the record, and that ends the shipper's producer:
it has promised to leave no gap. So such a topic is tried beside it: this producer has promised nothing, sends a record
once, and lives only while a topic is denied. Only the topic's first record is tried, and nothing else of the topic is
on its way, so that order holds.
"""

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from . import forks
from .in_flight import Place

_OF_ITS_OWN = {"enable.idempotence": False, "enable.gapless.guarantee": False, "message.send.max.retries": 0}


class TopicTrial:
    """One record at a time. All is called by one thread; poll() serves the answers."""

    def __init__(self, make_producer: Callable[[Mapping[str, Any]], Any], config: Mapping[str, Any]) -> None:
        self._make_producer = make_producer
        self._config = {**config, **_OF_ITS_OWN}
        self._producer: Any = None
        self._topic: str | None = None
        self._answer: tuple[Place, KafkaError | None] | None = None

    @property
    def running(self) -> bool:
        """Whether a record is on its way, or its answer has not been fetched."""
        return self._topic is not None

    def begin(self, place: Place) -> KafkaError | None:
        """Send a record, or return at once why the client itself refuses it."""
        if self._producer is None:
            producer = self._make_producer(self._config)
            forks.hold(producer)
            self._producer = producer
        topic, key, value, timestamp_ms, *_ = place[1]
        self._answer = None
        report = functools.partial(self._reported, place)
        try:
            self._producer.produce(topic, value, key, -1, report, None, timestamp_ms)
        except KafkaException as error:
            self.drop()  # a client that was refused a topic may go on refusing it by itself: the next one asks anew
            found: KafkaError = error.args[0]
            return found
        self._topic = topic
        return None

    def fetch(self) -> tuple[Place, KafkaError | None] | None:
        """Return the record that was tried, with what went wrong, if there is an answer by now; each once."""
        if self._topic is None:
            return None
        if self._producer.poll(0):
            forks.answered(self._producer)
        answer = self._answer
        if answer is not None:
            self._topic = self._answer = None
        return answer

    def drop(self) -> None:
        """Let go of the producer, and of a record that is on its way: its fate stays unknown."""
        producer, self._producer = self._producer, None
        self._topic = self._answer = None
        if producer is not None:
            with contextlib.suppress(KafkaException):
                producer.purge(in_queue=True, in_flight=True, blocking=False)
            forks.release(producer)

    def _reported(self, place: Place, error: KafkaError | None, _: object) -> None:
        if self._topic == place[1].topic:
            self._answer = place, error
