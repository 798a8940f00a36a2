"""Seeded bugs of erasures and expiries. See mutations.py."""

from collections.abc import Callable, Sequence
from typing import Any

from headrace.archiver import commit_log, fold_file, log_state
from headrace.archiver.commit_log import CommitLog, Committed, Fenced
from headrace.archiver.eraser import Erased, Eraser
from headrace.archiver.erasing import Trimmed
from headrace.archiver.expirer import Expirer
from headrace.archiver.log_entries import Entry
from headrace.archiver.log_state import LogState

from . import codec
from .codec import Every, Row
from .seeded_bugs import Change, appended_unfenced, bug

UNCHECKED: Change = (log_state, "_CHECKS", {**log_state._CHECKS, "erase": lambda *_: None, "expire": lambda *_: None})
"""Erasures and expiries are not held against what they remove, so that it is left to the simulation."""


@bug
def erasure_drops_another_row() -> list[Change]:
    """An erasure loses a row that it does not name."""
    kept = codec._kept_rows

    def dropping(rows: Sequence[Row], judge: Every) -> list[Row]:
        return kept(rows, judge)[1:]

    return [(codec, "_kept_rows", dropping), UNCHECKED]


@bug
def erasure_without_intent() -> list[Change]:
    """An erasure uploads and replaces without an intent in the log."""
    append = CommitLog.append

    def without(self: CommitLog, entry: Entry) -> Committed | Fenced:
        erases = entry.kind == "intent" and entry.writer.startswith("erase")
        return Committed(entry) if erases else append(self, entry)

    return [(CommitLog, "append", without), UNCHECKED]


@bug
def erased_files_removed_first() -> list[Change]:
    """An erasure removes the old files before its entry is in the log."""
    erase = Eraser._erase

    def remove_first(self: Eraser, group: list[Trimmed], looked_at: set[str], done: Erased) -> None:
        self._store.delete([each.committed.file.key for each in group])
        erase(self, group, looked_at, done)

    return [(Eraser, "_erase", remove_first)]


@bug
def erasure_on_a_stale_head() -> list[Change]:
    """An erasure that finds its slot taken goes into the next one, and is not held against the log again."""
    append = CommitLog.append

    def stale(self: CommitLog, entry: Entry) -> Committed | Fenced:
        return appended_unfenced(self, entry) if entry.kind == "erase" else append(self, entry)

    return [(CommitLog, "append", stale)]


@bug
def erasure_looks_once() -> list[Change]:
    """An erasure does not look again for rows that a compaction moved into other files meanwhile."""
    groups = Eraser._groups

    def once(self: Eraser, files: Any, looked_at: set[str], done: Erased, on_rows: Any) -> Any:
        first = not looked_at
        yield from groups(self, files if first else [], looked_at, done, on_rows)
        looked_at.add("looked")

    return [(Eraser, "_groups", once)]


@bug
def rows_of_an_expired_date_unmarked() -> list[Change]:
    """Rows that come to a date after it expired do not say that they are late."""

    def closed_by(self: LogState, date: str) -> int | None:
        seal = self.sealed.get(date)
        return None if seal is None else seal.seq

    return [
        (LogState, "closed_by", closed_by),
        (LogState, "closed_dates", property(lambda self: frozenset(self.sealed))),
    ]


@bug
def expired_files_removed_first() -> list[Change]:
    """An expiry removes the files before its entry is in the log."""
    expire: Callable[..., bool] = Expirer._expire

    def remove_first(self: Expirer, files: Any, done: Any, on_files: Any) -> bool:
        self._store.delete([each.file.key for each in files])
        return expire(self, files, done, on_files)

    return [(Expirer, "_expire", remove_first)]


@bug
def fold_forgets_what_went() -> list[Change]:
    """A fold does not say which rows were erased or expired."""
    fold_of = fold_file.fold_of

    def forgetting(state: LogState, columns: Any, begin: Any) -> Any:
        fold = fold_of(state, columns, begin)
        return type(fold)(
            *(fold.topic, fold.seq, fold.head_sha256, fold.begin_seq, fold.begin_sha256),
            {**fold.summary, "removals": []} if "removals" in fold.summary else fold.summary,
            fold.columns,
        )

    return [(commit_log, "fold_of", forgetting)]
