"""The shipper's account of what a producer was given, and what a real producer reports to it."""

import logging

import pytest
from confluent_kafka import KafkaError
from servers import Servers

from headrace.producer.kafka_settings import connect, producer_config
from headrace.producer.record import Record
from headrace.producer.window import Window


def record(value: bytes, topic: str = "t") -> Record:
    return Record(topic, b"k", value, 5, 1, "schema")


def window_of(*values: bytes) -> Window:
    made = Window()
    made.records += [(position, record(value)) for position, value in enumerate(values, 100)]
    return made


def test_what_did_not_fail_was_delivered() -> None:
    """Once the producer is empty, all but the reported failures are delivered; then a new account begins."""
    window = window_of(b"a", b"b", b"c")
    assert window.fail("t", b"b") == (101, record(b"b"))
    assert window.empty() == [100, 102]
    assert (len(window), window.empty()) == (0, [])
    window.records.append((101, record(b"b")))
    assert window.empty() == [101]


def test_records_given_after_a_failure_are_found_too() -> None:
    """Failures are reported while records are still being handed over."""
    window = window_of(b"a")
    assert window.fail("t", b"a") == (100, record(b"a"))
    window.records.append((101, record(b"b")))
    assert window.fail("t", b"b") == (101, record(b"b"))
    assert window.empty() == []


def test_equal_records_fail_one_by_one() -> None:
    """Each report is of one record; what is not of this window is nobody."""
    window = window_of(b"a", b"a", b"a")
    assert [window.fail("t", b"a"), window.fail("t", b"a")] == [(100, record(b"a")), (101, record(b"a"))]
    assert window.fail("other", b"a") is None
    assert window.fail("t", b"z") is None
    assert window.empty() == [102]


@pytest.mark.servers
def test_a_real_producer_reports_failures_only_and_is_empty_when_all_are_told(servers: Servers) -> None:
    """What the shipper relies on: with delivery.report.only.error no success is reported, a failure comes with the
    record's topic and value, purged records are reported as failed, and len() is 0 only after all reports."""
    topic = servers.new_topic(config={"max.message.bytes": "5000"})
    reports: list[tuple[str, str, bytes]] = []
    told = {
        "on_delivery": lambda error, message: reports.append((error.name(), message.topic(), message.value())),
        "delivery.report.only.error": True,
        "compression.type": "none",
        "batch.num.messages": 1,
    }
    producer = connect(producer_config("web", servers.kafka) | told)
    large = b"x" * 6000
    for value in (b"one", large, b"three"):
        producer.produce(topic, value, None, -1, None, None, 1_700_000_000_000)
    while len(producer):
        producer.poll(0.1)
    assert reports == [(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE).name(), topic, large)]
    assert producer.list_topics(topic, 5).topics[topic].error is None
    missing = producer.list_topics(topic + "-missing", 5).topics[topic + "-missing"].error
    assert missing is not None
    assert missing.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    reports.clear()
    producer.produce(topic, b"four", None, -1, None, None, 0)
    producer.purge(in_queue=True, in_flight=True, blocking=True)
    while len(producer):
        producer.poll(0.1)
    assert [(name, value) for name, _, value in reports] in (
        [("_PURGE_QUEUE", b"four")],
        [("_PURGE_INFLIGHT", b"four")],
    )


def test_what_librdkafka_tries_again_at_once_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A producer id that comes at the second try is no news; other lines are the app's to see."""
    logger = producer_config("web", "x:1")["logger"]
    with caplog.at_level(logging.INFO, logger="headrace.producer"):
        logger.warning("GETPID [web#producer-1] Failed to acquire idempotence PID from broker x:1: _DESTROY: retrying")
        logger.error("FAIL [web#producer-1] x:1: Connect to ipv4#127.0.0.1:1 failed: Connection refused")
    assert [line.getMessage()[:4] for line in caplog.records] == ["FAIL"]
