"""How far a replay into Kafka is, kept in Kafka itself: offsets of a group named after the replay, committed in the
same transaction as the records. They are keyed on the target's partitions; the number is how many of the plan's records
for that partition are in it, since a plan gives them in one order only.

The metadata of each offset pins what must not change between runs: the plan, the target's incarnation, and where the
target ended when the replay began. It stays below 256 bytes.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from headrace.archiver.default_names import REPLAY_PREFIX
from headrace.archiver.group_offsets import committed_offsets
from headrace.archiver.source import SourceError
from headrace.archiver.source import TopicPartition as SourcePartition

from .errors import KafkaUnusable, TargetUnfit
from .kafka_target import Target

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
    return f"{REPLAY_PREFIX}{replay}"


def read_progress(
    kafka: Mapping[str, Any], replay: str, target: Target, *, pause: Callable[[float], None]
) -> Progress | None:
    """Return how far a replay is, None when it never began (or Kafka forgot, after offsets.retention.minutes).

    Raises TargetUnfit for progress that belongs to an earlier incarnation of the target, KafkaUnusable.
    """
    group = group_of(replay)
    asked = [SourcePartition(target.topic, partition) for partition in target.ranges]
    try:
        kept = committed_offsets(kafka, group, asked, pause=pause)
    except SourceError as error:
        raise KafkaUnusable(f"asking Kafka how far the replay into {target.topic} is: {error}") from error
    if not kept:
        return None
    notes = {where.partition: json.loads(said.metadata) for where, said in kept.items()}
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
        done={where.partition: said.offset for where, said in kept.items()},
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
