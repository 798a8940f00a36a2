"""`headrace log` as typed."""

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from small_archive import SmallArchive

from headrace.archiver.log_entries import log_key

Run = Callable[..., Result]
pytestmark = pytest.mark.usefixtures("archive")


def test_each_commit_is_a_line(run: Run) -> None:
    """Number, time, spans, rows, quarantined, gaps, files, bytes and writer stand in columns."""
    headings, *lines, head = run("log", "pin").stdout.splitlines()
    assert headings.split() == [
        *("seq", "at", "kind", "spans", "rows", "quarantined", "gaps", "files", "bytes", "writer"),
    ]
    assert lines[1].split()[:8] == ["2", "2026-11-23T12:00:00.000000Z", "commit", "0:[5,7)", "1", "1", "0", "2"]
    assert lines[2].split()[3:7] == ["0:[7,11)", "2", "0", "1"]
    assert head.startswith("head 3:")


def test_tail_shows_the_newest(run: Run) -> None:
    """--tail 1 is the last commit."""
    lines = run("log", "pin", "--tail", "1").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["3", "head"]


def test_json_holds_the_entries_as_they_are(run: Run, archive: SmallArchive) -> None:
    """Versioned, with each entry's own hash."""
    value = json.loads(run("log", "pin", "--json").stdout)
    assert (value["version"], value["head"], value["head_sha256"]) == (1, 3, archive.log.state.head_sha256)
    assert value["entries"][1]["prev_sha256"] == value["entries"][0]["sha256"]
    assert value["entries"][2]["spans"][0]["gaps"][0]["reason"] == "retention"


def test_other_kinds_of_entries_are_shown(run: Run, archive: SmallArchive) -> None:
    """An expire entry is a line with its kind."""
    key = next(iter(archive.log.state.files))
    archive.expire(key)
    line = run("log", "pin").stdout.splitlines()[-2]
    assert line.split()[2:4] == ["expire", "before=2026-12-01"]


def test_an_unknown_topic_exits_2(run: Run) -> None:
    """And the known ones are named."""
    result = run("log", "nope")
    assert result.exit_code == 2
    assert "it has pin" in result.stderr


def test_a_corrupt_commit_exits_1(run: Run, archive: SmallArchive) -> None:
    """The log is checked while it is shown."""
    archive.memory.objects[log_key("pin", 2)] = archive.memory.objects[log_key("pin", 1)]
    result = run("log", "pin")
    assert result.exit_code == 1
    assert log_key("pin", 2) in result.stderr
