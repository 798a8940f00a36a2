"""Looks topics up and makes them, with bounded waits and errors that say what to do. Not used by emit()."""

from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from headrace.schemas.kafka_trouble import KafkaTrouble

from .errors import KafkaUnreachable, UnknownTopic

NO_CONFIG: Mapping[str, Any] = {}


def _admin(kafka: str, config: Mapping[str, Any], trouble: Callable[[KafkaError], None]) -> AdminClient:
    # What librdkafka would log while it cannot connect is in the error that is raised; log_level 0 keeps stderr clean.
    settings: dict[str, Any] = {"log_level": 0, **config, "bootstrap.servers": kafka, "error_cb": trouble}
    return AdminClient(settings)


def partitions_of(
    kafka: str, topic: str, *, timeout_s: float = 5.0, kafka_config: Mapping[str, Any] = NO_CONFIG
) -> int:
    """Return how many partitions a topic has; raise KafkaUnreachable or UnknownTopic. Never creates the topic."""
    trouble = KafkaTrouble()
    admin = _admin(kafka, kafka_config, trouble)
    try:
        topics = admin.list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        admin.poll(0)
        raise _unreachable(kafka, f"looking up topic {topic}", timeout_s, error, trouble) from error
    if topic not in topics:
        raise UnknownTopic(
            f"topic {topic} does not exist on {kafka}; create it with `kafka-topics.sh --create --topic {topic}` or "
            f"let `headrace produce --create-topic PARTITIONS` do it. Or this user may not see it: check its ACLs"
        )
    return len(topics[topic].partitions)


def create_topic(
    kafka: str,
    topic: str,
    partitions: int,
    *,
    config: Mapping[str, str] | None = None,
    timeout_s: float = 5.0,
    kafka_config: Mapping[str, Any] = NO_CONFIG,
) -> bool:
    """Create a topic with the cluster's default replication; return False if it is there already.

    Raises KafkaUnreachable when no broker answers, ValueError when the brokers refuse the topic.
    """
    request = NewTopic(topic, num_partitions=partitions, replication_factor=-1, config=dict(config or {}))
    trouble = KafkaTrouble()
    admin = _admin(kafka, kafka_config, trouble)  # kept until the answer is there: its end would end the request
    future = admin.create_topics([request], request_timeout=timeout_s)[topic]
    try:
        future.result(timeout=timeout_s + 1)
    except TimeoutError as error:
        raise _unreachable(kafka, f"creating topic {topic}", timeout_s, error, trouble) from error
    except KafkaException as error:
        reason: KafkaError = error.args[0]
        if reason.code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        if reason.code() in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
            raise _unreachable(kafka, f"creating topic {topic}", timeout_s, error, trouble) from error
        raise ValueError(f"topic {topic} cannot be created on {kafka}: {reason.str()}") from error
    return True


def _unreachable(kafka: str, doing: str, timeout_s: float, error: Any, trouble: KafkaTrouble) -> KafkaUnreachable:
    reason = error.args[0].str() if isinstance(error, KafkaException) else "no answer"
    if refused := trouble.refusal():
        return KafkaUnreachable(f"{doing} on {kafka}: {refused}")
    return KafkaUnreachable(
        f"{doing}: no broker answered at {kafka} within {timeout_s:g} s ({reason}). Is Kafka running there? "
        "`headrace local up` starts one on this machine"
    )
