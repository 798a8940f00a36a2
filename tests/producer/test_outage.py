"""What becomes of accepted events when Kafka stops, freezes or dies: on a Kafka of this test's own."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from topic_events import until

from headrace.local import Instance
from headrace.producer import EventLog
from headrace.producer.topics import create_topic
from headrace.schemas import Pin
from headrace.schemas.catalog import builtin
from headrace.schemas.frame import decode

pytestmark = pytest.mark.servers

# Deliveries fail early, so that a short outage goes through what a long one would.
IMPATIENT = {"delivery.timeout.ms": 1500, "request.timeout.ms": 1000, "socket.timeout.ms": 1000}
PARTITIONS = 3


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    made = Instance(tmp_path_factory.mktemp("outage"))
    made.up()
    yield made
    made.down(purge=True)


def read(kafka: str, topic: str) -> dict[int, list[int]]:
    """Return seqs in order of offset, by partition."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": topic, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    found: dict[int, list[int]] = {partition: [] for partition in range(PARTITIONS)}
    ended = 0
    while ended < PARTITIONS:
        message = consumer.poll(120)
        assert message is not None
        error = message.error()
        if error is None:
            value, partition = message.value(), message.partition()
            assert value is not None
            assert partition is not None
            found[partition].append(decode(value, builtin())["seq"])
        else:
            assert error.code() == KafkaError._PARTITION_EOF, error
            ended += 1
    consumer.close()
    return found


@pytest.mark.parametrize("outage", ["frozen", "killed"])
def test_an_outage_loses_nothing_and_keeps_order(instance: Instance, outage: str, tmp_path: Path) -> None:
    """Events emitted before, during and after an outage of twice the delivery timeout all arrive, in order.

    A frozen broker may still have taken what timed out, so an event can come twice (the same event id); its first
    coming is in order all the same.
    """
    kafka = instance.env()["HEADRACE_KAFKA"]
    topic = f"outage-{outage}-{tmp_path.name}"
    create_topic(kafka, topic, PARTITIONS)
    log = EventLog(service="web", kafka=kafka, topic=topic, kafka_config=IMPATIENT)
    stop = threading.Event()
    emitted = 0

    def emit() -> None:
        nonlocal emitted
        while not stop.wait(0.001):
            assert log.emit(Pin(user_id=emitted % 20, pin_id=emitted, action="SAVE"))
            emitted += 1

    thread = threading.Thread(target=emit)
    thread.start()
    try:
        until(lambda: log.counts().acked > 200)
        if outage == "frozen":
            instance.signal_kafka(signal.SIGSTOP)
        else:
            instance.kill_kafka()
        until(lambda: log.counts().restarts >= 1)
    finally:
        if outage == "frozen":
            instance.signal_kafka(signal.SIGCONT)
        else:
            instance.restart_kafka()
    acked = log.counts().acked
    until(lambda: log.counts().acked > acked + 200)
    stop.set()
    thread.join()
    assert log.close(60)
    assert log.counts().dropped == {}
    assert log.counts().acked == log.counts().accepted == emitted
    found = read(kafka, topic)
    assert sorted({seq for seqs in found.values() for seq in seqs}) == list(range(1, emitted + 1))
    for seqs in found.values():
        first = list(dict.fromkeys(seqs))
        assert first == sorted(first)
