"""Which histories a log holds: one cluster's; and how one history of a partition ends and the next one begins."""

from collections.abc import Iterable, Mapping
from typing import Any

from .held import Held
from .log_entries import Gap, Span
from .log_state import LogState, PartitionState


class ArchiveRefused(Exception):
    """This archive is not to be written with these settings. The message says why and what to do."""


def refuse_other_cluster(state: LogState, cluster_id: str, url: str) -> None:
    """Raise ArchiveRefused when a log belongs to another Kafka cluster: its offsets mean nothing here."""
    if state.cluster_id and state.cluster_id != cluster_id:
        raise ArchiveRefused(
            f"the log of {state.topic} in {url} belongs to Kafka cluster {state.cluster_id}; this is {cluster_id}. "
            "Archive to another prefix, or use the cluster that it was begun with."
        )


def closing_spans(still_open: Iterable[PartitionState], new_topic_id: str) -> tuple[Span, ...]:
    """Close identities of a topic that was made again, each with a gap whose end nobody can know."""
    return tuple(
        Span(
            partition=at.identity.partition,
            lineage=at.identity.lineage,
            start=at.next,
            end=at.next,
            leader_epoch=at.leader_epoch,
            max_timestamp=at.max_timestamp,
            gaps=(
                Gap(
                    at.next,
                    None,
                    "topic-recreated",
                    {"old_topic_id": at.identity.topic_id, "new_topic_id": new_topic_id},
                ),
            ),
        )
        for at in still_open
    )


def diverging_spans(partition: int, held: Held, begin: int, evidence: Mapping[str, Any]) -> tuple[Span, Span]:
    """Close a partition's lineage and open the next one at `begin`, in one entry."""
    gap = Gap(held.start, None, "diverged", evidence)
    closing = Span(partition, held.lineage, held.start, held.start, gaps=(gap,))
    return closing, Span(partition, held.lineage + 1, begin, begin)
