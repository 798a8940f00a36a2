"""How many records were archived in the last hour, by topic and partition: from the log's commits, newest first.

What has to be read anyway, to know how far the log is, is listened to. Only where the hour began before that, under a
fold that was made lately, are entries read for it, and never more than ENTRIES_BACK_MAX: what is asked is a share of
the newest records, and it costs less than a request for each commit of an hour. Kept by the minute, so that a watcher's
memory is bounded however often is committed.
"""

from collections.abc import Callable
from datetime import datetime

from ..fetching import fetch_many, window_of
from ..log_entries import Entry, decode, log_key
from ..object_store import ObjectStore

WINDOW_MS = 3_600_000
ENTRIES_BACK_MAX = 64
_MINUTE_MS = 60_000
_AHEAD = 8

Counts = dict[int, tuple[int, int]]
"""(decoded, quarantined) records by partition."""


class RecentRows:
    """One topic's. Not thread-safe. `now_ms()` is Unix milliseconds."""

    def __init__(self, store: ObjectStore, topic: str, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._topic = topic
        self._now_ms = now_ms
        self._minutes: dict[int, Counts] = {}
        self._from = self._to = 0
        """Entries [from, to] were taken; 0: none yet."""
        self._reached = False
        """Whether the hour's beginning was passed, or that is looked for no more."""

    def take(self, entry: Entry) -> None:
        """Hear of an entry; entries come in the order of the log. One that was heard of already counts once."""
        if self._to and entry.seq != self._to + 1:
            return
        self._from, self._to = self._from or entry.seq, entry.seq
        self._reached = not self._count(entry) or self._reached

    def counts(self, head: int) -> Counts:
        """Return the last hour's, of a log whose newest entry is `head`. Raises LogCorrupt, LogTooNew, StoreError."""
        if head and not self._reached:
            self._read_back(head)
            self._reached = True
        since = self._since() // _MINUTE_MS
        self._minutes = {minute: each for minute, each in self._minutes.items() if minute >= since}
        found: Counts = {}
        for each in self._minutes.values():
            _add(found, each)
        return found

    def _since(self) -> int:
        return self._now_ms() - WINDOW_MS

    def _read_back(self, head: int) -> None:
        """Read entries before those that were taken, until one is older than the hour."""
        if not self._to:
            self._from, self._to = head + 1, head
        last = max(1, self._to + 1 - ENTRIES_BACK_MAX)
        while last < self._from:
            for seq, body in self._older(max(last, self._from - min(_AHEAD, window_of(self._store)))):
                self._from = seq
                if body is None or not self._count(decode(body, f"{self._store.url}/{log_key(self._topic, seq)}")):
                    return

    def _older(self, begin: int) -> list[tuple[int, bytes | None]]:
        seqs = range(self._from - 1, begin - 1, -1)
        return list(zip(seqs, fetch_many(self._store, [log_key(self._topic, seq) for seq in seqs]), strict=True))

    def _count(self, entry: Entry) -> bool:
        """Add an entry; return whether it is of the last hour."""
        at_ms = int(datetime.fromisoformat(entry.at).timestamp() * 1000)
        if at_ms < self._since():
            return False
        own = {span.partition: (span.rows, span.quarantined) for span in entry.spans}
        _add(self._minutes.setdefault(at_ms // _MINUTE_MS, {}), own)
        return True


def _add(total: Counts, more: Counts) -> None:
    for partition, (rows, quarantined) in more.items():
        before = total.get(partition, (0, 0))
        total[partition] = before[0] + rows, before[1] + quarantined
