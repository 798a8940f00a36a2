"""Stores folds: as they become due in a worker, or all that are missing or damaged, by hand (`headrace log fold`)."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from .commit_log import CommitLog
from .file_columns import FileColumns
from .fold_file import Fold, FoldUnusable, fold_key, fold_of, read_fold
from .log_entries import log_key, sha256_of
from .log_reading import full_thousands, open_state, read_on
from .log_state import FOLD_ENTRIES, LogState
from .object_store import ObjectNotFound, ObjectStore, OutcomeUnknown, StoreError

log = logging.getLogger("headrace.archiver")


def store_due_folds(commit_log: CommitLog) -> int:
    """Store the folds that became due, and return how many are new. Never raises for a store: a fold is no must."""
    stored = 0
    while commit_log.folds:
        fold = commit_log.folds.popleft()
        try:
            if commit_log.store.put_if_absent(fold_key(fold.topic, fold.seq), fold.encode()):
                stored += 1
                log.info("%s: stored the fold of entries %d to %d", fold.topic, fold.begin_seq + 1, fold.seq)
        except OutcomeUnknown:
            continue  # it is there or not; `headrace log fold` makes up for it
        except StoreError as error:
            log.warning("%s: could not store the fold at %d, readers do without: %s", fold.topic, fold.seq, error)
    return stored


@dataclass(frozen=True, slots=True)
class FoldDone:
    """What was done about one fold: it was sound, missing and made, or unusable (`why`) and replaced."""

    seq: int
    done: Literal["sound", "made", "replaced"]
    why: str = ""


def make_folds(
    store: ObjectStore,
    topic: str,
    *,
    fold_entries: int = FOLD_ENTRIES,
    on_entries: Callable[[int], None] = lambda _seq: None,
) -> Iterator[FoldDone]:
    """Make the folds that are missing or unusable, and yield what each one needed; `on_entries` after each thousand.

    A fold is sound when its digest fits and its head is the log's. Raises what reading the log raises, StoreError.
    """
    state = LogState(topic, fold_entries=fold_entries, lean=True)
    for seq in range(fold_entries, full_thousands(store, topic, fold_entries) * fold_entries + 1, fold_entries):
        why = _unusable(store, topic, seq)
        if why is None:
            yield FoldDone(seq, "sound")
        else:
            if state.seq != seq - fold_entries:
                state = open_state(store, topic, seq - fold_entries, fold_entries)
                state.lean = True
            made: list[Fold] = []
            state.on_thousand = _collector(made)
            read_on(store, state, to=seq)
            for fold in made:
                if fold.seq == seq:
                    store.put(fold_key(topic, seq), fold.encode())
                    yield FoldDone(seq, "replaced" if why else "made", why)
        on_entries(seq)


def _collector(into: list[Fold]) -> Callable[[LogState, FileColumns, tuple[int, str]], None]:
    def collect(state: LogState, columns: FileColumns, begin: tuple[int, str]) -> None:
        into.append(fold_of(state, columns, begin))

    return collect


def _unusable(store: ObjectStore, topic: str, seq: int) -> str | None:
    """Say why a fold is of no use: "" when it is not there, None when it is sound."""
    try:
        fold = read_fold(store.get(fold_key(topic, seq)))
        head = sha256_of(store.get(log_key(topic, seq)))
    except ObjectNotFound:
        return ""
    except FoldUnusable as error:
        return str(error)
    if (fold.topic, fold.seq, fold.head_sha256) != (topic, seq, head):
        return "it was made from another log"
    return None
