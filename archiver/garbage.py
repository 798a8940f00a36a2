"""Finds and removes objects that no entry can ever name: what a writer left that ended between upload and commit.

No clock decides. An object is dead when no entry names it, no open intent does, and, for some span in its footer, the
archive has moved past that span's start (or closed its identity): the commit that would have named it can then never
pass the fence. What a rewrite removed is dead by the same rule. An object whose footer cannot be read stays.

The order of the steps is part of the rule: first the objects are listed, then the log is read on, then it is judged. An
intent is in the log before the first of its objects is uploaded, so that a listed object's intent is always seen.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from .log_state import Identity, Intent, LogState
from .object_key import stays_below
from .object_store import ObjectInfo, ObjectNotFound, ObjectStore
from .parquet_file import FileCorrupt, Footer, footer_of

FOOTER_BYTES = 256 << 10
ROOTS = ("data", "quarantine")

Verdict = Literal["dead", "undecided", "intended", "unreadable"]
"""dead: may be removed. undecided: its commit may still come. intended: an open intent names it. unreadable: it has no
footer of ours, so that nothing tells whose it is."""


def unreferenced(store: ObjectStore, state: LogState, date: str | None = None) -> Iterator[str]:
    """Yield the keys under data/ and quarantine/ of a topic (or of one date) that its log does not name."""
    return (info.key for info in candidates(store, state, date))


def candidates(store: ObjectStore, state: LogState, date: str | None = None) -> Iterator[ObjectInfo]:
    """Yield the objects that a state does not name. Judge them only by a state that was read on after this."""
    known = state.files.key_hashes()
    for root in ROOTS:
        for info in store.list(f"{root}/topic={state.topic}/" + (f"dt={date}/" if date is not None else "")):
            if info.key.endswith(".parquet") and info.key not in known:
                yield info


def is_dead(footer: Footer, state: LogState) -> bool:
    """Whether the commit that would name this file can no longer happen. See the module's docstring."""
    return _passed(footer, state) is not None


def _passed(footer: Footer, state: LogState) -> tuple[Identity, int] | None:
    """Return an identity that the archive has moved on in since, with the offset where the file's span begins."""
    for identity, start in _starts(footer):
        if is_past(state, identity, start):
            return identity, start
    return None


def _starts(footer: Footer) -> list[tuple[Identity, int]]:
    return [(Identity(footer.topic_id, s["partition"], s["lineage"]), s["from"]) for s in footer.spans]


def is_past(state: LogState, identity: Identity, start: int) -> bool:
    """Whether no later commit can have a span of this identity that begins at `start`."""
    at = state.identities.get(identity)
    if at is not None:
        return at.closed or at.next > start
    # A partition of which nothing was committed before the topic was made again: a log never goes back to an older id.
    return identity.topic_id != state.topic_id and any(i.topic_id == identity.topic_id for i in state.identities)


@dataclass(frozen=True, slots=True)
class Leftover:
    """An object that no entry names, and what is to become of it: `why` for people.

    `identities`: whose next commit decides, where it is undecided. `intent`: the one that names it.
    """

    info: ObjectInfo
    verdict: Verdict
    why: str
    identities: tuple[Identity, ...] = ()
    intent: Intent | None = None


def judge(store: ObjectStore, state: LogState, found: Iterable[ObjectInfo]) -> Iterator[Leftover]:
    """Judge listed objects by a state that was read on after they were listed. What went in between is passed over."""
    intents = {key: intent for intent in state.intents.values() for key in intent.adds}
    for info in found:
        if state.files.here(info.key):
            continue  # committed since it was listed
        intent = intents.get(info.key)
        if intent is not None:
            why = f"the rewrite of intent {intent.entry_id} (entry {intent.seq}, {intent.writer}, {intent.at}) may come"
            yield Leftover(info, "intended", why, intent=intent)
            continue
        removed = state.files.removed.get(info.key)
        if removed is not None:
            yield Leftover(info, "dead", f"entry {removed} removed it from the archive")
            continue
        if not stays_below(info.key):
            yield Leftover(
                info, "unreadable", "its name could lead out of the archive: whoever put it there may remove it"
            )
            continue
        try:
            footer = _footer(store, info.key)
        except ObjectNotFound:
            continue  # another worker was faster
        if footer is None:
            yield Leftover(info, "unreadable", "it has no headrace footer: whoever put it there may remove it")
        else:
            yield _by_footer(info, footer, state)


def _by_footer(info: ObjectInfo, footer: Footer, state: LogState) -> Leftover:
    passed = _passed(footer, state)
    if passed is not None:
        identity, start = passed
        at = state.identities.get(identity)
        if at is None:
            so_far = "is of a topic that was made again"
        else:
            so_far = f"is closed at {at.next}" if at.closed else f"is archived to {at.next}"
        return Leftover(info, "dead", f"its commit began at offset {start} of {_named(identity)}, which {so_far}")
    starts = _starts(footer)
    places = ", ".join(f"{_named(identity)} from {start}" for identity, start in starts[:3])
    more = f" and {len(starts) - 3} more" if len(starts) > 3 else ""
    why = f"{footer.writer} may still commit {places}{more}; the next commit there decides"
    return Leftover(info, "undecided", why, tuple(identity for identity, _ in starts))


def _named(identity: Identity) -> str:
    lineage = f", lineage {identity.lineage}" if identity.lineage else ""
    return f"partition {identity.partition} (topic id {identity.topic_id}{lineage})"


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What a cleaning did: keys it removed, and whose unreferenced objects may still be committed or become dead.

    `left`: how many objects stay that no entry names.
    """

    removed: list[str]
    undecided: frozenset[Identity]
    left: int = 0


def remove_dead_objects(
    store: ObjectStore,
    state: LogState,
    refresh: Callable[[], LogState],
    *,
    date: str | None = None,
) -> Cleaning:
    """Delete the dead objects of a topic, or of one date. `state` is a fold of the log, `refresh()` reads it on."""
    found = list(candidates(store, state, date))
    if not found:
        return Cleaning([], frozenset())
    leftovers = list(judge(store, refresh(), found))
    dead = [each.info.key for each in leftovers if each.verdict == "dead"]
    store.delete(dead)
    return Cleaning(dead, undecided_identities(leftovers), len(leftovers) - len(dead))


def undecided_identities(leftovers: Collection[Leftover]) -> frozenset[Identity]:
    """Return whose next commits decide about what is undecided."""
    return frozenset(identity for each in leftovers for identity in each.identities)


def _footer(store: ObjectStore, key: str) -> Footer | None:
    try:
        return footer_of(store.get_tail(key, FOOTER_BYTES))
    except FileCorrupt:
        pass
    try:
        return footer_of(store.get(key))
    except FileCorrupt:
        return None
