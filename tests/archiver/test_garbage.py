"""Cleaning and rewrites at once: no order of their steps removes what an entry names or will name."""

import dataclasses

from log_objects import commit
from small_archive import NOV_23_MS, Rec, SmallArchive, pin_value

from headrace.archiver.commit_log import CommitLog
from headrace.archiver.garbage import candidates, judge, remove_dead_objects, unreferenced
from headrace.archiver.log_entries import Entry
from headrace.archiver.log_state import LogState


def archive_of_one() -> SmallArchive:
    archive = SmallArchive()
    archive.commit([Rec(0, o, pin_value(o), b"k", NOV_23_MS + o) for o in range(5)])
    return archive


def intent(key: str) -> Entry:
    return dataclasses.replace(commit(entry_id="r1"), cluster_id="cluster-1", kind="intent", details={"adds": [key]})


def test_what_a_rewrite_uploads_while_a_cleaner_runs_is_not_removed() -> None:
    """The cleaner has an old fold of the log; intent and upload come before it lists. It reads on before it judges."""
    archive = archive_of_one()
    cleaner = CommitLog(archive.memory, "pin", pause=lambda _s: None, lean=True)
    old = cleaner.refresh()
    new = "data/topic=pin/dt=2026-11-23/new.parquet"
    archive.append(intent(new))
    (body,) = (body for key, body in archive.memory.objects.items() if key.startswith("data/"))
    archive.memory.objects[new] = body
    assert list(unreferenced(archive.memory, old)) == [new]
    assert [each.verdict for each in judge(archive.memory, LogState("pin"), candidates(archive.memory, old))] != [
        "dead"
    ]
    cleaning = remove_dead_objects(archive.memory, old, cleaner.refresh)
    assert cleaning.removed == []
    assert cleaning.left == 1
    assert new in archive.memory.objects


def test_a_commit_between_listing_and_judging_is_seen() -> None:
    """A file that was committed after it was listed is no leftover."""
    archive = archive_of_one()
    cleaner = CommitLog(archive.memory, "pin", pause=lambda _s: None, lean=True)
    old = cleaner.refresh()
    archive.commit([Rec(0, 5, pin_value(5), b"k", NOV_23_MS)])
    assert len(list(candidates(archive.memory, old))) == 1
    assert remove_dead_objects(archive.memory, old, cleaner.refresh).left == 0
    assert len([key for key in archive.memory.objects if key.startswith("data/")]) == 2
