"""The topic of published schemas: compacted, key = the 8-byte fingerprint, value = the schema's JSON text.

Readers of Kafka (the archiver, consumers of teams that do not share a repository) find a writer's schema here. Event
logs publish what they use; CI publishes a whole folder before the code that uses it is out.
"""

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from .errors import KafkaUnreachable
from .schema_topic import SCHEMAS_TOPIC
from .topics import NO_CONFIG, create_topic, partitions_of

_TOPIC_CONFIG = {"cleanup.policy": "compact"}


def publish(
    kafka: str,
    texts: Mapping[bytes, str],
    *,
    topic: str = SCHEMAS_TOPIC,
    timeout_s: float = 5.0,
    kafka_config: Mapping[str, Any] = NO_CONFIG,
) -> bool:
    """Publish schema texts by fingerprint, making the topic (one partition, compacted) if needed.

    Returns whether the topic was made. Raises KafkaUnreachable when not all are acknowledged in time, ValueError when
    the brokers refuse the topic.
    """
    created = create_topic(kafka, topic, 1, config=_TOPIC_CONFIG, timeout_s=timeout_s, kafka_config=kafka_config)
    failed: list[str] = []

    def delivered(error: KafkaError | None, _: object) -> None:
        if error is not None:
            failed.append(error.str())

    producer = Producer(
        {
            **kafka_config,
            "bootstrap.servers": kafka,
            "enable.idempotence": True,
            "delivery.timeout.ms": int(timeout_s * 1000),
            "log_level": 0,
        }
    )
    for fingerprint, text in texts.items():
        producer.produce(topic, key=fingerprint, value=text.encode(), on_delivery=delivered)
    left = producer.flush(timeout_s + 1)
    if failed or left:
        raise KafkaUnreachable(
            f"publishing {len(texts)} schemas to {topic} on {kafka}: {len(failed) + left} were not acknowledged "
            f"({failed[0] if failed else 'no answer'}); run it again, nothing is doubled by that"
        )
    return created


def read_published(
    kafka: str, *, topic: str = SCHEMAS_TOPIC, timeout_s: float = 5.0, kafka_config: Mapping[str, Any] = NO_CONFIG
) -> list[tuple[bytes, str]]:
    """Return what is published, oldest first: (fingerprint, text). Keys that are no fingerprint are passed over.

    Raises UnknownTopic when nothing was ever published, KafkaUnreachable when it cannot be read in time.
    """
    partitions = partitions_of(kafka, topic, timeout_s=timeout_s, kafka_config=kafka_config)
    consumer = Consumer(
        {
            **kafka_config,
            "bootstrap.servers": kafka,
            "group.id": "headrace-schema-check",  # librdkafka wants one; nothing is committed under it
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
        return list(_read_to_end(consumer, partitions, kafka, topic, timeout_s))
    except KafkaException as error:
        raise KafkaUnreachable(f"reading {topic} on {kafka}: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _read_to_end(consumer: Any, partitions: int, kafka: str, topic: str, timeout_s: float) -> list[tuple[bytes, str]]:
    found: list[tuple[bytes, str]] = []
    ended: set[int] = set()
    deadline = time.monotonic() + timeout_s
    while len(ended) < partitions:
        if time.monotonic() > deadline:
            raise KafkaUnreachable(f"reading {topic} on {kafka}: not at its end after {timeout_s:g} s")
        message = consumer.poll(0.2)
        if message is None:
            continue
        error = message.error()
        if error is None:
            key, value = message.key(), message.value()
            if key is not None and len(key) == 8 and value is not None:
                found.append((key, value.decode("utf-8", "replace")))
        elif error.code() == KafkaError._PARTITION_EOF:
            ended.add(message.partition())
        else:
            raise KafkaException(error)
    return found
