"""Folds: a state opened from them is the state of the entries, and a fold that cannot be relied on is passed over."""

import dataclasses
import json
import logging
import random

import pytest
from log_objects import commit, span

from headrace.archiver.commit_log import CommitLog, Committed, read_state
from headrace.archiver.fold_file import FoldUnusable, fold_key, read_fold
from headrace.archiver.folds import make_folds, store_due_folds
from headrace.archiver.log_entries import Entry, Gap, LogCorrupt, Span, log_key
from headrace.archiver.log_reading import full_thousands
from headrace.archiver.log_state import LogState
from headrace.archiver.memory_store import MemoryStore
from headrace.replay.verify import verify_archive

EVERY = 5


def no_pause(_seconds: float) -> None:
    return None


def open_log(store: MemoryStore, *, lean: bool = False) -> CommitLog:
    log = CommitLog(store, "pin", pause=no_pause, fold_entries=EVERY, lean=lean)
    log.refresh()
    return log


def history(entries: int, *, fold: bool = True) -> MemoryStore:
    """A log of commits of two partitions, with a gap, an intent, a rewrite, a seal, and folds where they are due."""
    store = MemoryStore()
    log = open_log(store)
    while log.state.seq < entries:
        seq = log.state.seq + 1
        put(log, entry_at(log.state, seq))
        if fold:
            store_due_folds(log)
    return store


def entry_at(state: LogState, seq: int) -> Entry:
    open_intent = next(iter(state.intents.values()), None)
    if seq == 4:
        return dataclasses.replace(commit(entry_id="i4"), kind="intent", details={"adds": [NEW_KEY]})
    if seq == 7 and open_intent is not None:
        return rewrite_of(state, open_intent.entry_id, seq)
    if seq == 9:
        ends = {str(at.identity.partition): at.next for at in state.partitions()}
        return dataclasses.replace(commit(entry_id="s9"), kind="seal", details={"dt": "2026-11-23", "ends": ends})
    newest = {p: 0 if (at := state.newest(p)) is None else at.next for p in (0, 1)}
    gaps = (Gap(newest[1], newest[1] + 2, "retention", {"log_start": newest[1] + 2}),) if seq == 3 else ()
    if seq == 6:  # of one partition nothing came but a marker: its span has no rows, and no file a part of it
        return commit(span(0, newest[0], newest[0] + 3), span(1, newest[1], newest[1] + 1, rows=0), entry_id="e6")
    spans = (
        span(0, newest[0], newest[0] + 3),
        Span(1, 0, newest[1], newest[1] + 4, rows=4 if not gaps else 2, gaps=gaps),
    )
    made = commit(*spans, entry_id=f"e{seq}")
    if "2026-11-23" in state.sealed:
        made = dataclasses.replace(made, files=tuple(dataclasses.replace(f, late=f.rows) for f in made.files))
    return made


NEW_KEY = "data/topic=pin/dt=2026-11-23/compacted.parquet"


def rewrite_of(state: LogState, intent: str, seq: int) -> Entry:
    """Replace the files of entries 1 and 2 by one."""
    old = [each for each in state.files.values() if each.seq <= 2]
    rows = {p: sum(part.rows for each in old for part in each.file.parts if part.partition == p) for p in (0, 1)}
    new = commit(span(0, 0, rows[0]), span(1, 0, rows[1])).files[0]
    details = {"intent": intent, "removes": [each.file.key for each in old], "lineages": {"0": 0, "1": 0}}
    entry = commit(entry_id=f"r{seq}")
    return dataclasses.replace(
        entry, kind="rewrite", spans=(), files=(dataclasses.replace(new, key=NEW_KEY),), details=details
    )


def put(log: CommitLog, entry: Entry) -> None:
    outcome = log.append(entry)
    assert isinstance(outcome, Committed), outcome


def facts(state: LogState) -> dict[str, object]:
    """All that a state says, whatever it is kept in."""
    return {
        "head": (state.seq, state.head_sha256, state.cluster_id, state.topic_id),
        "identities": state.identities,
        "files": dict(state.files.items()),
        "sealed": state.sealed,
        "intents": state.intents,
        "dates": state.dates,
        "removed": state.files.removed,
    }


