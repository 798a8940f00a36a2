"""The session fixture gives what tests of other parts rely on."""

import pytest
from confluent_kafka import Consumer, Producer
from servers import Servers

pytestmark = pytest.mark.servers


def test_a_record_produced_to_a_new_topic_is_consumed(servers: Servers) -> None:
    """A new topic takes a record with acks=all and gives it back."""
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
    assert servers.store_url != servers.store_url


def test_many_buckets_take_objects(servers: Servers) -> None:
    """Objects can be written into each of 40 buckets: the S3 server does not run out of volumes."""
    s3 = servers.s3()
    for _ in range(40):
        bucket = servers.new_bucket()
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
