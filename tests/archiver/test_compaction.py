"""Compaction: the same records in fewer files, whatever runs beside it and wherever it dies."""

import itertools
from collections.abc import Callable

import pytest
from rewriter_kit import Stopped, archive_of, everything, rewriter_options
from small_archive import NOV_23_MS, Rec, SmallArchive, pin_value

from headrace.archiver.commit_log import read_state
from headrace.archiver.compaction_plan import CompactLimits
from headrace.archiver.compactor import Compactor
from headrace.archiver.failpoints import COMPACT_FAILPOINTS, no_failpoint
from headrace.archiver.garbage import unreferenced
from headrace.archiver.memory_store import MemoryStore
from headrace.archiver.object_store import OutcomeUnknown, StoreDenied
from headrace.archiver.parquet_file import FileCorrupt
from headrace.replay.errors import RangeMissing
from headrace.replay.verify import verify_archive

DATE = "2026-11-23"


def compactor(
    store: MemoryStore,
    *,
    name: str = "h:1:compact",
    limits: CompactLimits | None = None,
    failpoint: Callable[[str], None] = no_failpoint,
    gone: Callable[[str], bool] = lambda _writer: False,
) -> Compactor:
    options = rewriter_options(name, failpoint=failpoint, is_gone=gone)
    return Compactor(store, "pin", limits=limits or CompactLimits(), **options)


def files_of(archive: SmallArchive, date: str = DATE) -> list[str]:
    return [each.file.key for each in read_state(archive.memory, "pin").files.values() if each.file.dt == date]


def assert_sound(archive: SmallArchive, before: list[Rec]) -> None:
    assert everything(archive) == before
    report, _ = verify_archive(archive.memory, "pin")
    assert report.ok, report.findings


@pytest.mark.parametrize("seed", range(6))
def test_records_are_the_same_in_fewer_files(seed: int) -> None:
    """One file a kind is left of a date; every record, digest and count stands; the old objects are gone."""
    archive = archive_of(14, seed=seed)
    before, others = everything(archive), files_of(archive, "2026-11-24")
    assert len(files_of(archive)) > 5
    done = compactor(archive.memory).run(DATE)
    assert len(files_of(archive)) == 2, "data and quarantine"
    assert files_of(archive, "2026-11-24") == others
    assert done.files_before > done.files_after == 2
    assert not list(unreferenced(archive.memory, read_state(archive.memory, "pin")))
    assert_sound(archive, before)
    assert compactor(archive.memory).run(DATE).rewrites == [], "nothing is left to do"


def test_archiving_goes_on_between_two_compactions() -> None:
    """Files that come later are put behind the compacted one, although its entry is younger than some of them."""
    archive = archive_of(6)
    compactor(archive.memory).run(DATE)
    state = read_state(archive.memory, "pin")
    nexts = {p: 0 if (at := state.newest(p)) is None else at.next for p in range(3)}
    archive.commit([Rec(p, nexts[p], pin_value(1), b"k", NOV_23_MS) for p in range(3)])
    archive.commit([Rec(p, nexts[p] + 1, pin_value(2), b"k", NOV_23_MS) for p in range(3)])
    before = everything(archive)
    compactor(archive.memory).run(DATE)
    assert_sound(archive, before)
    assert len([key for key in files_of(archive) if key.startswith("data/")]) == 1


def test_limits_cut_groups() -> None:
    """No new file has more rows than it may, and files that are large enough stay as they are."""
    archive = archive_of(14)
    before = everything(archive)
    compactor(archive.memory, limits=CompactLimits(rows_max=8)).run(DATE)
    state = read_state(archive.memory, "pin")
    assert max(each.file.rows for each in state.files.values()) <= 8
    assert len(files_of(archive)) > 2
    assert_sound(archive, before)


def test_the_plan_changes_nothing() -> None:
    """plan() names the groups, and neither log nor objects change."""
    archive = archive_of(5)
    objects = dict(archive.memory.objects)
    plan = compactor(archive.memory).plan(DATE)
    assert sum(len(group.files) for group in plan) == len(files_of(archive))
    assert archive.memory.objects == objects


@pytest.mark.parametrize("point", COMPACT_FAILPOINTS)
def test_dying_at_any_step_leaves_the_archive_right(point: str) -> None:
    """After a death at each step the records are the same; the next run ends the dead one's intent and tidies up."""
    archive = archive_of(8)
    before = everything(archive)

    def die(name: str) -> None:
        if name == point:
            archive.memory.fault = dead
            raise Stopped

    def dead(_operation: str, _key: str) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        compactor(archive.memory, name="h:1:compact", failpoint=die).run(DATE)
    archive.memory.fault = lambda _operation, _key: None
    assert_sound(archive, before)
    compactor(archive.memory, name="h:2:compact", gone=lambda writer: writer == "h:1:compact").run(DATE)
    state = read_state(archive.memory, "pin")
    assert not state.intents
    assert not list(unreferenced(archive.memory, state))
    assert len(files_of(archive)) == 2
    assert_sound(archive, before)


def test_an_error_ends_the_intent() -> None:
    """A store that fails while the new file is uploaded: the intent is ended at once, and nothing was replaced."""
    archive = archive_of(8)
    before = everything(archive)

    def fault(operation: str, key: str) -> None:
        if operation == "put_if_absent" and "new" in key and key.startswith("data/"):
            raise StoreDenied("no right to write")

    archive.memory.fault = fault
    with pytest.raises(StoreDenied):
        compactor(archive.memory).run(DATE)
    archive.memory.fault = lambda _operation, _key: None
    assert not read_state(archive.memory, "pin").intents
    assert_sound(archive, before)