def of_entries(store: MemoryStore, at: int | None = None) -> dict[str, object]:
    """The facts by the entries alone."""
    bare = MemoryStore()
    bare.objects = {key: body for key, body in store.objects.items() if key.startswith("log/")}
    return facts(read_state(bare, "pin", at=at, fold_entries=10_000))


def test_a_state_opened_from_folds_is_the_state_of_the_entries() -> None:
    """At every snapshot of a log with commits, gaps, a seal, an intent and a rewrite, both ways say the same."""
    store = history(23)
    assert [key for key in store.objects if key.startswith("fold/")] == [
        fold_key("pin", seq) for seq in (5, 10, 15, 20)
    ]
    for at in range(1, 24):
        assert facts(read_state(store, "pin", at=at, fold_entries=EVERY)) == of_entries(store, at)
    assert facts(read_state(store, "pin", fold_entries=EVERY)) == of_entries(store)


def test_opening_reads_one_fold_and_the_entries_after_it() -> None:
    """The positions of a long log cost a few looks, its newest fold, that fold's head, and the entries after it."""
    store, asked = history(23), []
    store.fault = lambda operation, key: asked.append((operation, key)) or None  # type: ignore[func-returns-value]
    state = read_state(store, "pin", fold_entries=EVERY)
    assert state.newest(0) is not None
    gets = [key for operation, key in asked if operation == "get" and key.startswith("fold/")]
    assert gets == [fold_key("pin", 20)]
    read = {int(key[-25:-5]) for operation, key in asked if operation == "get" and key.startswith("log/")}
    assert {seq for seq in read if seq % EVERY} == {21, 22, 23, 24}, "only entries after the fold"
    assert not any(operation == "list" for operation, _ in asked)
    list(state.files)
    gets = [key for operation, key in asked if operation == "get" and key.startswith("fold/")]
    assert gets == [fold_key("pin", seq) for seq in (20, 15, 10, 5)], "files come from the folds, when asked for"


def test_a_lean_log_asks_for_no_old_files_and_still_knows_them_for_cleaning() -> None:
    """A worker opens, commits and takes rewrites in without fetching folded files; key_hashes() streams them."""
    store = history(12)
    log = open_log(store, lean=True)
    put(log, entry_at(log.state, 13))
    assert not log.state.files.at_hand
    hashes = log.state.files.key_hashes()
    assert not log.state.files.at_hand
    whole = read_state(store, "pin", fold_entries=EVERY)
    assert all(key in hashes for key in whole.files)
    assert not any(key in hashes for key in whole.files.removed)


