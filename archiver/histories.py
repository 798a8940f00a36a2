"""Which histories a log holds: one cluster's; and how one history of a partition ends and the next one begins."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .commit_log import CommitLog, Fenced
from .held import Held
from .log_entries import Entry, Gap, Span
from .log_state import LogState, PartitionState
from .truncation import Diverged

logger = logging.getLogger("headrace.archiver")


class ArchiveRefused(Exception):
    """This archive is not to be written with these settings. The message says why and what to do."""


def refuse_other_cluster(state: LogState, cluster_id: str, url: str) -> None:
    """Raise ArchiveRefused when a log belongs to another Kafka cluster: its offsets mean nothing here."""
    if state.cluster_id and state.cluster_id != cluster_id:
        raise ArchiveRefused(
            f"the log of {state.topic} in {url} belongs to Kafka cluster {state.cluster_id}; this is {cluster_id}. "
            "Archive to another prefix, or use the cluster that it was begun with. If the topic went on here, say so "
            f"by `headrace log moved {state.topic}`."
        )


def closing_spans(
    still_open: Iterable[PartitionState], reason: str, evidence: Callable[[PartitionState], Mapping[str, Any]]
) -> tuple[Span, ...]:
    """Close identities where they stand, each with a gap whose end nobody can know."""
    return tuple(
        Span(
            partition=at.identity.partition,
            lineage=at.identity.lineage,
            start=at.next,
            end=at.next,
            leader_epoch=at.leader_epoch,
            max_timestamp=at.max_timestamp,
            gaps=(Gap(at.next, None, reason, evidence(at)),),
        )
        for at in still_open
    )


def close_older_incarnation(
    log: CommitLog, topic_id: str, entry_of: Callable[..., Entry], id_now: Callable[[], str | None]
) -> bool:
    """Close the log's open identities of an older topic id, each with a gap whose end nobody can know.

    `entry_of(spans, files, topic_id=...)` makes the entry. Returns False, and closes nothing, when `id_now()` is not
    `topic_id` any more. It is asked after the log was read: a worker that stood still since it had asked Kafka would
    take the incarnation that others have begun meanwhile for an older one, and close what is alive.
    """
    state = log.state
    while state.topic_id not in ("", topic_id) and (still_open := state.open_identities(state.topic_id)):
        if id_now() != topic_id:
            return False
        logger.warning(
            "%s: the topic was deleted and made again; what was not archived before is recorded as a gap", log.topic
        )
        spans = closing_spans(
            still_open,
            "topic-recreated",
            lambda at: {"old_topic_id": at.identity.topic_id, "new_topic_id": topic_id},
        )
        outcome = log.append(entry_of(spans, (), topic_id=state.topic_id))
        if isinstance(outcome, Fenced):
            logger.info("%s: another archiver was first to close the old incarnation", log.topic)
        state = log.refresh()
    return True


def in_gap(at: PartitionState | None, offset: int) -> bool:
    """Whether an offset lies in a gap that the log has recorded."""
    return at is not None and any(gap.start <= offset < (offset + 1 if gap.end is None else gap.end) for gap in at.gaps)


def diverging_spans(partition: int, held: Held, at: Diverged, evidence: Mapping[str, Any]) -> tuple[Span, Span]:
    """Close a partition's lineage and open the next one at `at.begin`, in one entry."""
    gap = Gap(held.start, None, "diverged", evidence)
    closing = Span(partition, held.lineage, held.start, held.start, gaps=(gap,))
    return closing, Span(partition, held.lineage + 1, at.begin, at.begin, leader_epoch=at.epoch)
