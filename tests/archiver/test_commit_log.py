"""The commit log: three outcomes, the fence, the chain."""

import dataclasses

import pytest
from log_objects import commit, span

from headrace.archiver.commit_log import (
    SLOT_ATTEMPTS_MAX,
    CommitLog,
    Committed,
    CommitUnknown,
    Fenced,
    read_state,
    topics_of,
)
from headrace.archiver.log_entries import Entry, Gap, LogCorrupt, LogTooNew, Span, decode, log_key, sha256_of
from headrace.archiver.log_state import Identity, LogViolation
from headrace.archiver.memory_store import MemoryStore
from headrace.archiver.object_store import OutcomeUnknown, StoreUnreachable


def no_pause(_seconds: float) -> None:
    return None


def open_log(store: MemoryStore) -> CommitLog:
    log = CommitLog(store, "pin", pause=no_pause)
    log.refresh()
    return log


def test_entries_are_dense_and_chained() -> None:
    """Each entry takes the next slot and names the SHA-256 of the one before it."""
    store = MemoryStore()
    log = open_log(store)
    for n in range(3):
        assert isinstance(log.append(commit(span(0, n * 10, n * 10 + 10), entry_id=f"e{n}")), Committed)
    keys = sorted(store.objects)
    assert keys == [log_key("pin", seq) for seq in (1, 2, 3)]
    third = decode(store.objects[keys[2]], keys[2])
    assert third.prev_sha256 == sha256_of(store.objects[keys[1]])
    state = read_state(store, "pin")
    at = state.newest(0)
    assert at is not None
    assert (state.seq, at.origin, at.next, at.rows) == (3, 0, 30, 30)


def test_an_entry_survives_its_json_form() -> None:
    """decode(encode(entry)) is the entry, with gaps of known and unknown end."""
    gaps = (Gap(3, 5, "retention", {"log_start": 5}), Gap(10, None, "topic-recreated"))
    entry = dataclasses.replace(commit(Span(0, 2, 3, 10, rows=5, gaps=gaps)), details={"settings": {"format": "raw"}})
    assert decode(entry.encode(), "here") == entry


def test_a_stale_writer_is_fenced() -> None:
    """A second writer that read the log before the first one's commit cannot commit the same range."""
    store = MemoryStore()
    first, zombie = open_log(store), open_log(store)
    assert isinstance(first.append(commit(span(0, 0, 10), entry_id="a")), Committed)
    outcome = zombie.append(commit(span(0, 0, 12), entry_id="b"))
    assert isinstance(outcome, Fenced)
    assert "next is 10" in outcome.reason
    assert len(store.objects) == 1


def test_two_writers_of_different_partitions_both_commit() -> None:
    """A taken slot is no conflict when the spans still fit: the entry moves to the next slot."""
    store = MemoryStore()
    first, second = open_log(store), open_log(store)
    assert isinstance(first.append(commit(span(0, 0, 10), entry_id="a")), Committed)
    assert isinstance(second.append(commit(span(1, 0, 10), entry_id="b")), Committed)
    assert read_state(store, "pin").seq == 2


@pytest.mark.parametrize("lost", [1, 2, 5])
def test_a_lost_answer_is_not_a_second_commit(lost: int) -> None:
    """A PUT that was applied without an answer is found in its slot and counts once."""
    answers = iter(["lose-answer"] * lost)
    store = MemoryStore(lambda operation, _key: next(answers, None) if operation == "put_if_absent" else None)
    log = open_log(store)
    for n in range(lost + 1):
        assert isinstance(log.append(commit(span(0, n, n + 1), entry_id=f"e{n}")), Committed)
    assert read_state(store, "pin").seq == lost + 1


def test_a_put_that_was_not_applied_goes_to_the_same_slot_again() -> None:
    """An unknown outcome with an empty slot sends the same body to the same slot."""
    failures = iter([True, True])

    def fault(operation: str, key: str) -> str | None:
        if operation == "put_if_absent" and next(failures, False):
            raise OutcomeUnknown(f"putting {key}: connection reset")
        return None

    store = MemoryStore(fault)
    assert isinstance(open_log(store).append(commit(span(0, 0, 10))), Committed)
    assert list(store.objects) == [log_key("pin", 1)]


def test_a_silent_store_gives_unknown_after_a_bound() -> None:
    """Neither success nor failure is guessed: the bound on attempts is named and kept."""
    puts: list[str] = []

    def fault(operation: str, key: str) -> str | None:
        if operation == "put_if_absent":
            puts.append(key)
            raise OutcomeUnknown("no answer")
        if puts:
            raise StoreUnreachable("no answer")
        return None

    with pytest.raises(CommitUnknown, match="no clear answer"):
        open_log(MemoryStore(fault)).append(commit(span(0, 0, 10)))
    assert len(puts) == SLOT_ATTEMPTS_MAX


def test_a_late_write_of_an_abandoned_entry_fences_its_writer() -> None:
    """A PUT applied after its writer gave up is seen by the writer's next append, which is then fenced."""
    store = MemoryStore()
    log = open_log(store)
    abandoned = commit(span(0, 0, 10), entry_id="late").at_slot(1, log.state.head_sha256)
    store.objects[log_key("pin", 1)] = abandoned.encode()
    assert isinstance(log.append(commit(span(0, 0, 10), entry_id="again")), Fenced)
    state = read_state(store, "pin").newest(0)
    assert state is not None
    assert state.rows == 10


