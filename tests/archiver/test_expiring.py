"""Expiry: dates leave by entries of the log, whoever dies or writes meanwhile; what comes later is late."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rewriter_kit import Stopped, archive_of, everything, rewriter_options
from small_archive import DAY_MS, NOV_23_MS, Rec, SmallArchive, pin_value
from versioned_memory import VersionedMemory

from headrace.archiver.commit_log import read_state
from headrace.archiver.compaction_plan import CompactLimits
from headrace.archiver.compactor import Compactor
from headrace.archiver.expirer import Expirer
from headrace.archiver.failpoints import EXPIRE_FAILPOINTS
from headrace.archiver.fold_file import fold_key, read_fold
from headrace.archiver.folds import make_folds
from headrace.archiver.garbage import unreferenced
from headrace.archiver.log_entries import Entry
from headrace.archiver.log_state import LogState, LogViolation
from headrace.archiver.object_store import ObjectStore
from headrace.archiver.sealing import marker_key
from headrace.replay.verify import verify_archive

DATE, NEXT = "2026-11-23", "2026-11-24"


def expirer(store: ObjectStore, *, before: str = NEXT, **more: Any) -> Expirer:
    return Expirer(store, "pin", before=before, **rewriter_options("h:1:expire", **more))


@pytest.mark.parametrize("point", EXPIRE_FAILPOINTS)
def test_killed_at_each_step_the_next_run_goes_on(point: str) -> None:
    """Whatever was gone stays gone and accounted for; the other dates are as they were."""
    archive = archive_of(8)
    kept = sorted(key for key in archive.log.state.files if f"dt={DATE}" not in key)
    archive.memory.put(marker_key("pin", DATE), b"")

    def die(step: str) -> None:
        if step == point:
            raise Stopped

    with pytest.raises(Stopped):
        expirer(archive.memory, failpoint=die).run()
    assert verify_archive(archive.memory, "pin")[0].ok
    expirer(archive.memory).run()
    report, state = verify_archive(archive.memory, "pin")
    assert report.ok, report.findings
    assert sorted(state.files) == kept
    assert state.expired.keys() == {DATE}
    assert sorted(key for key in archive.memory.objects if f"dt={DATE}" in key) == []
    assert not list(unreferenced(archive.memory, state))


def test_a_compaction_of_the_date_meanwhile() -> None:
    """The expiry is fenced, looks again, and takes out what is there now."""
    archive = archive_of(8)

    def compact(step: str) -> None:
        if step == "expire-before-entry" and len(read_state(archive.memory, "pin").files) > 10:
            more = rewriter_options("h:2:compact")
            Compactor(archive.memory, "pin", limits=CompactLimits(), **more).run(DATE)

    done = expirer(archive.memory, failpoint=compact).run()
    assert [each.dt for each in done.dates] == [DATE]
    report, state = verify_archive(archive.memory, "pin")
    assert report.ok, report.findings
    assert not [key for key in state.files if f"dt={DATE}" in key]


def test_rows_that_come_to_an_expired_date_are_late() -> None:
    """They are archived as ever, and marked; unmarked ones are refused: who wrote them had not seen the expiry."""
    archive = SmallArchive()
    archive.commit([Rec(0, o, pin_value(o)) for o in range(3)])
    expirer(archive.memory).run()
    with pytest.raises(TypeError, match="entry 2 closed 2026-11-23"):
        archive.commit([Rec(0, 3, pin_value(3))])
    assert archive.log.refresh().closed_dates == {DATE}
    archive.commit([Rec(0, 3, pin_value(3))], late_dates=[DATE])
    report, state = verify_archive(archive.memory, "pin")
    assert report.ok, report.findings
    assert state.dates[DATE] == (1, 1)
    assert [each.offset for each in everything(archive)] == [3]
    seal = Entry("seal", "pin", archive.cluster_id, "s", "w", "", "topic-id-1", details={"dt": DATE, "ends": {"0": 4}})
    assert "let expire" in str(state.conflict(seal)), "a date of which most is gone is never complete"
    done = expirer(archive.memory).run()
    assert [(each.dt, each.rows("data")) for each in done.dates] == [(DATE, 1)]
    assert verify_archive(archive.memory, "pin")[1].removals[0].rows == 4


def test_records_without_a_time_stay_unless_asked_for() -> None:
    """dt=1970-01-01 is no date that is long ago: it is what has none."""
    archive = SmallArchive()
    archive.commit([Rec(0, 0, pin_value(0)), Rec(0, 1, None, b"k", -1)])
    assert [each.dt for each in expirer(archive.memory, before="2026-12-01").plan()] == [DATE]
    more = rewriter_options("h:1:expire")
    undated = Expirer(archive.memory, "pin", before="2026-12-01", undated=True, **more)
    assert [each.dt for each in undated.plan()] == ["1970-01-01", DATE]


def test_old_versions_go_when_asked_for() -> None:
    """A plain expiry leaves what a versioned bucket keeps; with old_versions nothing of the date is kept."""
    store = VersionedMemory()
    archive = SmallArchive(store=store)
    archive.commit([Rec(0, 0, pin_value(0)), Rec(0, 1, pin_value(1, at_ms=NOV_23_MS + DAY_MS), None, NOV_23_MS)])
    expirer(store).run()
    assert [body for (key, _), body in store.kept.items() if f"dt={DATE}" in key and body]
    archive.log.refresh()
    archive.commit([Rec(0, 2, pin_value(2))], late_dates=[DATE])
    expirer(store).run(old_versions=True)
    assert not [key for key, _ in store.kept if f"data/topic=pin/dt={DATE}" in key and key.endswith("parquet")]
    assert [key for key, _ in store.kept if f"dt={NEXT}" in key]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: {**d, "rows": []}, "not those of the files"),
        (lambda d: {**d, "dates": {DATE: [2, 0]}}, "not those of the files"),
        (lambda d: {**d, "removes": [*d["removes"], "data/topic=pin/dt=2026-11-23/x.parquet"]}, "no entry before"),
        (lambda d: {**d, "removes": d["removes"] * 2}, "twice"),
        (lambda d: {"removes": d["removes"]}, "of which partitions"),
        (lambda d: {**d, "dates": 7}, "which dates"),
    ],
)
def test_an_expiry_that_says_other_than_it_does_is_refused(
    change: Callable[[dict[str, Any]], dict[str, Any]], told: str
) -> None:
    """What it counts must be what its files hold."""
    archive = SmallArchive()
    archive.commit([Rec(0, o, pin_value(o)) for o in range(3)])
    before = archive.log.state
    (key,) = before.files
    entry = archive.expire(key)
    state = read_state(archive.memory, "pin", at=1)
    forged = replace(entry, details=change(dict(entry.details)))
    with pytest.raises(LogViolation, match=told):
        state.apply(forged, "f" * 64, "entry 2")
    state.apply(entry, "f" * 64, "entry 2")


def test_a_fold_keeps_what_went_and_needs_the_same_reader() -> None:
    """A state opened from folds says the same of removals as the entries; older readers cannot use the fold."""
    archive = archive_of(7)
    expirer(archive.memory).run()
    archive.log.refresh()
    assert [each.done for each in make_folds(archive.memory, "pin", fold_entries=4)] == ["made", "made"]
    plain, folded = read_state(archive.memory, "pin"), read_state(archive.memory, "pin", fold_entries=4)
    for name in ("removals", "expired", "dates", "min_reader", "identities"):
        assert getattr(folded, name) == getattr(plain, name), name
    assert dict(folded.files.items()) == dict(plain.files.items())
    formats = [read_fold(archive.memory.get(fold_key("pin", seq)))._fields()["format"] for seq in (4, 8)]
    assert formats == [1, 2]
    lean = LogState("pin", lean=True)
    assert lean.min_reader == 1
