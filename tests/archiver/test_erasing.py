"""Erasing: exactly the rows that are named go, with all that the bucket keeps of them; all others stay as they were."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rewriter_kit import Stopped, archive_of, everything, rewriter_options
from small_archive import NOV_23_MS, TOPIC_ID, Rec, SmallArchive, pin_value
from versioned_memory import VersionedMemory

from headrace.archiver.commit_log import read_state
from headrace.archiver.compaction_plan import CompactLimits
from headrace.archiver.compactor import Compactor
from headrace.archiver.eraser import Erased, Eraser, Order
from headrace.archiver.erasing import ranges_of
from headrace.archiver.failpoints import ERASE_FAILPOINTS, no_failpoint
from headrace.archiver.garbage import unreferenced
from headrace.archiver.log_entries import Entry
from headrace.archiver.log_reading import read_entries
from headrace.archiver.log_removals import erased_parts
from headrace.archiver.log_state import LogViolation
from headrace.archiver.object_store import ObjectStore, StoreDenied
from headrace.archiver.parquet_file import FileCorrupt
from headrace.replay.erase_rows import RowJudge, condition_of
from headrace.replay.findings import VerifyReport
from headrace.replay.reader import Reading, open_reading
from headrace.replay.selection import Selection
from headrace.replay.verify import verify_archive
from headrace.replay.verify_removals import check_removals

ORDER = Order("erasure-1", "GDPR-1", "me", "0" * 64)


def eraser(
    archive: SmallArchive,
    selection: Selection,
    *,
    store: ObjectStore | None = None,
    failpoint: Callable[[str], None] = no_failpoint,
    gone: Callable[[str], bool] = lambda _writer: False,
) -> Eraser:
    store = store or archive.store
    judge = RowJudge(store, "pin", selection, list(read_state(store, "pin").files.select(dates=selection.dates)))
    options = rewriter_options("h:1:erase", failpoint=failpoint, is_gone=gone)
    return Eraser(store, "pin", judge=judge, order=ORDER, dates=selection.dates, wanted=judge.wanted, **options)


def compactor(
    store: ObjectStore, *, name: str = "h:2:compact", failpoint: Callable[[str], None] = no_failpoint
) -> Compactor:
    return Compactor(store, "pin", limits=CompactLimits(), **rewriter_options(name, failpoint=failpoint))


def of_users(*users: int) -> Selection:
    return Selection(where=f"user_id in ({', '.join(map(str, users))})")


def assert_without(archive: SmallArchive, before: Sequence[Rec], gone: Callable[[Rec], bool]) -> None:
    """All records but these are there, byte for byte, and verify says how many were erased."""
    left = [each for each in before if not gone(each)]
    assert everything(archive) == left
    report, state = verify_archive(archive.store, "pin")
    assert report.ok, report.findings
    erased = sorted((r.partition, o) for r in report.removed for pair in r.offsets for o in range(*pair))
    assert erased == sorted((each.partition, each.offset) for each in before if gone(each))
    assert not list(unreferenced(archive.store, state))
    assert not state.intents


@pytest.mark.parametrize("seed", range(4))
def test_the_rows_named_go_and_all_others_stay(seed: int) -> None:
    """Over partitions, dates, tombstones and quarantine; erasing once more finds nothing."""
    archive = archive_of(14, seed=seed)
    before = everything(archive)
    users = {3, 4, 9}
    values = {pin_value(user, at_ms=at) for user in users for at in (NOV_23_MS, NOV_23_MS + 86_400_000)}
    done = eraser(archive, of_users(*users)).run()
    assert done.rows == sum(each.value in values for each in before) > 0
    assert_without(archive, before, lambda each: each.value in values)
    again = eraser(archive, of_users(*users)).run()
    assert (again.rows, again.entries) == (0, [])


def test_a_survey_says_the_same_and_changes_nothing() -> None:
    """The dry run counts by file what the run then erases."""
    archive = archive_of(6)
    objects = dict(archive.memory.objects)
    found = eraser(archive, of_users(1, 2)).survey()
    assert archive.memory.objects == objects
    done = eraser(archive, of_users(1, 2)).run()
    assert [(f.committed.file.key, f.rows) for f in found.files] == [(f.committed.file.key, f.rows) for f in done.files]


def test_a_quarantined_record_goes_by_its_offset_or_key() -> None:
    """It has no columns, so that a condition on columns passes it over, and is told how many it could not judge."""
    archive = SmallArchive()
    archive.commit([Rec(0, 0, pin_value(1), b"a"), Rec(0, 1, b"junk", b"bob"), Rec(0, 2, b"more", b"eve")])
    before = everything(archive)
    assert eraser(archive, of_users(1)).survey().unjudged == 2
    eraser(archive, Selection(keys=(b"bob",))).run()
    assert_without(archive, before, lambda each: each.key == b"bob")
    eraser(archive, Selection(partitions=(0,), start=2, end=3)).run()
    assert_without(archive, before, lambda each: each.offset > 0)


def test_what_files_of_an_older_schema_lack_matches_nothing() -> None:
    """A column that only some files have is null in the others; of a file without any match nothing is changed."""
    archive = SmallArchive()
    archive.commit([Rec(0, 0, pin_value(1)), Rec(0, 1, pin_value(2))])
    archive.commit([Rec(0, 2, None, b"k")])
    old = next(iter(archive.log.state.files))
    done = eraser(archive, Selection(where="user_id is null and _key = 'k'::blob")).run()
    assert (done.rows, done.files_looked_at) == (1, 2)
    assert old in read_state(archive.store, "pin").files


def test_nothing_of_an_erased_row_is_left_in_the_file() -> None:
    """Neither a value, a dictionary nor a statistic of the new file holds what went."""
    archive = SmallArchive()
    archive.commit([Rec(0, o, pin_value(o), b"key-%d" % o, NOV_23_MS, [("h", b"%d" % o)]) for o in range(1000, 1010)])
    eraser(archive, of_users(1007)).run()
    ((key, body),) = [(k, b) for k, b in archive.memory.objects.items() if k.startswith("data/")]
    table = pq.read_table(pa.BufferReader(body), read_dictionary=["_key", "service"])
    assert b"key-1007" not in table.column("_key").chunk(0).dictionary.to_pylist()
    assert len(table) == 9
    plain = pa.BufferOutputStream()
    pq.write_table(pq.read_table(pa.BufferReader(body)), plain, compression="none")
    assert b"key-1007" not in plain.getvalue().to_pybytes()
    assert 1007 not in table.column("_offset").to_pylist()
    assert key not in read_state(archive.store, "pin", at=1).files


def test_a_file_of_which_no_row_is_left_goes_without_a_new_one() -> None:
    """Nothing is uploaded, so that there is no intent; the position stays."""
    archive = SmallArchive()
    archive.commit([Rec(0, 0, pin_value(1)), Rec(0, 1, pin_value(1))])
    done = eraser(archive, of_users(1)).run()
    assert done.entries == [2]
    state = read_state(archive.store, "pin")
    assert not len(state.files)
    newest = state.newest(0)
    assert newest is not None
    assert (newest.next, newest.rows) == (2, 2)
    report, _ = verify_archive(archive.store, "pin")
    assert report.ok, report.findings
    archive.commit([Rec(0, 2, pin_value(1))])
    assert [each.offset for each in everything(archive)] == [2]


def test_the_entry_says_what_went_and_not_what_it_was() -> None:
    """Offsets, reason, who, and a keyed hash of the condition; a reader that is too old is told which one it needs."""
    archive = SmallArchive()
    archive.commit([Rec(0, o, pin_value(7001 if o in (1, 2, 5) else o)) for o in range(6)])
    eraser(archive, of_users(7001)).run()
    entry = next(e for e in entries(archive) if e.kind == "erase")
    (part,) = erased_parts(entry)
    assert (part.rows, part.offsets) == (3, ((1, 3), (5, 6)))
    assert (entry.details["why"], entry.details["who"]) == ("GDPR-1", "me")
    assert (entry.min_reader, entry.min_headrace) == (2, "0.1.0")
    assert b"7001" not in entry.encode()


def entries(archive: SmallArchive) -> Iterator[Entry]:
    return (entry for entry, _ in read_entries(archive.store, "pin"))


def test_a_replay_names_what_was_erased_in_its_range() -> None:
    """With the exact offsets, cut to the range, and by which entry; the rest is checked against digests as ever."""
    archive = SmallArchive()
    archive.commit([Rec(0, o, pin_value(o % 3)) for o in range(12)])
    eraser(archive, of_users(1)).run()
    reading = open_reading(archive.store, "pin", Selection(start=3, end=9))
    assert sum(chunk.records.num_rows for chunk in reading.chunks()) == 4
    (removed,) = reading.removed()
    assert (removed.rows, removed.offsets, removed.entry) == (2, ((4, 5), (7, 8)), 3)
    assert "erased: pin/0: 2 records at offsets 4 7, by entry 3" in removed.text("pin")


# -- old versions ------------------------------------------------------------------------------------------------------


def versioned() -> tuple[SmallArchive, VersionedMemory]:
    store = VersionedMemory()
    archive = SmallArchive(store=store)
    archive.memory = store
    for offset in range(0, 9, 3):
        archive.commit([Rec(0, o, pin_value(o % 3), b"user-%d" % (o % 3)) for o in range(offset, offset + 3)])
    return archive, store


def holding(store: VersionedMemory, text: bytes) -> list[str]:
    """The versions of files in which a key stands."""
    found = []
    for (key, _), body in store.kept.items():
        if key.startswith("data/") and body is not None:
            keys = pq.read_table(pa.BufferReader(body), columns=["_key"]).column("_key").to_pylist()
            found += [key] if text in keys else []
    return found


def test_no_version_of_an_erased_row_is_left() -> None:
    """Of the files that it replaced, and of those that a compaction had removed before; markers go too."""
    archive, store = versioned()
    compactor(store).run("2026-11-23")
    assert len(holding(store, b"user-1")) == 4
    assert eraser(archive, of_users(1)).survey().old_versions == 6
    done = eraser(archive, of_users(1)).run()
    assert done.rows == 3
    assert holding(store, b"user-1") == []
    assert len(holding(store, b"user-2")) == 1
    assert {key for key, _ in store.kept if key.startswith("data/")} == set(read_state(store, "pin").files)


def test_without_the_right_to_old_versions_it_says_so() -> None:
    """What could not be removed is not passed over in silence."""
    archive, store = versioned()

    def denied(operation: str, _key: str) -> None:
        if operation == "versions":
            raise StoreDenied("no right")

    store.fault = denied
    assert eraser(archive, of_users(1)).run().old_versions is None


def test_a_run_after_a_kill_before_the_sweep_removes_the_versions() -> None:
    """The next run finds no row any more, and what the bucket kept of the first one's."""
    archive, store = versioned()

    def die(step: str) -> None:
        if step == "erase-removed":
            raise Stopped

    with pytest.raises(Stopped):
        eraser(archive, of_users(1), failpoint=die).run()
    assert holding(store, b"user-1")
    done = eraser(archive, of_users(1), gone=lambda _writer: True).run()
    assert (done.rows, holding(store, b"user-1")) == (0, [])


