"""`headrace compact` as typed: the plan, the work, and what is refused."""

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from small_archive import NOV_23_MS, Rec, SmallArchive, pin_value

Run = Callable[..., Result]
DATE = ("--dt", "2026-11-23")


@pytest.fixture(autouse=True)
def opened(archive: SmallArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verb opens the small archive, which gets another small commit."""
    monkeypatch.setattr("headrace.cli.compact.open_store", lambda _url: archive.store)
    archive.commit([Rec(0, o, pin_value(o), b"k", NOV_23_MS + o) for o in (11, 12)])


def test_a_dry_run_shows_the_plan_and_changes_nothing(run: Run, archive: SmallArchive) -> None:
    """Which files would become one, how many rows and bytes they have; nothing is written."""
    before = dict(archive.memory.objects)
    result = run("compact", "pin", *DATE, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "3 files would become 1" in result.stdout
    (group,) = json.loads(run("compact", "pin", *DATE, "--dry-run", "--json").stdout)["groups"]
    assert (group["kind"], group["rows"], len(group["files"])) == ("data", 9, 3)
    assert archive.memory.objects == before


def test_it_puts_files_together_and_everything_reads_as_before(run: Run) -> None:
    """The same records come out of a replay; the log shows the rewrite, and verify finds nothing."""
    replay = ("replay", "pin", "--into", "stdout", "--format", "raw")
    before = run(*replay).stdout
    result = run("compact", "pin", *DATE)
    assert result.exit_code == 0, result.output
    assert "3 files" in result.stdout
    assert "the same 9 rows" in result.stdout
    assert run(*replay).stdout == before
    assert len(run("files", "pin", *DATE).stdout.splitlines()) == 1
    kinds = [entry["kind"] for entry in json.loads(run("log", "pin", "--json").stdout)["entries"]]
    assert kinds[-2:] == ["intent", "rewrite"]
    assert run("verify", "pin").exit_code == 0
    assert "0 files" in run("compact", "pin", *DATE).stdout


def test_what_came_and_went_is_told_since_a_snapshot(run: Run) -> None:
    """files --since names the new file as added and the old ones as removed; the old snapshot fails by its entry."""
    run("compact", "pin", *DATE)
    since = json.loads(run("files", "pin", "--since", "4", "--format", "json").stdout)
    assert (len(since["added"]), len(since["removed"])) == (1, 3)
    result = run("replay", "pin", "--at", "4", "--into", "stdout", "--format", "raw")
    assert result.exit_code == 2
    assert "entry 6 (rewrite" in result.output


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["pins", *DATE], "no topic 'pins'"),
        (["pin"], "--dt"),
        (["pin", "--dt", "2026-13-01"], "2026-13-01"),
    ],
)
def test_what_cannot_be_is_refused(run: Run, args: list[str], told: str) -> None:
    """Exit code 2, and the message says why."""
    result = run("compact", *args)
    assert result.exit_code == 2
    assert told in result.output


def test_a_date_without_files_is_nothing_to_do(run: Run) -> None:
    """No rows, no rewrite, exit code 0."""
    result = run("compact", "pin", "--dt", "2026-10-01")
    assert result.exit_code == 0
    assert "0 files" in result.stdout
