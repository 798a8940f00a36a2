"""What the client says twice of an offset that is gone reaches the worker once: twice, it would be a truncation."""

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, Message

from headrace.archiver.clock import SystemClock
from headrace.archiver.kafka_source import KafkaSource, consumer_config
from headrace.archiver.source import OffsetLost, TopicPartition

WHERE = TopicPartition("t", 0)


def said(offset: int) -> tuple[Message, KafkaError]:
    """Return the client's word that an offset is out of range."""
    error = KafkaError(KafkaError._AUTO_OFFSET_RESET, "fetch failed due to requested offset not available")
    message: Any = SimpleNamespace(topic=lambda: WHERE.topic, partition=lambda: WHERE.partition, offset=lambda: offset)
    return cast("Message", message), error


@pytest.fixture
def source() -> KafkaSource:
    """A source without a broker: nothing is asked of one here."""
    config = consumer_config("127.0.0.1:1", "g", instance_id=None, queue_kb_max=1024) | {"log_level": 0}
    return KafkaSource(config, ["t"], cast("Any", None), clock=SystemClock(threading.Event()), warn=lambda _text: None)


def test_it_is_told_once_until_reading_is_begun_again(source: KafkaSource) -> None:
    """Two in one poll are one; after reading was begun elsewhere a further one is news."""
    assert [type(each) for each in source._problem(*said(0))] == [OffsetLost]
    assert source._problem(*said(0)) == []
    source._told_lost.discard(WHERE)  # as _assign() does, which needs a broker
    source._starts[WHERE] = 15
    assert source._problem(*said(0)) == [], "it lies before where reading was begun"
    assert [type(each) for each in source._problem(*said(15))] == [OffsetLost]
