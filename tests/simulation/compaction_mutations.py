"""Seeded bugs of compactions, of what they leave behind, and of those that read beside them. See mutations.py."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from headrace.archiver import commit_log, compaction_plan, fold_file, garbage, log_rules, log_state
from headrace.archiver.commit_log import CommitLog, Committed, CommitUnknown, Fenced
from headrace.archiver.compaction_merge import Merged
from headrace.archiver.compaction_plan import Group
from headrace.archiver.compactor import Compacted, Compactor
from headrace.archiver.file_columns import CommittedFile, FileColumns
from headrace.archiver.garbage import Leftover
from headrace.archiver.log_entries import Entry
from headrace.archiver.log_state import LogState
from headrace.archiver.object_store import OutcomeUnknown, StoreError
from headrace.archiver.parquet_file import Footer
from headrace.cli import gc

from . import codec
from .codec import Place, Row
from .seeded_bugs import Change, appended_unfenced, bug

UNCHECKED: Change = (log_state, "_CHECKS", {**log_state._CHECKS, "rewrite": lambda *_: None})
"""Rewrites are not held against what they replace, so that it is left to the simulation."""

UNCOUNTED: Change = (log_rules, "_totals", lambda *_files, **_how: {})
"""Nor are their rows counted."""

Rows = list[Row]


def _merged_with(change: Callable[[Rows, list[Place]], tuple[Rows, list[Place]]]) -> Change:
    """Return the patch by which a merge writes other rows than it read."""
    made = codec._merged_file

    def merged(rows: Rows, late: list[Place], lineages: dict[int, int], old: Footer, *names: Any) -> Any:
        return made(*change(rows, late), lineages, old, *names)

    return (codec, "_merged_file", merged)


@bug
def rewrite_drops_a_row() -> list[Change]:
    """A compaction loses a row from the middle of a file."""
    drop = _merged_with(lambda rows, late: ([*rows[: len(rows) // 2], *rows[len(rows) // 2 + 1 :]], late))
    return [drop, UNCOUNTED]


@bug
def rewrite_alters_a_row() -> list[Change]:
    """A compaction gives a row the key of another one; counts and offsets stay the same."""

    def alter(rows: Rows, late: list[Place]) -> tuple[Rows, list[Place]]:
        at = rows[-1]
        return [*rows[:-1], (*at[:3], rows[0][3], *at[4:])], late

    return [_merged_with(alter)]


@bug
def rewrite_in_the_order_of_the_files() -> list[Change]:
    """A compaction puts the files one behind the other, so that a partition's rows are not together in order."""
    return [_merged_with(lambda rows, late: (sorted(rows, key=lambda row: (row[1], row[0])), late))]


@bug
def rewrite_forgets_what_is_late() -> list[Change]:
    """A compacted file does not say which of its rows were late."""
    return [_merged_with(lambda rows, _late: (rows, [])), UNCOUNTED]


@bug
def rewrite_across_lineages() -> list[Change]:
    """Files of a partition from before and after a truncation become one."""
    merge = Compactor._merge

    def of_one_lineage(self: Compactor, files: Sequence[CommittedFile], on_rows: Any) -> Merged | None:
        newest: dict[int, int] = {}
        for each in files:
            newest.update(each.lineages)
        return merge(self, [replace(each, lineages={p: newest[p] for p in each.lineages}) for each in files], on_rows)

    def fits(held: Any, _lineages: Any, new: Any, limits: Any) -> bool:
        return bool(fits_by_size(held, {}, new, limits))

    fits_by_size = compaction_plan._fits
    return [(Compactor, "_merge", of_one_lineage), (compaction_plan, "_fits", fits), UNCOUNTED]


@bug
def rewrite_without_intent() -> list[Change]:
    """A compaction uploads and rewrites without an intent in the log."""
    append = CommitLog.append

    def without(self: CommitLog, entry: Entry) -> Committed | Fenced:
        return Committed(entry) if entry.kind == "intent" else append(self, entry)

    return [(CommitLog, "append", without), UNCHECKED]


@bug
def upload_before_the_intent() -> list[Change]:
    """A compacted file is uploaded, and then its intent is put into the log."""
    rewrite = Compactor._rewrite

    def upload_first(self: Compactor, group: Group, merged: Merged, done: Compacted) -> None:
        self._uploads.put(merged.file)
        rewrite(self, group, merged, done)

    return [(Compactor, "_rewrite", upload_first)]


@bug
def rewrite_on_a_stale_head() -> list[Change]:
    """A rewrite that finds its slot taken goes into the next one, and is not held against the log again."""
    append = CommitLog.append

    def stale(self: CommitLog, entry: Entry) -> Committed | Fenced:
        if entry.kind != "rewrite" or not entry.files:
            return append(self, entry)
        return appended_unfenced(self, entry)

    return [(CommitLog, "append", stale)]


@bug
def old_files_removed_first() -> list[Change]:
    """A compaction removes the old files before the rewrite is in the log."""
    rewrite = Compactor._rewrite

    def remove_first(self: Compactor, group: Group, merged: Merged, done: Compacted) -> None:
        self._store.delete([each.file.key for each in group.files])
        rewrite(self, group, merged, done)

    return [(Compactor, "_rewrite", remove_first)]


@bug
def unclear_rewrite_is_undone() -> list[Change]:
    """When the store does not tell at once whether a rewrite is in the log, what was uploaded for it is removed."""
    rewrite = Compactor._rewrite

    def undo(self: Compactor, group: Group, merged: Merged, done: Compacted) -> None:
        def ask_once(key: str, body: bytes) -> bool:
            try:
                return self._store.put_if_absent(key, body) or self._store.get(key) == body
            except OutcomeUnknown as error:
                raise CommitUnknown("no clear answer") from error

        setattr(self.log, "_take_slot", ask_once)  # noqa: B010 - mypy forbids it as an assignment
        try:
            rewrite(self, group, merged, done)
        except StoreError:
            self._store.delete([merged.file.key])
            raise

    return [(Compactor, "_rewrite", undo)]


@bug
def cleaning_passes_over_intents() -> list[Change]:
    """Cleaning judges the files of an open intent by their footer, as if a dead archiver had left them."""
    judge = garbage.judge

    def without_intents(store: Any, state: LogState, found: Iterable[Any]) -> Iterator[Leftover]:
        return judge(store, replace(state, intents={}), found)

    return [(garbage, "judge", without_intents), (gc, "judge", without_intents)]


@bug
def intents_of_the_dead_stay_open() -> list[Change]:
    """Nobody ends the intent of a compaction that died, and what it uploaded stays for plain readers."""
    return [(Compactor, "_end_abandoned", lambda _self: None)]


@bug
def replaced_files_stay() -> list[Change]:
    """Cleaning keeps what a rewrite took out of the archive, where the compaction died before it removed it."""
    judge = garbage.judge

    def keeping(store: Any, state: LogState, found: Iterable[Any]) -> Iterator[Leftover]:
        return judge(store, state, [each for each in found if each.key not in state.files.removed])

    return [(garbage, "judge", keeping), (gc, "judge", keeping)]


@bug
def fold_keeps_replaced_files() -> list[Change]:
    """A fold does not say which files its entries took out."""
    fold_of = fold_file.fold_of

    def keeping(state: LogState, columns: Any, begin: Any) -> Any:
        return fold_of(state, FileColumns(columns.last_seq, columns.batch, {}), begin)

    return [(commit_log, "fold_of", keeping)]
