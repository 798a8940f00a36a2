"""Looks topics up and makes them, with bounded waits and errors that say what to do. Not used by emit()."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from .errors import KafkaUnreachable, UnknownTopic


def _admin(kafka: str) -> AdminClient:
    # What librdkafka would log while it cannot connect is in the error that is raised; log_level 0 keeps stderr clean.
    return AdminClient({"bootstrap.servers": kafka, "log_level": 0})


def partitions_of(kafka: str, topic: str, *, timeout_s: float = 5.0) -> int:
    """Return how many partitions a topic has; raise KafkaUnreachable or UnknownTopic. Never creates the topic."""
    try:
        topics = _admin(kafka).list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        raise _unreachable(kafka, f"looking up topic {topic}", timeout_s, error) from error
    if topic not in topics:
        raise UnknownTopic(
            f"topic {topic} does not exist on {kafka}; create it with `kafka-topics.sh --create --topic {topic}` or "
            f"let `headrace produce --create-topic PARTITIONS` do it"
        )
    return len(topics[topic].partitions)


def create_topic(
    kafka: str, topic: str, partitions: int, *, config: Mapping[str, str] | None = None, timeout_s: float = 5.0
) -> bool:
    """Create a topic with the cluster's default replication; return False if it is there already.

    Raises KafkaUnreachable when no broker answers, ValueError when the brokers refuse the topic.
    """
    request = NewTopic(topic, num_partitions=partitions, replication_factor=-1, config=dict(config or {}))
    admin = _admin(kafka)  # kept until the answer is there: its end would end the request
    future = admin.create_topics([request], request_timeout=timeout_s)[topic]
    try:
        future.result(timeout=timeout_s + 1)
    except TimeoutError as error:
        raise _unreachable(kafka, f"creating topic {topic}", timeout_s, error) from error
    except KafkaException as error:
        reason: KafkaError = error.args[0]
        if reason.code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        if reason.code() in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
            raise _unreachable(kafka, f"creating topic {topic}", timeout_s, error) from error
        raise ValueError(f"topic {topic} cannot be created on {kafka}: {reason.str()}") from error
    return True


def _unreachable(kafka: str, doing: str, timeout_s: float, error: Any) -> KafkaUnreachable:
    reason = error.args[0].str() if isinstance(error, KafkaException) else "no answer"
    return KafkaUnreachable(
        f"{doing}: no broker answered at {kafka} within {timeout_s:g} s ({reason}). Is Kafka running there? "
        "`headrace local up` starts one on this machine"
    )
