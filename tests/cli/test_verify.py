"""`headrace verify` as typed."""

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from small_archive import SmallArchive

from headrace.archiver.log_entries import log_key

Run = Callable[..., Result]


@pytest.mark.usefixtures("archive")
def test_a_sound_archive_exits_0_and_says_what_was_checked(run: Run) -> None:
    """Counts of commits, files, parts and records; the gap is listed."""
    result = run("verify", "pin")
    assert result.exit_code == 0
    assert "pin: fine. 3 commits, 4 files, 4 parts, 9 records" in result.stdout
    assert "gap: pin/0: offsets [7, 9)" in result.stdout


def test_damage_exits_1_with_what_where_and_what_next(run: Run, archive: SmallArchive) -> None:
    """Each finding is three lines."""
    key = min(key for key in archive.memory.objects if key.startswith("data/"))
    del archive.memory.objects[key]
    result = run("verify", "pin")
    assert result.exit_code == 1
    assert f"WRONG memory://archive/{key} (entry 1)\n  what: the object does not exist" in result.stdout
    assert "  next: restore" in result.stdout


def test_json_is_one_object_also_when_things_are_wrong(run: Run, archive: SmallArchive) -> None:
    """Scripts read the findings; the exit code is the same."""
    archive.memory.objects[log_key("pin", 1)] = b"[]"
    result = run("verify", "pin", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["findings"][0]["where"].endswith(log_key("pin", 1))


def test_leftovers_are_told_and_are_fine(run: Run, archive: SmallArchive) -> None:
    """Objects that no commit names do not fail the check."""
    archive.memory.objects["data/topic=pin/dt=2026-11-23/x.parquet"] = b"x"
    result = run("verify", "pin")
    assert result.exit_code == 0
    assert "1 objects, 1 bytes, are named by no commit" in result.stdout


def test_the_head_that_log_shows_can_be_checked_later(run: Run, archive: SmallArchive) -> None:
    """The last line of `headrace log` is what --head takes."""
    head = run("log", "pin").stdout.splitlines()[-1].split()[-1]
    assert run("verify", "pin", "--head", head).exit_code == 0
    del archive.memory.objects[log_key("pin", 3)]
    assert run("verify", "pin", "--head", head).exit_code == 1


@pytest.mark.usefixtures("archive")
@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["nope"], "it has pin"),
        (["pin", "--head", "3"], "SEQ:SHA256"),
        (["pin", "--against-kafka"], "needs --kafka"),
    ],
)
def test_a_request_that_cannot_be_met_exits_2(run: Run, args: list[str], hint: str) -> None:
    """Nothing was checked, so it is no success."""
    result = run("verify", *args)
    assert result.exit_code == 2
    assert hint in result.stderr
