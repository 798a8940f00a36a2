"""`headrace sql`, `ddl` and `quarantine` as typed, over a copy of an archive in a local folder."""

import csv
import io
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner, Result
from small_archive import DAY_MS, NOV_23_MS, Rec, SmallArchive, pin_value

from headrace.cli.main import root
from headrace.replay.fsspec_store import FsspecStore

Run = Callable[..., Result]


@pytest.fixture
def small() -> SmallArchive:
    """Three commits of pins: two dates, a tombstone, two records that are no events; and another topic."""
    archive = SmallArchive()
    archive.commit([Rec(0, o, pin_value(o), b"k", NOV_23_MS + o) for o in range(5)])
    archive.commit([Rec(0, 5, b"bad"), Rec(1, 0, None, b"gone"), Rec(1, 1, b"", b"\xff", headers=[("h", None)])])
    archive.commit([Rec(0, 6, pin_value(6, at_ms=NOV_23_MS + DAY_MS), None, NOV_23_MS + 6)])
    SmallArchive("my.topic", form="raw", store=archive.store).commit([Rec(0, 0, b"x")])
    return archive


@pytest.fixture
def run(small: SmallArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a verb on a copy of the archive as it is then, with an object that no commit names beside it."""
    folder = tmp_path / "archive"

    def open_copy(_url: str) -> FsspecStore:
        for key, body in small.memory.objects.items():
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(body)
        data = next(key for key in small.memory.objects if key.startswith("data/topic=pin"))
        (folder / data).with_name("left-by-a-crash.parquet").write_bytes(small.memory.objects[data])
        return FsspecStore(str(folder))

    for verb in ("sql", "ddl", "quarantine"):
        monkeypatch.setattr(f"headrace.cli.{verb}.open_store", open_copy)

    def run(*args: str) -> Result:
        return CliRunner().invoke(root, list(args), env={"HEADRACE_ARCHIVE": "s3://b/p"}, prog_name="headrace")

    return run


def test_only_committed_files_are_counted(run: Run) -> None:
    """What a crash left in the folder is not in the answer; the snapshot and the quarantined records are told."""
    result = run("sql", "select dt, count(*) as n, sum(user_id) from pin group by dt order by dt", "--csv")
    assert result.exit_code == 0, result.output
    assert list(csv.reader(io.StringIO(result.stdout))) == [
        ["dt", "n", "sum(user_id)"],
        ["2026-11-23", "6", "10"],
        ["2026-11-24", "1", "6"],
    ]
    assert "pin: snapshot 3, without 2 records in quarantine" in result.stderr


def test_an_earlier_snapshot_is_asked_for_by_topic(run: Run) -> None:
    """--at reads what was committed then."""
    result = run("sql", "select count(*) as n from pin", "--at", "pin=1", "--json")
    assert json.loads(result.stdout) == {"n": 5}


def test_several_topics_and_odd_names_in_one_query(run: Run) -> None:
    """Each topic is a table of its own name."""
    query = 'select (select count(*) from pin) as pins, (select count(*) from "my.topic") as others'
    assert json.loads(run("sql", query, "--json").stdout) == {"pins": 7, "others": 1}


def test_ids_are_uuids_and_nested_values_are_json(run: Run) -> None:
    """16 bytes read as people write ids, in all three forms."""
    query = "select event_id, _headers, occurred_at from pin where user_id = 3"
    row = json.loads(run("sql", query, "--json").stdout)
    assert row == {
        "event_id": "00000000-0000-0000-0000-000000000003",
        "_headers": [],
        "occurred_at": "2026-11-23T00:00:00.000000Z",
    }
    assert "00000000-0000-0000-0000-000000000003,[],2026-11-23" in run("sql", query, "--csv").stdout
    assert "00000000-0000-0000-0000-000000000003" in run("sql", query).stdout


def test_nothing_but_rows_is_on_standard_output(run: Run) -> None:
    """DuckDB draws no progress bar there, which it does by default when a query takes two seconds."""
    query = "select current_setting('enable_progress_bar') as bar from pin limit 1"
    assert json.loads(run("sql", query, "--json").stdout) == {"bar": False}


def test_a_long_table_is_cut_and_says_so(run: Run) -> None:
    """A hundred rows are enough for the eye; the other forms give all."""
    query = "select range, user_id from range(150), pin where user_id = 0"
    assert "the first 100 rows" in run("sql", query).stderr
    assert len(run("sql", query, "--csv").stdout.splitlines()) == 151


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["selct 1"], "cannot be parsed"),
        (["select 1"], "names no topic; the archive has my.topic, pin"),
        (["select nope from pin"], "nope"),
        (["select 1 from pin", "--at", "pin"], "TOPIC=SEQ"),
        (["select 1 from pin", "--at", "pin=9"], "ends at 3"),
    ],
)
def test_a_query_that_cannot_be_answered_exits_2(run: Run, arguments: list[str], hint: str) -> None:
    """The message says what is there."""
    result = run("sql", *arguments)
    assert result.exit_code == 2, result.output
    assert hint in result.stderr


def test_duckdbs_definition_runs_as_it_is_printed(run: Run) -> None:
    """A view over the folders: it has what a crash left too, as the help says."""
    printed = run("ddl", "pin").stdout
    with closing(duckdb.connect()) as duck:
        duck.execute(printed)
        assert duck.execute("select count(*), count(distinct dt) from pin").fetchall() == [(12, 2)]


@pytest.mark.parametrize(
    ("engine", "lines"),
    [
        ("spark", ["CREATE TABLE `pin` (", "  `user_id` BIGINT,", "  `event_id` BINARY,", "PARTITIONED BY (dt)"]),
        ("trino", ['  "occurred_at" timestamp(6),', '  "_headers" array(row("name" varchar, "value" varbinary)),']),
        ("athena", ["  `_headers` array<struct<name:string,value:binary>>,", "PARTITIONED BY (`dt` date)"]),
    ],
)
def test_other_engines_get_their_own_types(run: Run, engine: str, lines: list[str]) -> None:
    """Each has every column of the snapshot, in its own words."""
    printed = run("ddl", "pin", "--engine", engine).stdout
    for line in lines:
        assert line in printed.splitlines()


def test_quarantine_is_listed_by_error(run: Run) -> None:
    """How many, why, and where the first is."""
    result = run("quarantine", "list", "pin", "--json")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert sum(each["records"] for each in found) == 2
    assert {each["kind"] for each in found} == {"undecodable"}
    assert {"partition": 0, "offset": 5} in [each["first"] for each in found]
    plain = run("quarantine", "list", "pin")
    assert "2 records of pin are in quarantine at snapshot 3" in plain.stdout
    assert "0 records of my.topic are in quarantine" in run("quarantine", "list", "my.topic").stdout


def test_quarantined_records_are_shown_whole(run: Run) -> None:
    """Key, value, headers and the error, as JSON lines."""
    rows = [json.loads(line) for line in run("quarantine", "show", "pin").stdout.splitlines()]
    assert [(row["partition"], row["offset"], row["value"]) for row in rows] == [(0, 5, "bad"), (1, 1, "")]
    assert (rows[1]["key"], rows[1]["headers"]) == ({"hex": "ff"}, [["h", None]])
    assert all(row["kind"] == "undecodable" and row["error"] for row in rows)
    assert run("quarantine", "show", "pin", "--partition", "7").exit_code == 2