# -- whatever happens meanwhile ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ERASE_FAILPOINTS)
def test_killed_at_each_step_the_next_run_goes_on(point: str) -> None:
    """Dead at any step: what is there is right, and the next run ends it; no row is lost or left."""
    archive = archive_of(8)
    before = everything(archive)

    def die(step: str) -> None:
        if step == point:
            raise Stopped

    values = {pin_value(user, at_ms=at) for user in (1, 2, 3) for at in (NOV_23_MS, NOV_23_MS + 86_400_000)}
    with pytest.raises(Stopped):
        eraser(archive, of_users(1, 2, 3), failpoint=die).run()
    report, _ = verify_archive(archive.store, "pin")
    assert report.ok, report.findings
    eraser(archive, of_users(1, 2, 3), gone=lambda _writer: True).run()
    assert_without(archive, before, lambda each: each.value in values)


def test_ctrl_c_leaves_nothing_behind() -> None:
    """The intent is ended, what was uploaded for it goes, and every row is still there."""
    archive = archive_of(5)
    before = everything(archive)

    def interrupt(step: str) -> None:
        if step == "erase-uploaded":
            raise KeyboardInterrupt

    work = eraser(archive, of_users(1, 2), failpoint=interrupt)
    with pytest.raises(KeyboardInterrupt):
        work.run()
    work.tidy()
    assert_without(archive, before, lambda _each: False)


