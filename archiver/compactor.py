"""Compacts a date: many small files into few, while the archiver runs (docs/archive-format.md, "Rewrites").

One group at a time is built, checked and put in the place of the old files by rewriting.py, which is what makes dying
at any step harmless.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .compaction_merge import Merged, merge_files
from .compaction_plan import CompactLimits, Group, plan_groups
from .log_state import CommittedFile
from .object_store import ObjectStore
from .parquet_file import FileCorrupt
from .rewriting import Rewriter

log = logging.getLogger("headrace.archiver")


@dataclass(slots=True)
class Compacted:
    """What was done: files and bytes before and after, rows, rewrites; whether the store let us remove the old ones."""

    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    rows: int = 0
    rewrites: list[int] = field(default_factory=list)
    fenced: int = 0
    may_remove: bool = True


class Compactor(Rewriter):
    """Compacts dates of one topic, within limits. The other arguments are those of every rewriter."""

    VERB = "compact"

    def __init__(self, store: ObjectStore, topic: str, *, limits: CompactLimits, **more: Any) -> None:
        super().__init__(store, topic, **more)
        self._limits = limits

    def plan(self, date: str) -> list[Group]:
        """Return which files of a date would become one. Raises what reading the log raises."""
        state = self.log.refresh()
        self.log.refuse_hole()
        return plan_groups(state.files.select(dates=[date]), self._limits)

    def run(self, date: str, on_rows: Callable[[int], None] = lambda _rows: None) -> Compacted:
        """Compact a date. `on_rows(n)` after each n rows that were read.

        Raises FileCorrupt when a file is not what the log says, and then leaves it alone; StoreError; what the log
        raises. The next call goes on where this one ended.
        """
        done = Compacted()
        self._end_abandoned()
        for group in self.plan(date):
            self._compact(group, done, on_rows)
        done.may_remove = self._clean(date)
        return done

    def _compact(self, group: Group, done: Compacted, on_rows: Callable[[int], None]) -> None:
        files = group.files
        while len(files) > 1:
            merged: Merged | None = None
            try:
                merged = self._merge(files, on_rows)
            except FileCorrupt:
                if not self._taken(files):
                    raise
            if self._taken(files):
                log.warning("%s: another rewrite replaces the same files; leaving them to it", self._topic)
                done.fenced += 1
                return
            if merged is None:
                files = files[1:]
                continue
            self._reached("built")
            self._rewrite(Group(files[: merged.taken]), merged, done)
            files = files[merged.taken :]

    def _merge(self, files: Sequence[CommittedFile], on_rows: Callable[[int], None]) -> Merged | None:
        return merge_files(
            self._store, files, topic=self._topic, writer=self._writer, new_id=self._new_id, on_rows=on_rows
        )

    def _rewrite(self, group: Group, merged: Merged, done: Compacted) -> None:
        """Put one new file in the place of the old ones."""
        entry = self._replace(group.files, [merged.file], merged.lineages)
        if entry is None:
            done.fenced += 1
            return
        done.rewrites.append(entry.seq)
        done.files_before += len(group.files)
        done.files_after += 1
        done.bytes_before += group.bytes
        done.bytes_after += merged.file.bytes
        done.rows += merged.file.rows
