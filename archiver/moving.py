"""The entry by which a topic's log goes on with another Kafka cluster (docs/archive-format.md, "Another cluster").

It closes what is open of the old cluster where it stands, so that the new one's offsets, which begin anew, are neither
loss nor a truncation. Archivers of the old cluster are refused from then on, and those of the new one begin.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .commit_log import CommitLog, Committed
from .histories import closing_spans
from .log_entries import Entry, Span
from .log_state import LogState, PartitionState

TRIES_MAX = 20


class MoveRefused(Exception):
    """The log is not to go on there. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a topic goes on: the cluster's id, and the topic's there; "" where it does not exist yet."""

    cluster_id: str
    topic_id: str


@dataclass(frozen=True, slots=True)
class Ordered:
    """Who moves, and why: for people."""

    who: str
    why: str


def check_move(state: LogState, to: Destination) -> None:
    """Raise MoveRefused where the log cannot go on there."""
    if to.topic_id and any(identity.topic_id == to.topic_id for identity in state.identities):
        raise MoveRefused(
            f"topic id {to.topic_id} of {state.topic} in cluster {to.cluster_id} is in the log already: a cluster that "
            "was copied or restored with its topics has the same records under the same offsets. Archive it to another "
            "prefix, or make the topic anew"
        )


def move(
    log: CommitLog,
    to: Destination,
    ordered: Ordered,
    *,
    writer: str,
    now: Callable[[], str],
    new_id: Callable[[], str],
    left: Mapping[int, int],
) -> Entry:
    """Append the entry. `left`: how many offsets of a partition the old cluster has beyond the archive, where known.

    Raises MoveRefused, StoreError and what the log raises. A commit of the old cluster that comes first is looked at.
    """
    for _ in range(TRIES_MAX):
        state = log.refresh()
        log.refuse_hole()
        check_move(state, to)
        entry = Entry(
            kind="moved",
            topic=log.topic,
            cluster_id=to.cluster_id,
            entry_id=new_id(),
            writer=writer,
            at=now(),
            topic_id=state.topic_id,
            spans=_closing(state, to, left),
            details={"from_cluster_id": state.cluster_id, "who": ordered.who, "why": ordered.why},
        )
        outcome = log.append(entry)
        if isinstance(outcome, Committed):
            return outcome.entry
    raise MoveRefused(f"the old cluster's archiver of {log.topic} keeps committing: stop it, and run this again")


def _closing(state: LogState, to: Destination, left: Mapping[int, int]) -> tuple[Span, ...]:
    """Close all that is open."""

    def evidence(at: PartitionState) -> Mapping[str, Any]:
        partition = at.identity.partition
        known = {"left": left[partition]} if partition in left else {}
        return {"to_cluster_id": to.cluster_id, "to_topic_id": to.topic_id, **known}

    still_open = sorted(state.open_identities(state.topic_id), key=lambda at: at.identity)
    return closing_spans(still_open, "moved", evidence)
