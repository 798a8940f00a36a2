"""Reads and extends a topic's commit log on an object store.

An append has three outcomes: committed, fenced (the log went on in a way that this entry no longer fits), or unknown.
Unknown is not an outcome that is guessed at: the slot is read until it tells, the same body is sent to the same slot
again while it is empty, and when the store stays silent CommitUnknown is raised. The caller then drops what it holds
and starts over from the log; a late write of the old body is harmless, since its slot and its spans tell.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .file_columns import FileColumns
from .fold_file import Fold, fold_of
from .log_entries import Entry, LogCorrupt, decode, log_key, sha256_of
from .log_reading import read_entries, read_newest, read_on, read_state, topics_of
from .log_state import FOLD_ENTRIES, Identity, LogState
from .object_store import ObjectNotFound, ObjectStore, OutcomeUnknown, StoreError, StoreUnreachable

__all__ = ["CommitLog", "CommitUnknown", "Committed", "Fenced", "read_entries", "read_state", "topics_of"]

SLOT_ATTEMPTS_MAX = 12
SLOT_PAUSE_S = 0.05
SLOT_PAUSE_S_MAX = 5.0
FOLDS_KEPT = 16


class CommitUnknown(StoreError):
    """The store did not tell within the bound whether an entry is in the log. Start over from the log."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The entry is in the log, at this slot."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Fenced:
    """The entry no longer fits the log: another writer was there. Nothing of it is committed."""

    reason: str


class CommitLog:
    """One topic's log. Keeps the folded state of what it has read; not thread-safe.

    `pause(seconds)` waits between attempts at a silent store. `lean`: see LogState. `folds` are those that became due
    while entries were read or written, oldest first, at most FOLDS_KEPT: a worker stores and clears them.
    """

    def __init__(
        self,
        store: ObjectStore,
        topic: str,
        *,
        pause: Callable[[float], None],
        lean: bool = False,
        fold_entries: int = FOLD_ENTRIES,
    ) -> None:
        self.store = store
        self.topic = topic
        self.pause = pause
        self.folds: deque[Fold] = deque(maxlen=FOLDS_KEPT)
        self.state = LogState(topic, lean=lean, fold_entries=fold_entries, on_thousand=self._fold_due)

    def _fold_due(self, state: LogState, columns: FileColumns, begin: tuple[int, str]) -> None:
        self.folds.append(fold_of(state, columns, begin))

    def refresh(self) -> LogState:
        """Read on to the log's end and return the state. Raises LogCorrupt, LogTooNew, LogViolation, StoreError."""
        if self.state.seq == 0:
            self.state = read_newest(self.store, self.state)
            return self.state
        return read_on(self.store, self.state)

    def refuse_hole(self) -> None:
        """Raise LogCorrupt where entries lie beyond the log's end: one before them was removed.

        Its slot must not be filled. What is archived would be archived again, and the files of the entries beyond
        would count as garbage. One request, which sees the slots of the end's thousand. Raises what refresh() raises.
        """
        nearby = log_key(self.topic, self.state.seq + 1).removesuffix(".json")[:-3]
        last = max((info.key for info in self.store.list(nearby)), default="")
        if last > log_key(self.topic, self.state.seq):
            self.refresh()  # other writers may have gone on in between: then every slot up to theirs is there
        end = log_key(self.topic, self.state.seq)
        if last > end:
            missing = f"{self.store.url}/{log_key(self.topic, self.state.seq + 1)}"
            raise LogCorrupt(
                f"{missing} does not exist, while {last} does: it was removed. Restore it from a backup or an older "
                "object version; nothing is archived to this log until then"
            )

    def commits_back(self) -> Iterator[Entry]:
        """Yield the commits from the log's end on backwards, each read when it is asked for."""
        for seq in range(self.state.seq, 0, -1):
            key = log_key(self.topic, seq)
            entry = decode(self.store.get(key), f"{self.store.url}/{key}")
            if entry.kind == "commit":
                yield entry

    def rows_end(self, identity: Identity) -> int:
        """Return one past the last archived record of an identity, 0 without any: looks back from the log's end."""
        for entry in self.commits_back():
            if entry.topic_id != identity.topic_id:
                break
            own = [s for s in entry.spans if (s.partition, s.lineage) == (identity.partition, identity.lineage)]
            parts = [part for file in entry.files for part in file.parts if part.partition == identity.partition]
            if own and parts:
                return max(part.last for part in parts) + 1
        return 0

    def append(self, entry: Entry) -> Committed | Fenced:
        """Put `entry` (its seq and prev_sha256 are set here) at the log's end.

        Raises CommitUnknown, StoreDenied, StoreMissing, and what refresh() raises.
        """
        while True:
            conflict = self.state.conflict(entry)
            if conflict is not None:
                return Fenced(conflict)
            placed = entry.at_slot(self.state.seq + 1, self.state.head_sha256)
            body = placed.encode()
            if self._take_slot(log_key(self.topic, placed.seq), body):
                self.state.apply(placed, sha256_of(body), log_key(self.topic, placed.seq))
                return Committed(placed)
            self.refresh()

    def _take_slot(self, key: str, body: bytes) -> bool:
        """Return True when the slot holds `body`, False when it holds another's. Raises CommitUnknown."""
        problem: StoreError | None = None
        wait = SLOT_PAUSE_S
        for attempt in range(SLOT_ATTEMPTS_MAX):
            if attempt:
                self.pause(wait)
                wait = min(wait * 2, SLOT_PAUSE_S_MAX)
            try:
                if self.store.put_if_absent(key, body):
                    return True
            except OutcomeUnknown as error:
                problem = error
            try:
                # Also after a plain "exists": it may be our own earlier write, applied after its answer was given up.
                return self.store.get(key) == body
            except ObjectNotFound:
                continue
            except StoreUnreachable as error:
                problem = error
        message = f"{self.store.url}/{key}: no clear answer to a commit in {SLOT_ATTEMPTS_MAX} tries; last: {problem}"
        raise CommitUnknown(message) from problem