@pytest.mark.parametrize("newest", [True, False])
def test_any_flipped_bit_of_a_fold_gives_the_same_state(newest: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A damaged fold, the newest or an older one, is passed over with a warning, or its damage changes nothing."""
    store, random_bits = history(17), random.Random(7)
    expected = of_entries(store)
    key = fold_key("pin", 15 if newest else 5)
    sound = store.objects[key]
    warned = 0
    for bit in random_bits.sample(range(len(sound) * 8), 100):
        damaged = bytearray(sound)
        damaged[bit // 8] ^= 1 << bit % 8
        store.objects[key] = bytes(damaged)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert facts(read_state(store, "pin", fold_entries=EVERY)) == expected
        warned += any(key in record.getMessage() for record in caplog.records)
    assert warned > 60, "most bits are of the content; the others are of unused statistics and paddings"


def test_missing_and_foreign_folds_are_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    """A fold of another log, one under another's name, an empty one, and none at all: the entries are read."""
    store, other = history(17), MemoryStore()
    expected = of_entries(store)
    log = open_log(other)
    while log.state.seq < 15:
        at = log.state.newest(0)
        start = 0 if at is None else at.next
        put(log, commit(span(0, start, start + 1), entry_id=f"other{log.state.seq}"))
    store_due_folds(log)
    for key, body in (
        (fold_key("pin", 15), other.objects[fold_key("pin", 15)]),
        (fold_key("pin", 10), other.objects[fold_key("pin", 10)]),
        (fold_key("pin", 10), store.objects[fold_key("pin", 5)]),
        (fold_key("pin", 15), b""),
    ):
        mixed = MemoryStore()
        mixed.objects = {**store.objects, key: body}
        with caplog.at_level(logging.WARNING):
            assert facts(read_state(mixed, "pin", fold_entries=EVERY)) == expected
        assert key in caplog.records[-1].getMessage()
    for seq in (5, 10, 15):
        del store.objects[fold_key("pin", seq)]
        assert facts(read_state(store, "pin", fold_entries=EVERY)) == expected


def test_a_fold_is_not_trusted_over_a_changed_log() -> None:
    """When the entry that a fold was made at was changed since, the fold is of no use: the chain's error is shown."""
    store = history(12)
    key = log_key("pin", 10)
    value = json.loads(store.objects[key])
    value["at"] = "2020-01-01T00:00:00Z"
    store.objects[key] = (json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n").encode()
    with pytest.raises(Exception, match="prev_sha256"):
        read_state(store, "pin", fold_entries=EVERY)


def test_a_hole_in_the_log_is_an_error_however_large() -> None:
    """Entries that go on after a hole are found by the looks at full thousands: no reader ends quietly before them."""
    store = history(23, fold=False)
    for seq in range(11, 15):
        del store.objects[log_key("pin", seq)]
    with pytest.raises(LogCorrupt, match="does not exist, while entry 20 does"):
        read_state(store, "pin", fold_entries=EVERY)


def test_make_folds_makes_what_is_missing_and_replaces_what_is_damaged() -> None:
    """By hand: the folds come out byte for byte as a worker stores them, whatever state they were in."""
    store = history(23)
    sound = {key: body for key, body in store.objects.items() if key.startswith("fold/")}
    del store.objects[fold_key("pin", 10)]
    store.objects[fold_key("pin", 15)] = b"nothing"
    done = [(each.seq, each.done) for each in make_folds(store, "pin", fold_entries=EVERY)]
    assert done == [(5, "sound"), (10, "made"), (15, "replaced"), (20, "sound")]
    assert {key: body for key, body in store.objects.items() if key.startswith("fold/")} == sound


def test_full_thousands_are_found_by_a_few_looks() -> None:
    """The gallop finds the last full thousand of logs of every length."""
    store = MemoryStore()
    for seq in range(1, 131):
        store.objects[log_key("pin", seq)] = b""
        if seq % 7 == 0:
            looks: list[str] = []
            store.fault = lambda _operation, key, looks=looks: looks.append(key)  # type: ignore[misc]
            assert full_thousands(store, "pin", EVERY) == seq // EVERY
            assert len(looks) <= 12


def test_a_fold_survives_its_object_form() -> None:
    """read_fold(encode()) has the digest of what was encoded; a text that is none of ours is refused with a reason."""
    store = history(10)
    fold = read_fold(store.objects[fold_key("pin", 10)])
    assert read_fold(fold.encode()).digest == fold.digest
    assert fold.begin_seq == 5
    with pytest.raises(FoldUnusable, match="can't be read"):
        read_fold(b"PAR1 nonsense PAR1")


def test_verify_names_a_fold_that_is_damaged_or_says_something_else() -> None:
    """Sound folds are counted; a damaged one, one that is sound and false, and one beyond the log's end are found."""
    store = history(17)

    def of_folds() -> list[str]:
        report, _ = verify_archive(store, "pin", fold_entries=EVERY)
        return [f"{each.where} {each.what}" for each in report.findings if "/fold/" in each.where]

    assert of_folds() == []
    assert verify_archive(store, "pin", fold_entries=EVERY)[0].folds == 3
    fold = read_fold(store.objects[fold_key("pin", 10)])
    wrong = dataclasses.replace(fold, summary={**fold.summary, "topic_id": "T2"})
    store.objects[fold_key("pin", 10)] = wrong.encode()
    store.objects[fold_key("pin", 5)] = store.objects[fold_key("pin", 5)][:-9]
    store.objects[fold_key("pin", 100)] = fold.encode()
    found = of_folds()
    assert len(found) == 3
    for seq, what in ((5, "can't be read"), (10, "summary differ"), (100, "no fold of this log")):
        assert any(fold_key("pin", seq) in each and what in each for each in found), found
