"""`headrace checkpoint` as typed: a name for positions, given once."""

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from small_archive import NOV_23_MS, TOPIC_ID, Rec, SmallArchive, pin_value

from headrace.archiver.log_entries import log_key
from headrace.archiver.log_state import Identity
from headrace.archiver.named_checkpoint import read_checkpoint

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def opened(archive: SmallArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verb opens the small archive."""
    monkeypatch.setattr("headrace.cli.checkpoint.open_store", lambda _url: archive.store)


def test_a_checkpoint_names_the_positions_of_now(run: Run, archive: SmallArchive) -> None:
    """Created, listed, shown; what is archived later does not move it."""
    assert run("checkpoint", "create", "A").exit_code == 0
    archive.commit([Rec(0, 11, pin_value(11), b"k", NOV_23_MS), Rec(1, 0, pin_value(0), b"k", NOV_23_MS)])
    assert run("checkpoint", "create", "B", "pin").exit_code == 0
    shown = json.loads(run("checkpoint", "show", "A", "--json").stdout)
    assert shown["topics"]["pin"]["positions"] == [{"lineage": 0, "next": 11, "partition": 0}]
    assert read_checkpoint(archive.store, "B").of("pin").positions == {
        Identity(TOPIC_ID, 0, 0): 12,
        Identity(TOPIC_ID, 1, 0): 1,
    }
    listed = json.loads(run("checkpoint", "list", "--json").stdout)
    assert [each["name"] for each in listed["checkpoints"]] == ["A", "B"]
    assert "pin" in run("checkpoint", "list").stdout
    assert " 11 " in run("checkpoint", "show", "A").stdout


def test_a_name_is_given_once(run: Run, archive: SmallArchive) -> None:
    """The same positions again are no harm and change nothing; others need another name."""
    run("checkpoint", "create", "A", "pin")
    body = archive.memory.objects["names/A.json"]
    assert run("checkpoint", "create", "A", "pin").exit_code == 0
    archive.commit([Rec(0, 11, pin_value(11), b"k", NOV_23_MS)])
    result = run("checkpoint", "create", "A", "pin")
    assert result.exit_code == 2
    assert "take another name" in result.output
    assert archive.memory.objects["names/A.json"] == body


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["create", "a/b", "pin"], "no name"),
        (["create", ".hidden", "pin"], "no name"),
        (["create", "A", "pins"], "no topic 'pins'"),
        (["show", "nothing"], "none yet"),
    ],
)
def test_what_cannot_be_is_refused(run: Run, args: list[str], told: str) -> None:
    """Exit code 2, and the message says why."""
    result = run("checkpoint", *args)
    assert result.exit_code == 2
    assert told in result.output


def test_a_changed_checkpoint_or_log_is_found(run: Run, archive: SmallArchive) -> None:
    """show ends with 1 for a checkpoint that was edited, one that is no JSON, and one whose log was rewritten."""
    run("checkpoint", "create", "A", "pin")
    sound = archive.memory.objects["names/A.json"]
    for damaged in (sound[:-5], sound.replace(b'"next":11', b'"next": 11'), b"{}", sound.replace(b'"A"', b'"B"')):
        archive.memory.objects["names/A.json"] = damaged
        assert run("checkpoint", "show", "A").exit_code == 1
    archive.memory.objects["names/A.json"] = sound
    archive.memory.objects[log_key("pin", 3)] += b" "
    result = run("checkpoint", "show", "A")
    assert result.exit_code == 1
    assert log_key("pin", 3) in result.output
