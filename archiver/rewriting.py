"""Puts new files in the place of committed ones, while archivers run (docs/archive-format.md, "Rewrites").

Intent, upload, rewrite, removal of the old objects. Dying at any step leaves the archive right: the old files count
until the rewrite is in the log, the new ones from then on, and what is left over is garbage that the log alone tells.
Nothing is locked; two rewrites, or one and a cleaner, find each other's entries in the log. What the new files hold,
and that these are the same records, is the business of whoever made them.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from .clock import Clock
from .commit_log import CommitLog, Fenced
from .failpoints import Failpoint
from .flush_buffer import BuiltFile
from .garbage import remove_dead_objects
from .held import file_entry
from .intents import IntentUnknown, abandon
from .log_entries import Entry, EntryKind
from .log_state import FOLD_ENTRIES, CommittedFile
from .object_store import ObjectStore, StoreDenied, StoreError
from .uploads import Uploads
from .versions import KeepsVersions, ObjectVersion, gone_for_good, prefixes_of

log = logging.getLogger("headrace.archiver")


class Rewriter:
    """What a verb that rewrites files of one topic stands on. `VERB` names its failpoints.

    `is_gone(writer)`: whether the writer of an open intent is surely dead.
    """

    VERB = ""

    def __init__(
        self,
        store: ObjectStore,
        topic: str,
        *,
        writer: str,
        clock: Clock,
        new_id: Callable[[], str],
        failpoint: Failpoint,
        is_gone: Callable[[str], bool],
        fold_entries: int = FOLD_ENTRIES,
    ) -> None:
        self.log = CommitLog(store, topic, pause=clock.pause, fold_entries=fold_entries)
        self._store = store
        self._topic = topic
        self._writer = writer
        self._new_id = new_id
        self._clock = clock
        self._failpoint = failpoint
        self._is_gone = is_gone
        self._uploads = Uploads(store, topic, pause=clock.pause)

    def _reached(self, step: str) -> None:
        """Pass a named failpoint."""
        self._failpoint(f"{self.VERB}-{step}")

    def _taken(self, files: Iterable[CommittedFile]) -> bool:
        """Whether one of the files was replaced by now."""
        state = self.log.refresh()
        return any(each.file.key not in state.files for each in files)

    def _replace(
        self,
        old: Sequence[CommittedFile],
        new: Sequence[BuiltFile],
        lineages: Mapping[int, int],
        *,
        kind: EntryKind = "rewrite",
        details: Mapping[str, object] | None = None,
    ) -> Entry | None:
        """Put the new files in the place of the old ones, all or nothing; None when the log refused it.

        Raises StoreError and what the log raises; the intent is then ended, as far as the store answers.
        """
        topic_id = old[0].topic_id
        intent = self._entry("intent", topic_id, details={"adds": [each.key for each in new]})
        outcome = self.log.append(intent)
        if isinstance(outcome, Fenced):
            raise StoreError(f"{self._topic}: the log refused an intent: {outcome.reason}")
        self._reached("intent")
        removes = [each.file.key for each in old]
        try:
            for each in new:
                self._uploads.put(each)
            self._reached("uploaded")
            whole = {
                **(details or {}),
                "intent": intent.entry_id,
                "removes": removes,
                "lineages": {str(partition): lineage for partition, lineage in lineages.items()},
            }
            entry = replace(self._entry(kind, topic_id, details=whole), files=tuple(file_entry(each) for each in new))
            self._reached("before-rewrite")
            rewritten = self.log.append(entry)
        except BaseException:
            self._give_up(intent.entry_id)
            raise
        self._reached("after-rewrite")
        if isinstance(rewritten, Fenced):
            log.warning("%s: another entry came first, nothing was replaced: %s", self._topic, rewritten.reason)
            self._give_up(intent.entry_id)
            return None
        self._remove(removes, rewritten.entry.seq)
        self._reached("removed")
        return rewritten.entry

    def _remove(self, keys: Sequence[str], seq: int) -> None:
        """Remove the objects that entry `seq` took out; what stays behind is garbage that the log tells."""
        try:
            self._store.delete(keys)
        except StoreError as error:
            log.warning("%s: could not remove what entry %d took out: %s", self._topic, seq, error)

    def _give_up(self, intent: str) -> None:
        """End our own intent, as far as that is possible now; what was uploaded for it is garbage then."""
        try:
            abandon(self.log, intent, writer=self._writer, at=self._clock.now(), entry_id=self._new_id())
        except IntentUnknown:
            return  # ended already: by our rewrite, whose answer was lost, or by a person
        except StoreError as error:
            log.warning("%s: intent %s stays open, see `headrace gc`: %s", self._topic, intent, error)

    def _end_abandoned(self) -> None:
        """End the intents of rewrites that died. Should one be wrongly taken for dead, it is fenced, no more."""
        for intent in list(self.log.refresh().intents.values()):
            if self._is_gone(intent.writer):
                log.info("%s: ending the intent %s of %s, which died", self._topic, intent.entry_id, intent.writer)
                self._give_up(intent.entry_id)

    def _clean(self, date: str | None) -> bool:
        """Remove what this run or a dead one replaced or left behind, in a date or in all; False without the right."""
        try:
            remove_dead_objects(self._store, self.log.state, self.log.refresh, date=date)
        except StoreDenied as error:
            log.warning("%s: no right to remove what was replaced; plain readers see it twice: %s", self._topic, error)
            return False
        return True

    def _sweep(self, dates: Collection[str], *, remove: bool) -> int | None:
        """Remove what the bucket keeps of objects that left the archive, of these dates (none: all), or only count it.

        Returns how many versions that are or were, None where the store does not let us.
        """
        if not isinstance(self._store, KeepsVersions):
            return 0
        gone: list[ObjectVersion] = []
        try:
            for prefix in prefixes_of(self._topic, dates):
                gone += gone_for_good(self._store.versions(prefix), self.log.state, prefix)
            if remove:
                self._store.delete_versions(gone)
        except StoreDenied as error:
            log.warning("%s: no right to look at or remove old versions: %s", self._topic, error)
            return None
        return len(gone)

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