@pytest.mark.parametrize("step", ["erase-built", "erase-uploaded", "erase-before-rewrite"])
def test_a_compaction_in_the_middle_does_not_save_a_row(step: str) -> None:
    """It replaces the files that an erasure holds: that is fenced, looks again, and finds the rows where they are."""
    archive = archive_of(8)
    before = everything(archive)
    dates = ("2026-11-23", "2026-11-24")
    met: list[str] = []

    def compact(name: str) -> None:
        if name == step and not met:
            met.append(name)
            for date in dates:
                compactor(archive.memory, name="h:2:compact").run(date)

    done: Erased = eraser(archive, of_users(1, 2), failpoint=compact).run()
    assert met
    assert done.fenced
    values = {pin_value(user, at_ms=at) for user in (1, 2) for at in (NOV_23_MS, NOV_23_MS + 86_400_000)}
    assert_without(archive, before, lambda each: each.value in values)


def test_an_erasure_in_the_middle_of_a_compaction_fences_it() -> None:
    """The compaction has read the rows that go: it must not bring them back."""
    archive = archive_of(8)
    before = everything(archive)

    def erase(name: str) -> None:
        if name == "compact-uploaded":
            eraser(archive, of_users(1, 2)).run()

    for date in ("2026-11-23", "2026-11-24"):
        compactor(archive.store, failpoint=erase).run(date)
    values = {pin_value(user, at_ms=at) for user in (1, 2) for at in (NOV_23_MS, NOV_23_MS + 86_400_000)}
    assert_without(archive, before, lambda each: each.value in values)


