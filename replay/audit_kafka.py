"""How far an archive reaches, with Kafka's help: partitions that are archived to their end hold nothing back."""

from collections.abc import Mapping
from typing import Any

from headrace.archiver.kafka_admin import KafkaAdmin, LogEnds
from headrace.archiver.kafka_metadata import KafkaMetadata
from headrace.archiver.log_state import LogState
from headrace.archiver.source import TopicPartition

from .errors import KafkaUnusable, RequestRefused
from .kafka_target import Clock

EVERYTHING = float("inf")


def reach_by_kafka(kafka: Mapping[str, Any], clock: Clock, state: LogState) -> float:
    """Return up to when the archive has all that was delivered (Unix milliseconds); infinite: all that there is.

    Of partitions that are behind, the newest archived record tells. Raises RequestRefused for another cluster than the
    archive's, KafkaUnusable, SourceError.
    """
    metadata = KafkaMetadata(kafka)
    cluster_id = metadata.cluster_id()
    if cluster_id != state.cluster_id:
        message = f"the log of {state.topic} belongs to Kafka cluster {state.cluster_id}; this is {cluster_id}"
        raise RequestRefused(f"{message}: name the right one by --kafka")
    if metadata.topic_ids([state.topic]).get(state.topic) != state.topic_id:
        return EVERYTHING  # deleted, or made again: no more will come of what is archived
    archived = {each.identity.partition: each for each in state.partitions()}
    asked = [TopicPartition(state.topic, number) for number in range(metadata.topics()[state.topic])]
    reach = EVERYTHING
    for where, ends in KafkaAdmin(kafka, pause=clock.pause, monotonic=clock.monotonic).log_ends(asked).items():
        if not isinstance(ends, LogEnds):
            raise KafkaUnusable(f"asking Kafka how far {state.topic}/{where.partition} is: {ends}; try again")
        own = archived.get(where.partition)
        if own is None:
            reach = -1 if ends.last_stable > 0 else reach
        elif own.next < ends.last_stable:
            reach = min(reach, own.max_timestamp)
    return reach
