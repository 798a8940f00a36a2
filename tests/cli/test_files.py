"""`headrace files` as typed: exactly the committed files, of any snapshot."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from small_archive import SmallArchive

Run = Callable[..., Result]
pytestmark = pytest.mark.usefixtures("archive")


def urls(archive: SmallArchive, kind: str = "data") -> list[str]:
    return [f"memory://archive/{key}" for key in archive.log.state.files if key.startswith(kind)]


def test_the_list_is_one_address_a_line(run: Run, archive: SmallArchive) -> None:
    """Data files only, in the order of their commits; a leftover is never among them."""
    archive.memory.objects["data/topic=pin/dt=2026-11-23/left.parquet"] = b"left"
    result = run("files", "pin")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == urls(archive)
    assert len(urls(archive)) == 4 - 1


def test_quarantine_is_listed_when_asked_for(run: Run, archive: SmallArchive) -> None:
    """--kind chooses."""
    assert run("files", "pin", "--kind", "quarantine").stdout.splitlines() == urls(archive, "quarantine")
    assert len(run("files", "pin", "--kind", "all").stdout.splitlines()) == len(archive.log.state.files)


def test_an_older_snapshot_is_the_same_for_ever(run: Run, archive: SmallArchive) -> None:
    """--at gives the files that were there then."""
    assert run("files", "pin", "--at", "1").stdout.splitlines() == urls(archive)[:1]


def test_since_lists_what_came_after(run: Run, archive: SmallArchive) -> None:
    """A daily job reads what it has not seen."""
    assert run("files", "pin", "--since", "1").stdout.splitlines() == urls(archive)[1:]
    assert run("files", "pin", "--since", "0").stdout.splitlines() == urls(archive)
    assert run("files", "pin", "--since", "3").stdout == ""


def test_since_tells_what_was_removed(run: Run, archive: SmallArchive) -> None:
    """What a job read earlier and is no longer part of the archive is named."""
    key = next(iter(archive.log.state.files))
    archive.expire(key)
    result = run("files", "pin", "--since", "2")
    assert f"removed since 2: memory://archive/{key}" in result.stderr
    value = json.loads(run("files", "pin", "--since", "2", "--format", "json").stdout)
    assert [each["url"] for each in value["removed"]] == [f"memory://archive/{key}"]
    assert [each["seq"] for each in value["added"]] == [3]


def test_a_date_is_chosen(run: Run) -> None:
    """--dt gives that date's files."""
    (line,) = run("files", "pin", "--dt", "2026-11-24").stdout.splitlines()
    assert "/dt=2026-11-24/" in line


def test_json_says_all_that_a_reader_needs(run: Run, archive: SmallArchive) -> None:
    """Address, kind, date, size, hash, rows, and the snapshot that it is."""
    value = json.loads(run("files", "pin", "--format", "json", "--kind", "all").stdout)
    assert (value["version"], value["snapshot"], value["head_sha256"]) == (1, 3, archive.log.state.head_sha256)
    first = next(iter(archive.log.state.files.values())).file
    assert value["files"][0] == {
        "url": f"memory://archive/{first.key}",
        "kind": "data",
        "dt": "2026-11-23",
        "bytes": first.bytes,
        "sha256": first.sha256,
        "rows": 5,
        "late": 0,
        "seq": 1,
        "partitions": [0],
    }


def test_symlink_manifests_are_one_file_a_date(run: Run, archive: SmallArchive, tmp_path: Path) -> None:
    """As Hive and Trino expect them; without --into the addresses come on standard output."""
    assert run("files", "pin", "--format", "symlink-manifest", "--into", str(tmp_path)).exit_code == 0
    manifest = tmp_path / "_symlink_format_manifest" / "dt=2026-11-24" / "manifest"
    assert manifest.read_text().splitlines() == [url for url in urls(archive) if "dt=2026-11-24" in url]
    assert run("files", "pin", "--format", "symlink-manifest").stdout.splitlines() == urls(archive)


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["nope"], "it has pin"),
        (["pin", "--at", "4"], "snapshots 1 to 3"),
        (["pin", "--since", "4"], "snapshots 1 to 3"),
        (["pin", "--at", "1", "--since", "2"], "snapshots 1 to 1"),
        (["pin", "--dt", "yesterday"], "YYYY-MM-DD"),
        (["pin", "--into", "somewhere"], "symlink-manifest"),
    ],
)
def test_a_request_that_cannot_be_met_exits_2(run: Run, args: list[str], hint: str) -> None:
    """The message says what there is."""
    result = run("files", *args)
    assert result.exit_code == 2
    assert hint in result.stderr