def test_a_damaged_file_is_left_alone() -> None:
    """What is not as the log says is not written anew, as if it were sound."""
    archive = SmallArchive()
    archive.commit([Rec(0, 0, pin_value(1)), Rec(0, 1, pin_value(2))])
    (key,) = [key for key in archive.memory.objects if key.startswith("data/")]
    work = eraser(archive, of_users(1))
    body = bytearray(archive.memory.objects[key])
    body[len(body) // 2] ^= 1
    archive.memory.objects[key] = bytes(body)
    with pytest.raises(FileCorrupt, match="SHA-256"):
        work.run()
    assert read_state(archive.store, "pin").seq == 1


# -- the rules of the log ----------------------------------------------------------------------------------------------


def changed(entry: Entry, **part: Any) -> Entry:
    (only,) = entry.details["erased"]
    return replace(entry, details={**entry.details, "erased": [{**only, **part}]})


@pytest.mark.parametrize(
    "change",
    [
        lambda e: changed(e, rows=1, offsets=[[1, 2]]),
        lambda e: changed(e, rows=3, offsets=[[1, 4]]),
        lambda e: changed(e, offsets=[[2, 3], [1, 2]]),
        lambda e: changed(e, offsets=[[1, 2], [9, 10]]),
        lambda e: changed(e, partition=1),
        lambda e: changed(e, lineage=1),
        lambda e: changed(e, dt="2026-11-24"),
        lambda e: changed(e, late=1),
        lambda e: replace(e, details={**e.details, "erased": []}),
        lambda e: replace(e, details={**e.details, "intent": "another"}),
        lambda e: replace(e, files=()),
        lambda e: replace(e, topic_id="another"),
        lambda e: replace(e, details={**e.details, "removes": []}),
    ],
)
def test_an_erasure_that_takes_more_or_less_than_it_says_is_refused(change: Callable[[Entry], Entry]) -> None:
    """Counts by kind, date and identity must come out; who forges one is told by every fold of the log."""
    archive = SmallArchive()
    archive.commit([Rec(0, o, pin_value(1 if o in (1, 2) else 5), timestamp=NOV_23_MS) for o in range(5)])
    stopped: list[Entry] = []
    work = eraser(archive, of_users(1))
    append = work.log.append

    def forge(entry: Entry) -> Any:
        if entry.kind == "erase":
            stopped.append(entry)
            assert work.log.state.conflict(entry) is None
            said = work.log.state.conflict(change(entry))
            assert said is not None
            raise Stopped
        return append(entry)

    setattr(work.log, "append", forge)  # noqa: B010 - mypy forbids it as an assignment
    with pytest.raises(Stopped):
        work.run()
    assert stopped[0].topic_id == TOPIC_ID


def test_rows_that_went_by_no_entry_are_found() -> None:
    """The sum of what was archived, erased and left must come out: verify names the identity where it does not."""
    archive = SmallArchive()
    archive.commit([Rec(0, o, pin_value(o)) for o in range(5)])
    eraser(archive, of_users(1)).run()
    state = read_state(archive.store, "pin")
    state.removals.clear()
    report = VerifyReport("pin", "memory://")
    check_removals(archive.store, state, report)
    assert "5 records were archived, 0 were erased or expired, and 4 are left" in report.findings[0].what


def test_ranges_are_without_holes() -> None:
    """Neighbours come together, others stand alone."""
    assert ranges_of(np.array([1, 2, 3, 7, 9, 10])) == ((1, 4), (7, 8), (9, 11))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("user_id=7", "\"user_id\" = '7'"),
        ("email=o'b@x.org", "email=o'b@x.org"),
        ("user_id = 7 and action = 'SAVE'", "user_id = 7 and action = 'SAVE'"),
        (None, None),
    ],
)
def test_an_equality_may_be_typed_without_quotes(typed: str | None, meant: str | None) -> None:
    """field=value is the equality; whatever else is SQL as it stands."""
    assert condition_of(typed) == meant


def test_a_log_violation_names_i4() -> None:
    """A reader of a forged erasure stops with the invariant's name."""
    archive = SmallArchive()
    archive.commit([Rec(0, o, pin_value(o)) for o in range(3)])
    (key,) = archive.log.state.files
    details = {"removes": [key], "intent": "", "lineages": {}, "erased": []}
    entry = Entry("erase", "pin", archive.cluster_id, "x", "w", "2026-12-01T00:00:00Z", TOPIC_ID, details=details)
    with pytest.raises(LogViolation, match="I4"):
        archive.log.state.apply(entry.at_slot(2, archive.log.state.head_sha256), "f" * 64, "entry 2")


def test_columns_reading_still_stands() -> None:
    """Reading with decoded columns goes on as before after an erasure."""
    archive = SmallArchive()
    archive.commit([Rec(0, o, pin_value(o)) for o in range(4)])
    eraser(archive, of_users(2)).run()
    reading: Reading = open_reading(archive.store, "pin", columns=True)
    users = [u for chunk in reading.chunks() if chunk.table for u in chunk.table.column("user_id").to_pylist()]
    assert users == [0, 1, 3]
