"""`headrace gc` as typed: it changes nothing unless told to, says what each object is and why, and removes the dead."""

import dataclasses
import json
from collections.abc import Callable

import pytest
from click.testing import Result
from log_objects import commit
from small_archive import NOV_23_MS, Rec, SmallArchive, pin_value

from headrace.archiver.log_entries import log_key
from headrace.archiver.object_store import StoreDenied

Run = Callable[..., Result]
HERE = "data/topic=pin/dt=2026-11-23"


@pytest.fixture(autouse=True)
def opened(archive: SmallArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verb opens the small archive, in which lie one object of each verdict."""
    monkeypatch.setattr("headrace.cli.gc.open_store", lambda _url: archive.store)
    other = SmallArchive()
    other.commit([Rec(0, o, pin_value(o), b"k", NOV_23_MS + o) for o in range(5)])
    ahead = SmallArchive()
    ahead.commit([Rec(1, o, pin_value(o), b"k", NOV_23_MS + o) for o in range(5)])
    (old,) = (body for key, body in other.memory.objects.items() if key.startswith("data/"))
    (new,) = (body for key, body in ahead.memory.objects.items() if key.startswith("data/"))
    archive.append(
        dataclasses.replace(
            commit(entry_id="rewrite-1"),
            cluster_id="cluster-1",
            kind="intent",
            details={"adds": [f"{HERE}/meant.parquet"]},
        )
    )
    archive.memory.objects.update(
        {
            f"{HERE}/dead.parquet": old,
            f"{HERE}/meant.parquet": old,
            f"{HERE}/open.parquet": new,
            f"{HERE}/odd.parquet": b"not ours",
            f"{HERE}/_SUCCESS": b"",
        }
    )


def verdicts(result: Result) -> dict[str, str]:
    (topic,) = json.loads(result.stdout)["topics"]
    return {each["key"].rpartition("/")[2]: each["verdict"] for each in topic["objects"]}


def test_a_dry_run_says_what_each_object_is_and_changes_nothing(run: Run, archive: SmallArchive) -> None:
    """Dead, undecided, intended and unreadable, each with its reason; committed files are not mentioned."""
    before = dict(archive.memory.objects)
    result = run("gc", "pin")
    assert result.exit_code == 0, result.output
    assert archive.memory.objects == before
    lines = {line.split()[2].rpartition("/")[2]: line for line in result.stdout.splitlines()[1:] if HERE in line}
    assert set(lines) == {"dead.parquet", "meant.parquet", "open.parquet", "odd.parquet"}
    assert lines["dead.parquet"].startswith("dead")
    assert "began at offset 0 of partition 0" in lines["dead.parquet"]
    assert "archived to 11" in lines["dead.parquet"]
    assert "partition 1" in lines["open.parquet"]
    assert "rewrite-1" in lines["meant.parquet"]
    assert "--delete" in result.stdout
    assert verdicts(run("gc", "--json")) == {
        "dead.parquet": "dead",
        "meant.parquet": "intended",
        "open.parquet": "undecided",
        "odd.parquet": "unreadable",
    }


def test_delete_removes_the_dead_and_nothing_else(run: Run, archive: SmallArchive) -> None:
    """After --delete the archive has all but the dead object, and a second run finds none."""
    before = dict(archive.memory.objects)
    result = run("gc", "pin", "--delete")
    assert result.exit_code == 0, result.output
    assert before.keys() - archive.memory.objects.keys() == {f"{HERE}/dead.parquet"}
    assert "pin: 1 objects" in result.stdout
    assert "dead" not in verdicts(run("gc", "pin", "--json")).values()
    assert run("verify", "pin").exit_code == 0


def test_abandoning_an_intent_makes_its_objects_dead(run: Run, archive: SmallArchive) -> None:
    """--abandon ends the intent by an entry; an unknown id is refused and names the open ones."""
    result = run("gc", "pin", "--abandon", "rewrite-2")
    assert result.exit_code == 2
    assert "rewrite-1" in result.output
    result = run("gc", "pin", "--abandon", "rewrite-1", "--delete", "--json")
    assert verdicts(result)["meant.parquet"] == "dead"
    assert f"{HERE}/meant.parquet" not in archive.memory.objects
    assert run("gc", "pin", "--abandon", "rewrite-1").exit_code == 2
    assert run("gc", "--abandon", "rewrite-1").exit_code == 2, "which log's?"


def test_an_unknown_topic_is_refused(run: Run) -> None:
    """The message names the topics that there are."""
    result = run("gc", "pins")
    assert result.exit_code == 2
    assert "pin" in result.output


def test_without_the_right_to_delete_it_says_so(run: Run, archive: SmallArchive) -> None:
    """A refused delete ends with 3 and the store's reason."""

    def deny(operation: str, key: str) -> None:
        if operation == "delete":
            raise StoreDenied(f"deleting {key}: access denied")

    archive.memory.fault = deny
    result = run("gc", "pin", "--delete")
    assert result.exit_code == 3
    assert "access denied" in result.output


def test_a_log_with_a_hole_is_not_cleaned(run: Run, archive: SmallArchive) -> None:
    """What entries beyond a hole name would look like garbage: nothing is removed, and the hole is named."""
    del archive.memory.objects[log_key("pin", 2)]
    before = dict(archive.memory.objects)
    result = run("gc", "pin", "--delete")
    assert result.exit_code == 1
    assert log_key("pin", 2) in result.output
    assert archive.memory.objects == before
