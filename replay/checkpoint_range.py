"""Ranges between named checkpoints: the offsets that a checkpoint notes, as bounds of a selection.

A checkpoint's positions are of one incarnation of a topic and one lineage of each partition. A range is within one
identity, so that a checkpoint of another one is refused.
"""

from dataclasses import replace

from headrace.archiver.log_state import Identity, LogState
from headrace.archiver.named_checkpoint import TopicCheckpoint, check_against_log, read_checkpoint
from headrace.archiver.object_store import ObjectStore

from .errors import RequestRefused
from .selection import Selection

PREFIX = "checkpoint:"


def checkpoint_name(bound: str | None) -> str | None:
    """Return the name in a bound of the form checkpoint:NAME, None for any other bound."""
    return bound.removeprefix(PREFIX) if bound is not None and bound.startswith(PREFIX) else None


def between(
    store: ObjectStore, state: LogState, selection: Selection, from_name: str | None, to_name: str | None
) -> Selection:
    """Return the selection with the bounds that the checkpoints note.

    Partitions that a checkpoint does not know began after it: they are in a range from it, whole, and not in one up to
    it. Raises RequestRefused for another identity's positions, CheckpointRefused, CheckpointCorrupt, StoreError.
    """
    for name, bound in (("from", from_name), ("to", to_name)):
        if bound is None:
            continue
        checkpoint = read_checkpoint(store, bound).of(state.topic)
        check_against_log(store, checkpoint)
        pairs = tuple(sorted(_bounds(state, selection, checkpoint, bound, up_to=name == "to").items()))
        selection = replace(selection, starts=pairs) if name == "from" else replace(selection, ends=pairs)
    return selection


def _bounds(
    state: LogState, selection: Selection, checkpoint: TopicCheckpoint, name: str, *, up_to: bool
) -> dict[int, int]:
    topic_id = selection.topic_id or state.topic_id
    if checkpoint.topic_id != topic_id:
        raise RequestRefused(
            f"checkpoint {name} is of {state.topic} with topic id {checkpoint.topic_id}, and {topic_id} is chosen: the "
            f"topic was made again in between; choose the earlier one by --topic-id {checkpoint.topic_id}"
        )
    bounds: dict[int, int] = {}
    known = {identity.partition: identity for identity in checkpoint.positions}
    for partition in sorted({identity.partition for identity in state.identities if identity.topic_id == topic_id}):
        newest = state.newest(partition, topic_id)
        if newest is None:
            continue
        lineage = newest.identity.lineage if selection.lineage is None else selection.lineage
        chosen, noted = Identity(topic_id, partition, lineage), known.get(partition)
        if noted is None:
            if up_to:
                bounds[partition] = newest.origin
        elif noted != chosen:
            raise RequestRefused(
                f"checkpoint {name} is of lineage {noted.lineage} of {state.topic}/{partition}, and {lineage} is "
                f"chosen: Kafka lost records in between. Choose by --lineage {noted.lineage}, or leave it out"
            )
        else:
            bounds[partition] = checkpoint.positions[noted]
    return bounds
