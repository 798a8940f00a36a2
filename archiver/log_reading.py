"""Reads a topic's log: its entries one by one, or the state that they add up to.

A state is opened from the newest usable fold and the entries after it. Where that fold lies needs no listing: folds
have fixed numbers and the log has no holes, so that a few requests for the entries 1,000, 2,000, 4,000... find the last
full thousand. A fold that is missing, damaged or of another log is passed over, and the entries are read instead: it
can cost time, never truth.
"""

import logging
from collections.abc import Callable, Iterator
from functools import partial

from .fetching import fetch_each, fetch_many, folders_of, window_of
from .file_columns import FileColumns
from .file_table import FileTable
from .fold_file import Fold, FoldUnusable, fold_key, read_fold
from .log_entries import NO_SHA256, Entry, LogCorrupt, decode, log_key, sha256_of
from .log_state import FOLD_ENTRIES, LogState
from .object_store import ObjectNotFound, ObjectStore

log = logging.getLogger("headrace.archiver")

OnEntry = Callable[[Entry], None]
"""Hears of each entry that is taken in."""


def read_entries(
    store: ObjectStore, topic: str, *, after: int = 0, to: int | None = None
) -> Iterator[tuple[Entry, bytes]]:
    """Yield the log's entries from slot `after` + 1 to its end (or to slot `to`), each with its exact bytes.

    The log is dense, so its end is the first slot that is not there. Raises LogCorrupt, LogTooNew, StoreError.
    """
    seq, window, window_max = after, 1, window_of(store)
    while to is None or seq < to:
        if to is not None:
            window = min(window, to - seq)
        for body in fetch_many(store, [log_key(topic, seq + 1 + ahead) for ahead in range(window)]):
            if body is None:
                return
            seq += 1
            where = f"{store.url}/{log_key(topic, seq)}"
            entry = decode(body, where)
            if entry.seq != seq:
                raise LogCorrupt(f"{where} says seq {entry.seq}; the object was moved or changed")
            yield entry, body
        window = min(window * 2, window_max)


def read_on(store: ObjectStore, state: LogState, *, to: int | None = None, on_entry: OnEntry | None = None) -> LogState:
    """Take the entries after a state in, to the log's end or to slot `to`. Raises also LogViolation."""
    for entry, body in read_entries(store, state.topic, after=state.seq, to=to):
        state.apply(entry, sha256_of(body), f"{store.url}/{log_key(state.topic, entry.seq)}")
        if on_entry is not None:
            on_entry(entry)
    return state


def read_state(store: ObjectStore, topic: str, *, at: int | None = None, fold_entries: int = FOLD_ENTRIES) -> LogState:
    """Return the state after entry `at` (None: the newest). Raises KeyError when the log is shorter than that.

    Its files are fetched when they are first asked for.
    """
    if at is None:
        return read_newest(store, LogState(topic, fold_entries=fold_entries))
    if at == 0:
        return LogState(topic, fold_entries=fold_entries)
    state = read_on(store, open_state(store, topic, at, fold_entries), to=at)
    if state.seq < at:
        raise KeyError(f"snapshot {at} of {topic} does not exist: its log ends at {state.seq}")
    return state


def read_newest(store: ObjectStore, empty: LogState, *, on_entry: OnEntry | None = None) -> LogState:
    """Return the newest state of a log; `empty` says of which topic, and how it is to be kept.

    `on_entry` hears of the entries after the newest usable fold.
    Raises LogCorrupt also where the log ends before an entry that is there.
    """
    topic, each = empty.topic, empty.fold_entries
    known = full_thousands(store, topic, each) * each
    state = open_state(store, topic, known, each)
    if state.seq == 0:
        state = empty
    state.lean, state.on_thousand = empty.lean, empty.on_thousand
    read_on(store, state, on_entry=on_entry)
    if state.seq < known:
        missing = f"{store.url}/{log_key(topic, state.seq + 1)}"
        raise LogCorrupt(
            f"{missing} does not exist, while entry {known} does: it was removed; restore it from a backup"
        )
    return state


