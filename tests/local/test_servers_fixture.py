"""The session fixture gives what tests of other parts rely on."""

import pytest
from confluent_kafka import Consumer, Producer
from servers import Servers

pytestmark = pytest.mark.servers


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


def test_names_differ_each_time(servers: Servers) -> None:
    """Topics, buckets, prefixes and store addresses are never handed out twice."""
    assert servers.new_topic() != servers.new_topic()
    assert servers.new_bucket() != servers.new_bucket()
    assert servers.new_prefix() != servers.new_prefix()
    assert len({servers.store_url, servers.store_url}) == 2


def test_more_buckets_than_the_default_has_volumes_take_objects(servers: Servers) -> None:
    """Each of 12 new buckets takes an object, where SeaweedFS by itself would be out of volumes after 8."""
    for number in range(12):
        bucket = servers.new_bucket()
        servers.s3().put_object(Bucket=bucket, Key="k", Body=str(number).encode())
        assert servers.s3().get_object(Bucket=bucket, Key="k")["Body"].read() == str(number).encode()
