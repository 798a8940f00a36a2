"""The producer against a real Kafka."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from servers import Servers

from headrace.producer import EventLog
from headrace.producer.errors import KafkaUnreachable, UnknownTopic
from headrace.producer.published import publish, read_published
from headrace.producer.schema_topic import SCHEMAS_TOPIC
from headrace.producer.topics import create_topic, partitions_of
from headrace.schemas import Error, Login, Pin
from headrace.schemas.catalog import builtin
from headrace.schemas.frame import decode

pytestmark = pytest.mark.servers

NOBODY = "127.0.0.1:1"  # nothing listens there


def murmur2(data: bytes) -> int:
    """Java's org.apache.kafka.common.utils.Utils.murmur2, from its definition, as unsigned 32 bits."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    for index in range(0, len(data) // 4 * 4, 4):
        k = int.from_bytes(data[index : index + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = h * m & mask ^ k
    tail = data[len(data) // 4 * 4 :]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def read(kafka: str, topic: str, partitions: int) -> list[Any]:
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": topic, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    messages, ended = [], 0
    while ended < partitions:
        message = consumer.poll(120)
        assert message is not None
        error = message.error()
        if error is None:
            messages.append(message)
        else:
            assert error.code() == KafkaError._PARTITION_EOF
            ended += 1
    consumer.close()
    return messages


def until(true: Callable[[], bool], timeout_s: float = 180) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_keys_land_where_javas_clients_put_them(servers: Servers) -> None:
    """The partition is Java's murmur2 of the key; one user's events are in one partition, in order."""
    topic = servers.new_topic(partitions=7)
    with EventLog(service="web", kafka=servers.kafka, topic=topic) as log:
        for index in range(1000):
            assert log.emit(Pin(user_id=index % 50, pin_id=index, action="SAVE"))
        assert log.flush(120)
    messages = read(servers.kafka, topic, 7)
    assert len(messages) == 1000
    for message in messages:
        assert message.partition() == (murmur2(message.key()) & 0x7FFFFFFF) % 7
    for user in range(50):
        events = [decode(message.value(), builtin()) for message in messages if message.key() == b"%d" % user]
        assert [event["pin_id"] for event in events] == list(range(user, 1000, 50))


def test_records_carry_key_timestamp_and_frame(servers: Servers) -> None:
    """Key, create time and framed value are as given; an event without a key has a null key."""
    topic = servers.new_topic()
    before = time.time_ns() // 1_000_000
    with EventLog(service="web", kafka=servers.kafka, topic=topic) as log:
        log.emit(Error(level="ERROR", message="nö"))
        log.emit(Login(method="SSO", success=False))
        assert log.flush(120)
    error, login = read(servers.kafka, topic, 1)
    assert (error.key(), login.key()) == (b"web", None)
    kind, timestamp = error.timestamp()
    assert kind == 1
    assert before <= timestamp <= time.time_ns() // 1_000_000
    assert decode(error.value(), builtin())["message"] == "nö"
    assert error.value()[2:10] == Error.FINGERPRINT


def test_schemas_are_published_by_use(servers: Servers) -> None:
    """What an event log used is found in the topic of schemas, by fingerprint, once the topic exists."""
    create_topic(servers.kafka, SCHEMAS_TOPIC, 1, config={"cleanup.policy": "compact"})
    topic = servers.new_topic()
    with EventLog(service="web", kafka=servers.kafka, topic=topic) as log:
        log.emit(Pin(user_id=1, pin_id=1, action="SAVE"))
        assert log.flush(120)
    until(lambda: (Pin.FINGERPRINT, Pin.SCHEMA) in read_published(servers.kafka))


def test_publishing_makes_a_compacted_topic(servers: Servers) -> None:
    """publish() makes the topic once; what it published is read back, oldest first."""
    topic = servers.new_topic() + ".schemas"
    texts = builtin().texts()
    assert publish(servers.kafka, texts, topic=topic)
    assert not publish(servers.kafka, {b"12345678": "{}"}, topic=topic)
    assert read_published(servers.kafka, topic=topic) == [*texts.items(), (b"12345678", "{}")]


def test_a_topic_that_comes_late_gets_all_its_events(servers: Servers) -> None:
    """Events for a missing topic wait while other topics go on, are told of, and arrive in order once it exists."""
    prefix = servers.new_topic() + "."
    servers.new_topic(name=prefix + "error")
    # By default librdkafka believes for 30 s that a topic may still be on its way.
    quick = {"topic.metadata.propagation.max.ms": 500, "topic.metadata.refresh.interval.ms": 1000}
    with EventLog(service="web", kafka=servers.kafka, topic_prefix=prefix, kafka_config=quick) as log:
        for index in range(50):
            log.emit(Pin(user_id=1, pin_id=index, action="SAVE"))
            log.emit(Error(level="INFO", message=str(index)))
        until(lambda: log.counts().acked == 50)
        until(lambda: "pin" in (log.counts().last_error or ""))
        assert not log.flush(0.1)
        assert len(read(servers.kafka, prefix + "error", 1)) == 50
        servers.new_topic(name=prefix + "pin")
        assert log.flush(120)
        assert log.counts().restarts == 0
    pins = [decode(message.value(), builtin())["pin_id"] for message in read(servers.kafka, prefix + "pin", 1)]
    assert pins == list(range(50))


@pytest.mark.parametrize("batch", [10_000, 5], ids=["in-the-last-batch", "in-a-batch-among-many"])
def test_a_record_too_large_for_its_topic_is_dropped_alone(servers: Servers, batch: int) -> None:
    """The broker refuses the batch that holds it; its neighbours are delivered, in order, and the loss is counted: also
    when other batches are on their way behind that one."""
    topic = servers.new_topic(config={"max.message.bytes": "5000"})
    none = {"compression.type": "none", "batch.num.messages": batch, "linger.ms": 20 if batch > 5 else 0}
    with EventLog(service="web", kafka=servers.kafka, topic=topic, kafka_config=none) as log:
        for index in range(300):
            log.emit(Error(level="INFO", message="x" * 8000 if index == 150 else str(index)))
        assert log.flush(120), log.counts()
        assert log.counts().dropped == {"refused": 1}
    messages = [decode(message.value(), builtin())["message"] for message in read(servers.kafka, topic, 1)]
    assert list(dict.fromkeys(messages)) == [str(index) for index in range(300) if index != 150]


def test_nobody_there_costs_the_app_nothing() -> None:
    """With a wrong address emit() accepts up to its bound at once, and close() ends in time, saying what was lost."""
    log = EventLog(service="web", kafka=NOBODY, queue_records_max=10)
    started = time.monotonic()
    assert sum(log.emit(Pin(user_id=1, pin_id=1, action="SAVE")) for _ in range(20)) == 10
    assert time.monotonic() - started < 60
    until(lambda: log.counts().last_error is not None)
    assert not log.close(0.2)
    assert time.monotonic() - started < 60
    assert log.counts().dropped == {"full": 10, "undelivered": 10}


def test_looking_up_topics(servers: Servers) -> None:
    """Partitions of a topic that is there; what to do for one that is not; nothing is created by looking."""
    topic = servers.new_topic(partitions=3)
    assert partitions_of(servers.kafka, topic) == 3
    for _ in range(2):
        with pytest.raises(UnknownTopic, match="create it with"):
            partitions_of(servers.kafka, topic + ".no")
    assert create_topic(servers.kafka, topic + ".new", 2)
    until(lambda: _partitions(servers.kafka, topic + ".new") == 2)
    assert not create_topic(servers.kafka, topic, 5)
    with pytest.raises(ValueError, match="cannot be created"):
        create_topic(servers.kafka, "a b", 1)


def _partitions(kafka: str, topic: str) -> int:
    try:
        return partitions_of(kafka, topic)
    except UnknownTopic:
        return 0


def test_a_wrong_address_is_told_in_bounded_time() -> None:
    """Each outer call says what it was doing and where, after its timeout and no later."""
    calls: list[Callable[[], object]] = [
        lambda: partitions_of(NOBODY, "pin", timeout_s=0.5),
        lambda: create_topic(NOBODY, "pin", 1, timeout_s=0.5),
        lambda: publish(NOBODY, builtin().texts(), timeout_s=0.5),
        lambda: read_published(NOBODY, timeout_s=0.5),
    ]
    for call in calls:
        started = time.monotonic()
        with pytest.raises(KafkaUnreachable, match=NOBODY):
            call()
        assert time.monotonic() - started < 60
