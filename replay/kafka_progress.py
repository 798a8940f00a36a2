"""How far a replay into Kafka is, kept in Kafka itself: offsets of a group named after the replay, committed in the
same transaction as the records. They are keyed on the target's partitions; the number is how many of the plan's records
for that partition are in it, since a plan gives them in one order only.

The metadata of each offset pins what must not change between runs: the plan, the target's incarnation, and where the
target ended when the replay began. It stays below 256 bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from .errors import KafkaUnusable, TargetUnfit
from .kafka_target import Target

REQUEST_TIMEOUT_S = 15.0
PROGRESS_VERSION = 2
PLAN_DIGITS = 32  # of the plan's SHA-256


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a replay is. `done`: target partition -> how many of its records are there; `bases`: where it ended before.

    `plan_sha256` is the plan's.
    """

    plan_sha256: str
    topic_id: str
    done: Mapping[int, int]
    bases: Mapping[int, int]


def group_of(replay: str) -> str:
    """Return the name of the replay's group, which is its transactional id too."""
    return f"headrace-replay-{replay}"


def read_progress(kafka: Mapping[str, Any], replay: str, target: Target) -> Progress | None:
    """Return how far a replay is, None when it never began (or Kafka forgot, after offsets.retention.minutes).

    Raises TargetUnfit for progress that belongs to an earlier incarnation of the target, KafkaUnusable.
    """
    settings: dict[str, Any] = {"log_level": 0, **kafka, "error_cb": lambda _error: None}
    admin = AdminClient(settings)
    group = group_of(replay)
    try:
        futures = admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group)], require_stable=True, request_timeout=REQUEST_TIMEOUT_S
        )
        found = futures[group].result(timeout=REQUEST_TIMEOUT_S).topic_partitions or []
    except (KafkaException, TimeoutError) as error:
        raise KafkaUnusable(f"asking Kafka how far the replay into {target.topic} is: {error}") from error
    kept = [each for each in found if each.topic == target.topic and each.offset >= 0]
    if not kept:
        return None
    notes = {each.partition: json.loads(each.metadata) for each in kept}
    first = next(iter(notes.values()))
    if first["v"] != PROGRESS_VERSION:
        raise TargetUnfit(f"another version of headrace began this replay into {target.topic}: finish it with that one")
    if first["target"] != target.topic_id:
        raise TargetUnfit(
            f"{target.topic} was deleted and made again since this replay began. Delete the group {group} to start over"
        )
    return Progress(
        plan_sha256=str(first["plan"]),
        topic_id=str(first["target"]),
        done={each.partition: each.offset for each in kept},
        bases={partition: int(note["base"]) for partition, note in notes.items()},
    )


def offsets_of(progress: Progress, target: Target, done: Mapping[int, int]) -> list[TopicPartition]:
    """Return what to commit for some target partitions: partition -> how many of its records are there."""
    fixed = {"v": PROGRESS_VERSION, "plan": progress.plan_sha256[:PLAN_DIGITS], "target": progress.topic_id}
    return [
        TopicPartition(
            target.topic,
            partition,
            count,
            metadata=json.dumps({**fixed, "base": progress.bases[partition]}, separators=(",", ":")),
        )
        for partition, count in sorted(done.items())
    ]


def group_metadata(kafka: Mapping[str, Any], replay: str) -> Any:
    """Return the group metadata that a transaction's offsets are sent with; no membership is needed."""
    consumer = Consumer({"log_level": 0, **kafka, "group.id": group_of(replay), "error_cb": lambda _error: None})
    try:
        return consumer.consumer_group_metadata()
    finally:
        consumer.close()
