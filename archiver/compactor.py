"""Compacts a date: many small files into few, while the archiver runs (docs/archive-format.md, "Rewrites").

One group at a time: build, intent, upload, rewrite, remove the old ones. Dying at any step leaves the archive right:
the old files count until the rewrite is in the log, the new one from then on, and what is left over is garbage that
the log alone tells. Nothing is locked; two compactions, or one and a cleaner, find each other's entries in the log.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .clock import Clock
from .commit_log import CommitLog, Fenced
from .compaction_merge import Merged, merge_files
from .compaction_plan import CompactLimits, Group, plan_groups
from .failpoints import Failpoint
from .garbage import remove_dead_objects
from .held import file_entry
from .intents import IntentUnknown, abandon
from .log_entries import Entry, EntryKind
from .log_state import FOLD_ENTRIES, CommittedFile
from .object_store import ObjectStore, StoreDenied, StoreError
from .parquet_file import FileCorrupt
from .uploads import Uploads

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


class Compactor:
    """Compacts dates of one topic. `is_gone(writer)`: whether the writer of an open intent is surely dead."""

    def __init__(
        self,
        store: ObjectStore,
        topic: str,
        *,
        writer: str,
        clock: Clock,
        new_id: Callable[[], str],
        limits: CompactLimits,
        failpoint: Failpoint,
        is_gone: Callable[[str], bool],
        fold_entries: int = FOLD_ENTRIES,
    ) -> None:
        self.log = CommitLog(store, topic, pause=clock.pause, fold_entries=fold_entries)
        self._store = store
        self._topic = topic
        self._writer = writer
        self._clock = clock
        self._new_id = new_id
        self._limits = limits
        self._failpoint = failpoint
        self._is_gone = is_gone
        self._uploads = Uploads(store, topic, pause=clock.pause)

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
        self._clean(date, done)
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
            self._failpoint("compact-built")
            self._rewrite(Group(files[: merged.taken]), merged, done)
            files = files[merged.taken :]

    def _merge(self, files: Sequence[CommittedFile], on_rows: Callable[[int], None]) -> Merged | None:
        return merge_files(
            self._store, files, topic=self._topic, writer=self._writer, new_id=self._new_id, on_rows=on_rows
        )

    def _taken(self, files: Sequence[CommittedFile]) -> bool:
        """Whether one of the files was replaced by now."""
        state = self.log.refresh()
        return any(each.file.key not in state.files for each in files)

    def _rewrite(self, group: Group, merged: Merged, done: Compacted) -> None:
        """Put one new file in the place of the old ones."""
        new = file_entry(merged.file)
        intent = self._entry("intent", group.files[0].topic_id, details={"adds": [new.key]})
        outcome = self.log.append(intent)
        if isinstance(outcome, Fenced):
            raise StoreError(f"{self._topic}: the log refused an intent: {outcome.reason}")
        self._failpoint("compact-intent")
        try:
            self._uploads.put(merged.file)
            self._failpoint("compact-uploaded")
            removes = [each.file.key for each in group.files]
            lineages = {str(partition): lineage for partition, lineage in merged.lineages.items()}
            details = {"intent": intent.entry_id, "removes": removes, "lineages": lineages}
            entry = replace(self._entry("rewrite", group.files[0].topic_id, details=details), files=(new,))
            self._failpoint("compact-before-rewrite")
            rewritten = self.log.append(entry)
        except BaseException:
            self._give_up(intent.entry_id)
            raise
        self._failpoint("compact-after-rewrite")
        if isinstance(rewritten, Fenced):
            log.warning("%s: another rewrite came first, nothing was replaced: %s", self._topic, rewritten.reason)
            done.fenced += 1
            self._give_up(intent.entry_id)
            return
        done.rewrites.append(rewritten.entry.seq)
        done.files_before += len(removes)
        done.files_after += 1
        done.bytes_before += group.bytes
        done.bytes_after += new.bytes
        done.rows += new.rows
        try:
            self._store.delete(removes)
        except StoreError as error:
            log.warning("%s: could not remove what entry %d replaced: %s", self._topic, rewritten.entry.seq, error)
        self._failpoint("compact-removed")

    def _give_up(self, intent: str) -> None:
        """End our own intent, as far as that is possible now; what was uploaded for it is garbage then."""
        try:
            abandon(self.log, intent, writer=self._writer, at=self._clock.now(), entry_id=self._new_id())
        except IntentUnknown:
            return  # ended already: by our rewrite, whose answer was lost, or by a person
        except StoreError as error:
            log.warning("%s: intent %s stays open, see `headrace gc`: %s", self._topic, intent, error)

    def _end_abandoned(self) -> None:
        """End the intents of compactions that died. Should one be wrongly taken for dead, it is fenced, no more."""
        for intent in list(self.log.refresh().intents.values()):
            if self._is_gone(intent.writer):
                log.info("%s: ending the intent %s of %s, which died", self._topic, intent.entry_id, intent.writer)
                self._give_up(intent.entry_id)

    def _clean(self, date: str, done: Compacted) -> None:
        """Remove what this run or a dead one replaced or left behind."""
        try:
            remove_dead_objects(self._store, self.log.state, self.log.refresh, date=date)
        except StoreDenied as error:
            log.warning("%s: no right to remove what was replaced; plain readers see it twice: %s", self._topic, error)
            done.may_remove = False

    def _entry(self, kind: EntryKind, topic_id: str, *, details: Mapping[str, object]) -> Entry:
        return Entry(
            kind=kind,
            topic=self._topic,
            cluster_id=self.log.state.cluster_id,
            entry_id=self._new_id(),
            writer=self._writer,
            at=self._clock.now(),
            topic_id=topic_id,
            details=details,
        )
