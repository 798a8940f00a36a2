"""What was archived in the last hour: from commits, however the log is read, and never by more requests than a few."""

from datetime import UTC, datetime

import pytest
from lag_facts import NOW_MS

from headrace.archiver.log_entries import Entry, EntryKind, Span, log_key
from headrace.archiver.memory_store import MemoryStore
from headrace.archiver.oncall.recent_rows import ENTRIES_BACK_MAX, RecentRows

MINUTE_MS = 60_000


def entry(seq: int, ago_min: float, rows: int = 10, quarantined: int = 1, kind: EntryKind = "commit") -> Entry:
    at = datetime.fromtimestamp((NOW_MS - ago_min * MINUTE_MS) / 1000, UTC).isoformat()
    spans = (Span(0, 0, seq * 10, seq * 10 + rows, rows=rows, quarantined=quarantined),)
    return Entry(kind, "t", "c", str(seq), "w", at, "id", spans if kind == "commit" else (), seq=seq)


class Log:
    """A log of entries that were written so many minutes ago, the oldest first; counts what is asked of its store."""

    def __init__(self, *ago_min: float) -> None:
        self.store = MemoryStore()
        self.entries = [entry(seq, ago) for seq, ago in enumerate(ago_min, 1)]
        for each in self.entries:
            self.store.put(log_key("t", each.seq), each.encode())
        self.asked = 0
        self.now_ms = NOW_MS
        self.store.fault = self._count
        self.recent = RecentRows(self.store, "t", lambda: self.now_ms)

    def _count(self, _operation: str, _key: str) -> None:
        self.asked += 1

    def counts(self) -> tuple[int, int]:
        return self.recent.counts(len(self.entries)).get(0, (0, 0))


def test_what_was_read_anyway_is_not_read_again() -> None:
    """The whole log was heard of: the hour's commits count, older ones do not, and nobody is asked."""
    log = Log(180, 61, 59, 30, 0)
    for each in log.entries:
        log.recent.take(each)
    assert (log.counts(), log.asked) == ((30, 3), 0)


def test_under_a_young_fold_the_log_is_read_back() -> None:
    """Heard of the newest two only: the two before are read, and one more that says that the hour is over."""
    log = Log(300, 200, 90, 50, 40, 30, 20)
    for each in log.entries[-2:]:
        log.recent.take(each)
    assert (log.counts(), log.asked) == ((40, 4), 3)
    assert (log.counts(), log.asked) == ((40, 4), 3)


def test_a_log_that_ends_at_its_fold_is_read_back_too() -> None:
    """Nothing was heard: the newest entries are asked for."""
    log = Log(90, 50, 40)
    assert log.counts() == (20, 2)


def test_reading_back_is_bounded() -> None:
    """A commit each second: so many tell the share of what cannot be decoded well enough."""
    log = Log(*(3 for _ in range(ENTRIES_BACK_MAX + 40)))
    assert log.counts() == (ENTRIES_BACK_MAX * 10, ENTRIES_BACK_MAX)
    assert log.asked == ENTRIES_BACK_MAX
    heard = Log(*(3 for _ in range(ENTRIES_BACK_MAX + 40)))
    for each in heard.entries[-ENTRIES_BACK_MAX:]:
        heard.recent.take(each)
    assert (heard.counts()[0], heard.asked) == (ENTRIES_BACK_MAX * 10, 0)


def test_a_watcher_forgets_what_is_over_an_hour_old() -> None:
    """Half an hour later the older half is gone, and what came since is there; twice the same entry is once."""
    log = Log(50, 40, 10)
    for each in (*log.entries, log.entries[-1]):
        log.recent.take(each)
    assert log.counts() == (30, 3)
    log.now_ms += 30 * MINUTE_MS
    log.recent.take(entry(4, -29, rows=7, quarantined=0))
    assert log.recent.counts(4) == {0: (17, 1)}


@pytest.mark.parametrize("kind", ["seal", "intent", "rewrite"])
def test_only_commits_are_archiving(kind: EntryKind) -> None:
    """A compaction of yesterday's rows archives none."""
    log = Log(10)
    log.recent.take(log.entries[0])
    log.recent.take(entry(2, 5, kind=kind))
    assert log.counts() == (10, 1)
