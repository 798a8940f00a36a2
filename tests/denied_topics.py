"""A shipper against a real broker, and what its topics hold: for tests of topics that may not be written."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from secured_kafka import SecuredKafka
from worker_slots import wait_until

from headrace.producer.kafka_settings import connect, producer_config
from headrace.producer.queues import MemoryQueue
from headrace.producer.record import Record
from headrace.producer.shipper import Shipper

RETRY_S = 0.5


class App:
    """A queue and a shipper on a thread of its own, as an event log has them, but less patient."""

    def __init__(self, kafka: SecuredKafka) -> None:
        self.queue = MemoryQueue(queue_records_max=1000, queue_bytes_max=1 << 24)
        self.shipper = Shipper(
            queue=self.queue,
            config=producer_config("web", kafka.scram) | kafka.config("producer"),
            make_producer=connect,
            on_refused=lambda letter: pytest.fail(f"nothing may be given up: {letter}"),
            in_flight_records_max=1000,
            topic_retry_s=RETRY_S,
            monotonic=time.monotonic,
        )

    def put(self, number: int, *topics: str) -> None:
        for topic in topics:
            self.queue.append(Record(topic, b"k", b"%04d" % number, int(time.time() * 1000), number, ""))
            self.shipper.nudge()


@contextmanager
def running(kafka: SecuredKafka) -> Iterator[App]:
    app = App(kafka)
    thread = threading.Thread(target=app.shipper.run)
    thread.start()
    try:
        yield app
    finally:
        app.shipper.stop()
        thread.join()


def wait_for_tries(count: int) -> None:
    """Wait for as long as it takes to try a topic so often."""
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() > begun + count * RETRY_S, "the topic is tried")


def values(kafka: SecuredKafka, topic: str) -> list[bytes | None]:
    """Read a topic of one partition to its end, as the administrator."""
    consumer = kafka.reader(topic)
    found: list[bytes | None] = []
    while True:
        message = consumer.poll(120)
        assert message is not None
        if message.error() is not None:
            consumer.close()
            return found
        found.append(message.value())