def test_a_changed_entry_breaks_the_chain() -> None:
    """Editing any entry but the newest is found when the log is read."""
    store = MemoryStore()
    log = open_log(store)
    for n in range(3):
        log.append(commit(span(0, n * 10, n * 10 + 10), entry_id=f"e{n}"))
    key = log_key("pin", 2)
    store.objects[key] = store.objects[key].replace(b'"writer":"test:1:0"', b'"writer":"test:9:0"')
    with pytest.raises(LogViolation, match="I1"):
        read_state(store, "pin")


@pytest.mark.parametrize(
    ("entry", "invariant"),
    [
        (commit(span(0, 11, 20)), "I2"),
        (commit(span(0, 5, 20)), "I2"),
        (commit(span(0, 10, 20, lineage=1)), "I10"),
        (commit(span(1, 0, 5, lineage=1)), "I10"),
        (commit(span(0, 10, 20), topic_id="T2"), "I10"),
        (commit(span(0, 10, 20), cluster_id="other"), "I10"),
        (dataclasses.replace(commit(span(0, 10, 20)), spans=(span(0, 10, 20, rows=9),)), "I4"),
        (commit(span(0, 10, 20), entry_id="first"), "I3"),
        (dataclasses.replace(commit(span(0, 10, 20)), topic="follow"), "I10"),
        (dataclasses.replace(commit(span(0, 10, 20)), files=()), "I4"),
        (commit(dataclasses.replace(span(0, 10, 20), gaps=(Gap(5, 11, "retention"),))), "I5"),
    ],
)
def test_an_entry_that_breaks_an_invariant_is_refused(entry: Entry, invariant: str) -> None:
    """Holes, overlaps, mixed identities, foreign clusters, wrong counts and reused files never enter the log."""
    log = open_log(MemoryStore())
    assert isinstance(log.append(commit(span(0, 0, 10), entry_id="first")), Committed)
    outcome = log.append(entry)
    assert isinstance(outcome, Fenced)
    assert invariant in outcome.reason


def test_a_recreated_topic_needs_the_old_incarnation_closed() -> None:
    """After a closing gap the new topic id starts at its own origin; the old one stays readable and closed."""
    store = MemoryStore()
    log = open_log(store)
    log.append(commit(span(0, 0, 10), entry_id="a"))
    closing = Span(0, 0, 10, 10, gaps=(Gap(10, None, "topic-recreated"),))
    assert isinstance(log.append(commit(closing, entry_id="b")), Committed)
    assert isinstance(log.append(commit(span(0, 10, 12), entry_id="c")), Fenced)
    assert isinstance(log.append(commit(span(0, 3, 7), entry_id="d", topic_id="T2")), Committed)
    state = read_state(store, "pin")
    old, new = state.identities[Identity("T1", 0, 0)], state.newest(0)
    assert new is not None
    assert (old.closed, old.next, new.origin, new.next) == (True, 10, 3, 7)


def test_a_new_lineage_begins_in_the_entry_that_closes_the_old_one() -> None:
    """Truncation: one entry closes lineage 0 and opens lineage 1 at a lower offset."""
    log = open_log(MemoryStore())
    log.append(commit(span(0, 0, 10), entry_id="a"))
    closing = Span(0, 0, 10, 10, gaps=(Gap(10, None, "diverged"),))
    assert isinstance(log.append(commit(closing, Span(0, 1, 6, 6), entry_id="b")), Committed)
    assert isinstance(log.append(commit(span(0, 6, 9, lineage=1), entry_id="c")), Committed)
    newest = log.state.newest(0)
    assert newest is not None
    assert (newest.identity.lineage, newest.origin, newest.next) == (1, 6, 9)


def test_snapshots_are_positions_in_the_log() -> None:
    """read_state(at=N) folds entries 1 to N; a snapshot beyond the log's end does not exist."""
    store = MemoryStore()
    log = open_log(store)
    for n in range(3):
        log.append(commit(span(0, n * 10, n * 10 + 10), entry_id=f"e{n}"))
    assert len(read_state(store, "pin", at=2).files) == 2
    assert not read_state(store, "pin", at=0).files
    with pytest.raises(KeyError, match="ends at 3"):
        read_state(store, "pin", at=4)
    assert topics_of(store) == ["pin"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ((b'"seq":1', b'"seq":"1"'), LogCorrupt),
        ((b'"seq":1', b'"seq":2'), LogCorrupt),
        ((b'"spans":', b'"spams":'), LogCorrupt),
        ((b'"kind":"commit"', b'"kind":"merge"'), LogTooNew),
        ((b'"min_reader":1', b'"min_reader":3'), LogTooNew),
        ((b"{", b"["), LogCorrupt),
    ],
)
def test_a_log_object_that_is_not_as_specified_is_an_error(change: tuple[bytes, bytes], error: type[Exception]) -> None:
    """Missing or mistyped fields, unknown kinds and newer formats are refused, with the object's name."""
    store = MemoryStore()
    open_log(store).append(commit(span(0, 0, 10)))
    key = log_key("pin", 1)
    store.objects[key] = store.objects[key].replace(*change, 1)
    with pytest.raises(error, match=r"topic=pin/0+1\.json"):
        read_state(store, "pin")
