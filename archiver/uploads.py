"""A topic's files on their way to the store, and off it again when they turn out to be dead."""

import logging
from collections.abc import Callable, Collection

from .flush_buffer import BuiltFile
from .garbage import is_past, remove_dead_objects
from .log_entries import Entry
from .log_state import Identity, LogState
from .object_store import ObjectNotFound, ObjectStore, OutcomeUnknown, StoreDenied, StoreError, StoreUnreachable

log = logging.getLogger("headrace.archiver")

UPLOAD_ATTEMPTS_MAX = 6
UPLOAD_PAUSE_S = 0.1


class Uploads:
    """Puts files and removes dead ones. `pause(seconds)` waits between attempts at a silent store."""

    def __init__(self, store: ObjectStore, topic: str, *, pause: Callable[[float], None]) -> None:
        self._store = store
        self._topic = topic
        self._pause = pause

    def put(self, file: BuiltFile) -> None:
        """Put one file. Its name is new, so that an object there can only be our own earlier attempt."""
        problem: StoreError | None = None
        for attempt in range(UPLOAD_ATTEMPTS_MAX):
            if attempt:
                self._pause(UPLOAD_PAUSE_S * 2**attempt)
            try:
                if self._store.put_if_absent(file.key, file.body) or self._store.get(file.key) == file.body:
                    return
            except (OutcomeUnknown, StoreUnreachable, ObjectNotFound) as error:
                problem = error
                continue
            raise StoreError(f"{self._store.url}/{file.key} exists with other bytes; nothing was committed")
        raise StoreUnreachable(f"uploading {file.key} failed {UPLOAD_ATTEMPTS_MAX} times; last: {problem}") from problem

    def remove_fenced(self, entry: Entry, state: LogState) -> None:
        """Remove a fenced commit's files at once: a worker that never wins would leave them to plain readers."""
        if not any(is_past(state, Identity(entry.topic_id, s.partition, s.lineage), s.start) for s in entry.spans):
            return  # the next cleaning decides
        try:
            self._store.delete(file.key for file in entry.files)
        except StoreError as error:
            log.warning("%s: could not remove the files of a fenced commit; cleaning will: %s", self._topic, error)

    def clean(self, state: LogState, refresh: Callable[[], LogState], mine: Collection[Identity]) -> bool:
        """Remove what writers that ended early left; return whether to clean again after the next commit.

        `state` is a fold of the log that `refresh()` reads on. To be cleaned again is due while an object of `mine` is
        undecided: no other writer has these identities, so that it was left by one that ended, and the next commit that
        reads its records again makes it dead.
        """
        try:
            cleaning = remove_dead_objects(self._store, state, refresh)
        except StoreDenied as error:
            log.warning("%s: no right to remove what crashed writers left; readers see it: %s", self._topic, error)
            return False
        except StoreError as error:
            log.warning("%s: removing dead objects failed, trying again after the next commit: %s", self._topic, error)
            return True
        for key in cleaning.removed:
            log.info("%s: removed %s, which a writer that ended early had left", self._topic, key)
        return not cleaning.undecided.isdisjoint(mine)
