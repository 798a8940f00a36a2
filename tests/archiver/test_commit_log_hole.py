"""A log from which an entry was removed is told from a log that ends there."""

from collections.abc import Iterator

import pytest
from log_objects import commit, span

from headrace.archiver.commit_log import CommitLog
from headrace.archiver.log_entries import LogCorrupt, log_key
from headrace.archiver.memory_store import MemoryStore
from headrace.archiver.object_store import ObjectInfo


def log_of(entries: int, store: MemoryStore) -> CommitLog:
    log = CommitLog(store, "pin", pause=lambda _seconds: None)
    for n in range(entries):
        log.append(commit(span(0, n, n + 1), entry_id=f"e{n}"))
    return log


def opened(store: MemoryStore) -> CommitLog:
    log = CommitLog(store, "pin", pause=lambda _seconds: None)
    log.refresh()
    return log


@pytest.mark.parametrize("entries", [0, 1, 3])
def test_a_whole_log_has_no_hole(entries: int) -> None:
    """The end of a log is no hole, and neither is a log that was not begun."""
    store = MemoryStore()
    log_of(entries, store)
    opened(store).refuse_hole()


@pytest.mark.parametrize("removed", [1, 2])
def test_a_removed_entry_is_named(removed: int) -> None:
    """Whoever opens the log learns which entry is missing, before anything is written into its place."""
    store = MemoryStore()
    log_of(3, store)
    store.delete([log_key("pin", removed)])
    log = opened(store)
    with pytest.raises(LogCorrupt, match=f"{log_key('pin', removed)} does not exist, while {log_key('pin', 3)} does"):
        log.refuse_hole()


def test_another_topics_log_is_no_part_of_it() -> None:
    """A topic whose name begins alike has a log of its own."""
    store = MemoryStore()
    log_of(1, store)
    for seq in (2, 3):
        store.put(log_key("pinned", seq), b"another's")
    opened(store).refuse_hole()


class OvertakenStore(MemoryStore):
    """A store in which another writer commits between a reader's last GET and its LIST."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        other = opened(self)
        other.append(commit(span(0, other.state.seq, other.state.seq + 1), entry_id="other"))
        return super().list(prefix)


def test_a_writer_who_went_on_in_between_makes_no_hole() -> None:
    """Entries that were added since the end was read are read then."""
    store = OvertakenStore()
    log_of(2, store)
    log = opened(store)
    log.refuse_hole()
    assert log.state.seq == 3