@pytest.mark.parametrize("point", COMPACT_FAILPOINTS)
def test_two_compactions_at_once(point: str) -> None:
    """A second one runs from start to end while the first stands at any step: one is fenced, all records stand once."""
    archive = archive_of(8)
    before = everything(archive)
    second: list[object] = []

    def interfere(name: str) -> None:
        if name == point and not second:
            second.append(compactor(archive.memory, name="h:2:compact").run(DATE))

    compactor(archive.memory, failpoint=interfere).run(DATE)
    state = read_state(archive.memory, "pin")
    assert second
    assert not state.intents
    assert not list(unreferenced(archive.memory, state))
    assert_sound(archive, before)


@pytest.mark.parametrize("point", COMPACT_FAILPOINTS[:-1])
def test_a_person_abandons_a_compaction_that_still_lives(point: str) -> None:
    """Its intent was ended at any step: the compaction is fenced or done already, and every record stands once."""
    archive = archive_of(8)
    before = everything(archive)

    def interfere(name: str) -> None:
        if name == point:
            compactor(archive.memory, gone=lambda _writer: True).run("2026-11-30")

    compactor(archive.memory, failpoint=interfere).run(DATE)
    state = read_state(archive.memory, "pin")
    assert not state.intents
    assert not list(unreferenced(archive.memory, state))
    assert_sound(archive, before)


def test_commits_between_intent_and_rewrite_are_kept() -> None:
    """An archiver's commits of the same date take their slots in between, and the rewrite goes into the next one."""
    archive = archive_of(6)
    state = read_state(archive.memory, "pin")
    nexts = {p: 0 if (at := state.newest(p)) is None else at.next for p in range(3)}
    came: list[int] = []

    def commit(name: str) -> None:
        partition = len(came) % 3
        if name != "compact-removed" and nexts[partition] >= 0:
            archive.commit([Rec(partition, nexts[partition], pin_value(7), b"k", NOV_23_MS)])
            nexts[partition] += 1
            came.append(partition)

    before = everything(archive)
    compactor(archive.memory, failpoint=commit).run(DATE)
    assert len(came) >= 5
    assert len(everything(archive)) == len(before) + len(came)
    assert_sound(archive, everything(archive))


def test_an_unclear_answer_to_the_rewrite_is_resolved() -> None:
    """The rewrite is applied and its answer lost: it is found in its slot, and no second one is made."""
    archive = archive_of(6)
    before = everything(archive)
    log_puts = itertools.count(1)

    def fault(operation: str, key: str) -> str | None:
        if operation == "put_if_absent" and key.startswith("log/"):
            return "lose-answer" if next(log_puts) % 2 else None
        return None

    archive.memory.fault = fault
    done = compactor(archive.memory).run(DATE)
    archive.memory.fault = lambda _operation, _key: None
    assert len(done.rewrites) == 2
    assert_sound(archive, before)


def test_a_damaged_file_stops_it_before_anything_is_written() -> None:
    """A flipped byte in one old file: the error names it, and neither log nor objects change."""
    archive = archive_of(6)
    key = next(key for key in files_of(archive) if key.startswith("data/"))
    body = bytearray(archive.memory.objects[key])
    body[len(body) // 2] ^= 1
    archive.memory.objects[key] = bytes(body)
    objects = dict(archive.memory.objects)
    with pytest.raises(FileCorrupt, match=key):
        compactor(archive.memory).run(DATE)
    assert archive.memory.objects == objects


def test_an_older_snapshot_says_which_entry_replaced_its_files() -> None:
    """A replay of a snapshot from before the rewrite fails and names it (I9); the newest gives everything."""
    archive = archive_of(6)
    old = read_state(archive.memory, "pin").seq
    compactor(archive.memory).run(DATE)
    with pytest.raises(RangeMissing, match=r"entry \d+ \(rewrite"):
        everything(archive, at=old)


def test_without_the_right_to_delete_the_rewrite_stands() -> None:
    """The new file counts, the old objects stay as garbage, and the result says so."""
    archive = archive_of(6)
    before = everything(archive)

    def fault(operation: str, key: str) -> None:
        if operation == "delete":
            raise StoreDenied(f"deleting {key}: denied")

    archive.memory.fault = fault
    done = compactor(archive.memory).run(DATE)
    archive.memory.fault = lambda _operation, _key: None
    assert not done.may_remove
    assert len(files_of(archive)) == 2
    assert_sound(archive, before)


def test_the_upload_that_never_ends_leaves_no_open_intent() -> None:
    """A store that never says whether the upload came: the run fails, its intent is ended, the records stand."""
    archive = archive_of(6)
    before = everything(archive)

    def fault(operation: str, key: str) -> str | None:
        if operation == "put_if_absent" and key.startswith(("data/", "quarantine/")):
            raise OutcomeUnknown("no answer")
        return None

    archive.memory.fault = fault
    with pytest.raises(Exception, match="failed"):
        compactor(archive.memory).run(DATE)
    archive.memory.fault = lambda _operation, _key: None
    assert not read_state(archive.memory, "pin").intents
    assert_sound(archive, before)