def open_state(store: ObjectStore, topic: str, at: int, fold_entries: int = FOLD_ENTRIES) -> LogState:
    """Return the state of the newest usable fold at or before entry `at`, the empty state where there is none."""
    seqs = range(at // fold_entries * fold_entries, 0, -fold_entries)
    for seq, body in zip(seqs, fetch_each(store, [fold_key(topic, seq) for seq in seqs]), strict=True):
        where = f"{store.url}/{fold_key(topic, seq)}"
        if body is None:
            log.info("%s does not exist (yet); reading entries instead", where)
            continue
        try:
            fold = read_fold(body)
            _check_place(fold, topic, seq, fold_entries)
            _check_head(store, fold)
            state = fold.state()
        except FoldUnusable as error:
            _pass_over(where, error)
            continue
        state.fold_entries = fold_entries
        state.files = FileTable(partial(_older, store, fold, fold_entries))
        return state
    return LogState(topic, fold_entries=fold_entries)


def full_thousands(store: ObjectStore, topic: str, fold_entries: int = FOLD_ENTRIES) -> int:
    """Return how many full thousands (of `fold_entries`) the log has: a gallop, then a binary search."""

    def there(thousand: int) -> bool:
        try:
            store.size(log_key(topic, thousand * fold_entries))
        except ObjectNotFound:
            return False
        return True

    low, high = 0, 1
    while there(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if there(middle) else (low, middle)
    return low


def topics_of(store: ObjectStore) -> list[str]:
    """Return the topics that have a log in this archive."""
    return folders_of(store, "log/topic=")


# -- folds that can be relied on ---------------------------------------------------------------------------------------


def _check_place(fold: Fold, topic: str, seq: int, fold_entries: int) -> None:
    if (fold.topic, fold.seq, fold.begin_seq) != (topic, seq, seq - fold_entries):
        raise FoldUnusable(f"it is the fold of {fold.topic} from {fold.begin_seq} to {fold.seq}")


def _check_head(store: ObjectStore, fold: Fold) -> None:
    """Raise FoldUnusable unless the log's entry at the fold's number is the one that the fold was made with."""
    key = log_key(fold.topic, fold.seq)
    try:
        found = sha256_of(store.get(key))
    except ObjectNotFound as error:
        raise FoldUnusable(f"{key} does not exist") from error
    if found != fold.head_sha256:
        raise FoldUnusable(f"it was made with an entry of SHA-256 {fold.head_sha256}, and {key} has {found}")


def _older(store: ObjectStore, newest: Fold, fold_entries: int) -> Iterator[FileColumns]:
    """Yield the files' columns of all thousands up to a fold that was checked, newest first.

    Each fold names the hash at its beginning, which is the head of the one before: none of another log slips in.
    """
    yield newest.columns
    topic, head = newest.topic, newest.begin_sha256
    seqs = range(newest.begin_seq, 0, -fold_entries)
    for seq, body in zip(seqs, fetch_each(store, [fold_key(topic, seq) for seq in seqs]), strict=True):
        where = f"{store.url}/{fold_key(topic, seq)}"
        try:
            if body is None:
                raise FoldUnusable("it does not exist")
            fold = read_fold(body)
            _check_place(fold, topic, seq, fold_entries)
            if fold.head_sha256 != head:
                raise FoldUnusable(f"its head is {fold.head_sha256}, and the fold after it begins at {head}")
            columns, head = fold.columns, fold.begin_sha256
        except FoldUnusable as error:
            _pass_over(where, error)
            columns, head = _from_entries(store, topic, seq, fold_entries, head)
        yield columns


def _from_entries(store: ObjectStore, topic: str, seq: int, fold_entries: int, head: str) -> tuple[FileColumns, str]:
    """Return what a fold would have kept, from its entries, and the hash of the entry before them.

    The chain of hashes alone is checked: each entry was held against the rules before the fold after it was made.
    """
    state = LogState(topic, lean=True)
    begin: str | None = None
    before = ""
    for entry, body in read_entries(store, topic, after=seq - fold_entries, to=seq):
        where = f"{store.url}/{log_key(topic, entry.seq)}"
        if begin is not None and entry.prev_sha256 != before:
            raise LogCorrupt(f"{where}: prev_sha256 is not the hash of the entry before it: one of the two was changed")
        begin = entry.prev_sha256 if begin is None else begin
        before = sha256_of(body)
        state.take_files(entry)
    if before != head:
        where = f"{store.url}/{log_key(topic, seq)}"
        raise LogCorrupt(f"{where}: is not the entry that the log after it was written on: restore it from a backup")
    columns = state.files.close_thousand(seq)
    if columns is None:
        raise LogCorrupt(f"{store.url}/{log_key(topic, seq)}: the files of its thousand have values that are none")
    return columns, begin or NO_SHA256


def _pass_over(where: str, error: FoldUnusable) -> None:
    log.warning("%s cannot be used, reading the entries instead: %s", where, error)
