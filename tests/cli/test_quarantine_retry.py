"""`headrace quarantine retry` as typed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from no_schemas import NoSchemas
from small_archive import Rec, SmallArchive, pin_value

from headrace.archiver.object_store import StoreDenied

Run = Callable[..., Result]
FRAME = bytes.fromhex("c301")


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> SmallArchive:
    """Three pins, a team's event and junk, all in quarantine since no schema was known."""
    small = SmallArchive(schemas=NoSchemas())
    small.commit([Rec(0, o, pin_value(o)) for o in range(3)])
    small.commit([Rec(0, 3, b"junk"), Rec(0, 4, FRAME + TEAM_FINGERPRINT + b"\x0e")])
    for verb in ("quarantine", "replay", "verify", "log", "files"):
        monkeypatch.setattr(f"headrace.cli.{verb}.open_store", lambda _url: small.store)
    return small


TEAM = '{"type": "record", "name": "Seen", "fields": [{"name": "n", "type": "int"}]}'
TEAM_FINGERPRINT = bytes.fromhex("097b63782763582b")


def test_what_is_known_by_now_is_decoded(run: Run, archive: SmallArchive) -> None:
    """Counts before and after, the entry, and the same records in a replay; a second run has nothing to do."""
    replay = ("replay", "pin", "--into", "stdout", "--format", "raw")
    before = run(*replay).stdout
    result = run("quarantine", "retry", "pin")
    assert result.exit_code == 0, result.output
    assert "3 of 5 records of pin are decoded now (entries 4); 2 are not" in result.stdout
    assert run(*replay).stdout == before
    assert len(run("files", "pin", "--kind", "data").stdout.splitlines()) == 1
    kinds = [entry["kind"] for entry in json.loads(run("log", "pin", "--json").stdout)["entries"]]
    assert kinds[-2:] == ["intent", "rewrite"]
    assert run("verify", "pin").exit_code == 0
    assert "2 records of pin are in quarantine at snapshot 4" in run("quarantine", "list", "pin").stdout
    again = json.loads(run("quarantine", "retry", "pin", "--json").stdout)
    assert again == {
        "version": 1,
        "topic": "pin",
        "records": 2,
        "decoded": 0,
        "left": 2,
        "rewrites": [],
        "fenced": 0,
        "may_remove": True,
    }
    there = {key for key in archive.memory.objects if key.startswith(("data/", "quarantine/"))}
    assert there == set(archive.log.refresh().files)


def test_a_schema_that_was_never_published_comes_from_a_file(run: Run, archive: SmallArchive, tmp_path: Path) -> None:
    """--schema FILE decodes a team's event, and keeps the schema in the archive."""
    file = tmp_path / "seen.avsc"
    file.write_text(TEAM)
    result = run("quarantine", "retry", "pin", "--schema", str(file))
    assert "4 of 5 records of pin are decoded now" in result.stdout, result.output
    assert f"schemas/{TEAM_FINGERPRINT.hex()}.avsc" in archive.memory.objects
    events = [json.loads(line) for line in run("replay", "pin", "--into", "stdout", "--from", "4").stdout.splitlines()]
    assert events[0]["value"] == {"n": 7}


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["pins"], "no topic 'pins'"),
        (["pin", "--dt", "2026-13-01"], "2026-13-01"),
        (["pin", "--schema", "FILE"], "is no Avro schema"),
    ],
)
@pytest.mark.usefixtures("archive")
def test_what_cannot_be_is_refused(run: Run, tmp_path: Path, args: list[str], told: str) -> None:
    """Exit code 2, and the message says why."""
    file = tmp_path / "none.avsc"
    file.write_text("no schema")
    result = run("quarantine", "retry", *(str(file) if arg == "FILE" else arg for arg in args))
    assert result.exit_code == 2
    assert told in result.output


def test_a_store_that_lets_nobody_delete_is_told(run: Run, archive: SmallArchive) -> None:
    """The rows are decoded, the old objects stay; exit code 1 and the command that removes them."""

    def fault(operation: str, _key: str) -> None:
        if operation == "delete":
            raise StoreDenied("no right to delete")

    archive.memory.fault = fault
    result = run("quarantine", "retry", "pin")
    assert result.exit_code == 1
    assert "3 of 5 records" in result.stdout
    assert "headrace gc pin --delete" in result.stdout
