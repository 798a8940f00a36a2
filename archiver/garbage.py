"""Finds and removes objects that no commit can ever name: what a writer left that ended between upload and commit.

No clock decides. An object is dead when no entry names it and, for some span in its footer, the archive has moved past
that span's start (or closed its identity): the commit that would have named it can then never pass the fence. An object
whose footer cannot be read, or that an open rewrite intends to add, stays.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from .log_state import Identity, LogState
from .object_store import ObjectNotFound, ObjectStore
from .parquet_file import FileCorrupt, Footer, footer_of

FOOTER_BYTES = 256 << 10


def unreferenced(store: ObjectStore, state: LogState) -> Iterator[str]:
    """Yield the keys under data/ and quarantine/ of a topic that its log does not name."""
    for root in ("data", "quarantine"):
        for info in store.list(f"{root}/topic={state.topic}/"):
            if info.key.endswith(".parquet") and info.key not in state.files:
                yield info.key


def is_dead(footer: Footer, state: LogState) -> bool:
    """Whether the commit that would name this file can no longer happen. See the module's docstring."""
    return any(is_past(state, Identity(footer.topic_id, s["partition"], s["lineage"]), s["from"]) for s in footer.spans)


def is_past(state: LogState, identity: Identity, start: int) -> bool:
    """Whether no later commit can have a span of this identity that begins at `start`."""
    at = state.identities.get(identity)
    if at is not None:
        return at.closed or at.next > start
    # A partition of which nothing was committed before the topic was made again: a log never goes back to an older id.
    return identity.topic_id != state.topic_id and any(i.topic_id == identity.topic_id for i in state.identities)


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What a cleaning did: keys it removed, and whose unreferenced objects may still be committed or become dead."""

    removed: list[str]
    undecided: frozenset[Identity]


def remove_dead_objects(store: ObjectStore, state: LogState) -> Cleaning:
    """Delete the dead objects of a topic. `state` must be the log's, folded by the caller."""
    intended = frozenset().union(*state.intents.values())
    dead: list[str] = []
    undecided: set[Identity] = set()
    for key in unreferenced(store, state):
        if key in intended:
            continue
        try:
            footer = _footer(store, key)
        except ObjectNotFound:
            continue  # another worker was faster
        if footer is not None and is_dead(footer, state):
            dead.append(key)
        elif footer is not None:
            undecided.update(Identity(footer.topic_id, s["partition"], s["lineage"]) for s in footer.spans)
    store.delete(dead)
    return Cleaning(dead, frozenset(undecided))


def _footer(store: ObjectStore, key: str) -> Footer | None:
    try:
        return footer_of(store.get_tail(key, FOOTER_BYTES))
    except FileCorrupt:
        pass
    try:
        return footer_of(store.get(key))
    except FileCorrupt:
        return None
