"""What a consumer group has committed to Kafka, with the metadata of each offset. Reads only; joins no group.

Asked by a consumer, not by an admin client: librdkafka's admin request for a group's offsets dereferences a null
pointer, and ends the whole process, when the group's coordinator answers that it is none (yet). A broker that was just
started answers so for some seconds.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from headrace.schemas.kafka_trouble import refusal_text

from .source import SourceError, TopicPartition

REQUEST_TIMEOUT_S = 10.0
ATTEMPTS_MAX = 40
PAUSE_S = 0.25
CHUNK_PARTITIONS = 1000
# The coordinator moves, loads its offsets, or does not know yet that it is one.
_PASSING = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.UNSTABLE_OFFSET_COMMIT,
    KafkaError._WAIT_COORD,
}


class Committed(NamedTuple):
    """One committed offset, the next one to read, and its metadata."""

    offset: int
    metadata: str


def committed_offsets(
    kafka: Mapping[str, Any], group: str, partitions: Collection[TopicPartition], *, pause: Callable[[float], None]
) -> dict[TopicPartition, Committed]:
    """Return what `group` has committed for these partitions, without those of an open transaction.

    A group that does not exist has committed nothing. `pause(seconds)` waits for a coordinator. Raises SourceError.
    """
    settings = {"log_level": 0, "error_cb": lambda _error: None, **kafka}
    fixed = {"group.id": group, "isolation.level": "read_committed", "enable.auto.commit": False}
    consumer = Consumer(settings | fixed)
    asked = [KafkaPartition(where.topic, where.partition) for where in partitions]
    found: dict[TopicPartition, Committed] = {}
    try:
        for begin in range(0, len(asked), CHUNK_PARTITIONS):
            for each in _ask(consumer, asked[begin : begin + CHUNK_PARTITIONS], pause):
                if each.offset >= 0:
                    found[TopicPartition(each.topic, each.partition)] = Committed(each.offset, each.metadata or "")
    except KafkaException as error:
        address, reason = settings["bootstrap.servers"], error.args[0]
        told = refusal_text(reason) or f"{reason.str()}; is the address right, and is Kafka up?"
        raise SourceError(f"asking for the offsets of group {group} of Kafka at {address}: {told}") from error
    finally:
        consumer.close()
    return found


def _ask(consumer: Consumer, asked: list[KafkaPartition], pause: Callable[[float], None]) -> list[KafkaPartition]:
    for _ in range(ATTEMPTS_MAX - 1):
        try:
            return consumer.committed(asked, REQUEST_TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() not in _PASSING:
                raise
        pause(PAUSE_S)
    return consumer.committed(asked, REQUEST_TIMEOUT_S)
