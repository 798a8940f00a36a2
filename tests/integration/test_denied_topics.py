"""A topic that a producer may not write to, or that is not there, on a real Kafka whose authorizer is on."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from secured_kafka import SecuredKafka, secured_kafka
from servers import Servers
from worker_slots import wait_until

from headrace.archiver.kafka_acls import Grant
from headrace.producer.kafka_settings import connect, producer_config
from headrace.producer.queues import MemoryQueue
from headrace.producer.record import Record
from headrace.producer.shipper import Shipper

pytestmark = pytest.mark.servers

USER = "User:producer"
RETRY_S = 0.5
_numbers = itertools.count()


@pytest.fixture(scope="module")
def kafka(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    with secured_kafka(tmp_path_factory.mktemp("secured"), servers) as broker:
        yield broker


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


@pytest.mark.parametrize("state", ["denied", "described", "missing"])
def test_it_holds_up_no_other_and_loses_nothing(kafka: SecuredKafka, state: str) -> None:
    """While one topic is missing, or may not be seen, or may be seen but not written, the others flow, and the producer
    is not made again at each try; what is wrong is told with the topic's name. Once it is mended all events arrive, in
    order and once, without a restart of the app."""
    name = f"{state}-{next(_numbers)}"
    good, bad = kafka.new_topic(f"good-{name}"), f"bad-{name}"
    kafka.grant([Grant("Write", "topic", good)], USER)
    if state != "missing":
        kafka.new_topic(bad)
    if state == "described":
        kafka.grant([Grant("Describe", "topic", bad)], USER)
    with running(kafka) as app:
        for number in range(10):
            app.put(number, bad, good)
        wait_until(lambda: app.shipper.acked == 10, "the other topic flows")
        wait_until(lambda: f"topic {bad}" in (app.shipper.last_error or ""), "what is wrong is told")
        wait_for_tries(2)
        restarts = app.shipper.restarts
        wait_for_tries(6)
        for number in range(10, 20):
            app.put(number, bad, good)
        wait_until(lambda: app.shipper.acked == 20, "the other topic still flows")
        assert (app.shipper.restarts, app.queue.depth()[0]) == (restarts, 20)
        assert restarts <= 2  # of a refusal that was not foreseen, and that may come in two halves
        if state == "missing":
            kafka.new_topic(bad)
        kafka.grant([Grant("Write", "topic", bad)], USER)
        wait_until(lambda: app.queue.depth()[0] == 0, "all is delivered")
        assert (app.shipper.acked, app.shipper.restarts) == (40, restarts)
    assert values(kafka, good) == values(kafka, bad) == [b"%04d" % number for number in range(20)]


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
