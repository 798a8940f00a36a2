"""A reader of version 1, frozen as it was, on logs of this version: it reads them right, or says what it needs."""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from rewriter_kit import archive_of, rewriter_options
from small_archive import Rec, SmallArchive, pin_value

from headrace import __version__
from headrace.archiver import object_store
from headrace.archiver.commit_log import CommitLog, read_state
from headrace.archiver.compaction_plan import CompactLimits
from headrace.archiver.compactor import Compactor
from headrace.archiver.eraser import Eraser, Order
from headrace.archiver.expirer import Expirer
from headrace.archiver.folds import make_folds
from headrace.archiver.log_entries import LogTooNew, log_key
from headrace.archiver.moving import Destination, Ordered, move

ZIP = Path(__file__).parents[1] / "golden/readers/reader_1.zip"
EVERY = 4


@pytest.fixture(scope="module")
def old() -> Iterator[Callable[[str], ModuleType]]:
    """Modules of the frozen reader, by name."""
    sys.path.insert(0, str(ZIP))
    sys.modules["reader_1.object_store"] = object_store
    yield lambda name: importlib.import_module(f"reader_1.{name}")
    sys.path.remove(str(ZIP))


def erase(archive: SmallArchive) -> None:
    order = Order("erasure", "ticket", "me", "0" * 64)
    options = rewriter_options("h:1:erase")
    eraser = Eraser(
        archive.store, "pin", judge=lambda table, _file: table.column("_offset").to_numpy() == 2, order=order, **options
    )
    assert eraser.run().rows


def expire(archive: SmallArchive) -> None:
    assert Expirer(archive.store, "pin", before="2026-11-24", **rewriter_options("h:1:expire")).run().entries


def moved(archive: SmallArchive) -> None:
    log = CommitLog(archive.store, "pin", pause=lambda _s: None)
    to, ordered = Destination("cluster-2", "topic-id-2"), Ordered("me", "")
    move(log, to, ordered, writer="w", now=lambda: "2026-11-24T00:00:00Z", new_id=lambda: "m1", left={})


def fold(archive: SmallArchive) -> None:
    assert list(make_folds(archive.store, "pin", fold_entries=EVERY))


def test_a_log_without_new_kinds_reads_the_same_in_both(old: Callable[[str], ModuleType]) -> None:
    """Commits, a compaction, folds: the old reader comes to the same state; archivers may be upgraded one by one."""
    archive = archive_of(9)
    options = rewriter_options("h:1:compact")
    Compactor(archive.store, "pin", limits=CompactLimits(), **options).run("2026-11-23")
    fold(archive)
    for fold_entries in (1000, EVERY):
        theirs = old("log_reading").read_state(archive.store, "pin", fold_entries=fold_entries)
        ours = read_state(archive.store, "pin")
        assert (theirs.seq, theirs.head_sha256, theirs.dates) == (ours.seq, ours.head_sha256, ours.dates)
        assert list(theirs.files) == list(ours.files)
        assert {str(at) for at in theirs.identities.values()} == {str(at) for at in ours.identities.values()}


def test_what_the_old_version_commits_this_one_reads(old: Callable[[str], ModuleType]) -> None:
    """Both may write one log: an entry has the same bytes from either."""
    archive = SmallArchive()
    entry = archive.commit([Rec(0, o, pin_value(o)) for o in range(3)])
    body = archive.memory.objects[log_key("pin", 1)]
    theirs = old("log_entries").decode(body, "entry 1")
    assert theirs.encode() == body == entry.encode()
    log = old("commit_log").CommitLog(archive.store, "pin", pause=lambda _s: None)
    log.refresh()
    assert type(log.append(theirs)).__name__ == "Fenced", "it was committed already"
    assert archive.log.refresh().seq == 1


@pytest.mark.parametrize("change", [erase, expire, moved])
@pytest.mark.parametrize("folded", [False, True])
def test_the_old_reader_refuses_what_it_would_misread(
    old: Callable[[str], ModuleType], change: Callable[[SmallArchive], None], *, folded: bool
) -> None:
    """Reading, and archiving on: it stops at the entry and asks for an upgrade, also where a fold goes beyond it."""
    archive = archive_of(6)
    change(archive)
    archive.log.refresh()
    while folded and archive.log.state.seq < 2 * EVERY:
        archive.commit([], ends={9: archive.log.state.seq}, topic_id=_topic_id(archive))
    if folded:
        fold(archive)
    objects = dict(archive.memory.objects)
    too_new = old("log_entries").LogTooNew
    with pytest.raises(too_new, match=r"pin/0+\d+\.json needs reader version 2, this headrace has 1: upgrade"):
        old("log_reading").read_state(archive.store, "pin", fold_entries=EVERY)
    log = old("commit_log").CommitLog(archive.store, "pin", pause=lambda _s: None, lean=True, fold_entries=EVERY)
    with pytest.raises(too_new):
        log.refresh()
    assert archive.memory.objects == objects
    assert read_state(archive.store, "pin", fold_entries=EVERY).min_reader == 2


def _topic_id(archive: SmallArchive) -> str:
    """A topic id that the next commit may have: after a move it is a new one."""
    state = archive.log.state
    if state.moved:
        archive.cluster_id = state.cluster_id
        return "topic-id-2"
    return state.topic_id


def test_a_reader_that_is_too_old_says_which_headrace_it_needs() -> None:
    """An entry of the future names its first release, and this version repeats it."""
    archive = SmallArchive()
    archive.commit([Rec(0, 0, pin_value(0))])
    key = log_key("pin", 1)
    value = {**json.loads(archive.memory.objects[key]), "min_reader": 3, "min_headrace": "9.1.0"}
    archive.memory.objects[key] = json.dumps(value).encode()
    with pytest.raises(
        LogTooNew, match=rf"needs headrace >= 9.1.0 \(reader version 3\); this is headrace {__version__}"
    ):
        read_state(archive.store, "pin")
