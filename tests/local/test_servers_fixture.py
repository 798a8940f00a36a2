"""The session fixture gives what tests of other parts rely on."""

import fcntl
import random
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from servers import Servers, sweep

from headrace.local.state import State


def test_what_a_killed_session_left_is_removed_and_a_living_sessions_is_not(tmp_path: Path) -> None:
    """A folder whose owner is dead goes, with its instance; one whose lock is held stays as it is."""
    for name in ("headrace-test-dead", "headrace-test-alive"):
        (tmp_path / name / "i").mkdir(parents=True)
        (tmp_path / name / "owner").touch()
        State.fresh(random.Random()).save(tmp_path / name / "i")
    with (tmp_path / "headrace-test-alive" / "owner").open() as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["headrace-test-alive"]
    assert State.load(tmp_path / "headrace-test-alive" / "i") is not None


@pytest.mark.servers
def test_a_record_produced_to_a_new_topic_is_consumed(servers: Servers) -> None:
    """A new topic takes a record with acks=all, and a consumer group gets it."""
    topic = servers.new_topic(partitions=3)
    producer = Producer({"bootstrap.servers": servers.kafka, "acks": "all"})
    producer.produce(topic, b"value", b"key")
    assert producer.flush(10) == 0
    consumer = Consumer({"bootstrap.servers": servers.kafka, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None
    assert (message.key(), message.value()) == (b"key", b"value")


@pytest.mark.servers
def test_names_differ_each_time(servers: Servers) -> None:
    """Topics, buckets, prefixes and store addresses are never handed out twice."""
    assert servers.new_topic() != servers.new_topic()
    assert servers.new_bucket() != servers.new_bucket()
    assert servers.new_prefix() != servers.new_prefix()
    assert len({servers.store_url, servers.store_url}) == 2


@pytest.mark.servers
def test_more_buckets_than_the_default_has_volumes_take_objects(servers: Servers) -> None:
    """Each of 12 new buckets takes an object, where SeaweedFS by itself would be out of volumes after 8."""
    for number in range(12):
        bucket = servers.new_bucket()
        servers.s3().put_object(Bucket=bucket, Key="k", Body=str(number).encode())
        assert servers.s3().get_object(Bucket=bucket, Key="k")["Body"].read() == str(number).encode()
