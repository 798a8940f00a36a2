"""Each kind of file against a reader that shares no code with headrace, field by field, on records of every kind."""

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import fastavro
import pytest
from click.testing import CliRunner
from record_zoo import named_cases
from small_archive import Rec, SmallArchive

from headrace.cli.main import root

Row = tuple[int, int, int, int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]


@pytest.fixture(scope="module")
def zoo() -> SmallArchive:
    """Records of every kind in two partitions and three commits, decoded where they can be."""
    archive = SmallArchive("zoo")
    records = [
        Rec(number % 2, number // 2 * 3, case.value, case.key, case.timestamp, list(case.headers), number % 3 - 1)
        for number, case in enumerate(named_cases(Random("files")))
    ]
    third = len(records) // 6 * 2
    for start in range(0, len(records), third):
        archive.commit(records[start : start + third])
    archive.records = records  # type: ignore[attr-defined]  # the test's own note
    return archive


def expected(archive: SmallArchive) -> list[Row]:
    records: list[Rec] = archive.records  # type: ignore[attr-defined]
    return sorted((r.partition, r.offset, r.timestamp, r.timestamp_type, r.key, r.value, r.headers) for r in records)


def written(archive: SmallArchive, into: str, monkeypatch: pytest.MonkeyPatch, *more: str) -> None:
    monkeypatch.setattr("headrace.cli.replay.open_store", lambda _url: archive.store)
    env = {"HEADRACE_ARCHIVE": "s3://b/p"}
    result = CliRunner().invoke(root, ["replay", "zoo", "--into", into, *more], env=env)
    assert result.exit_code == 0, result.output


def from_lines(path: Path) -> Iterator[Row]:
    def data(text: str | None) -> bytes | None:
        return None if text is None else b64decode(text)

    for line in path.read_text().splitlines():
        row: dict[str, Any] = json.loads(line)
        headers = [(name, data(value)) for name, value in row["headers"]]
        place = (row["partition"], row["offset"], row["timestamp"], row["timestamp_type"])
        yield (*place, data(row["key"]), data(row["value"]), headers)


def from_avro(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for row in fastavro.reader(file):
            assert isinstance(row, dict)
            headers = [(header["name"], header["value"]) for header in row["headers"]]
            place = (row["partition"], row["offset"], row["timestamp"], row["timestamp_type"])
            yield (*place, row["key"], row["value"], headers)


def from_parquet(path: Path) -> Iterator[Row]:
    with closing(duckdb.connect()) as duck:
        query = "select _partition, _offset, _timestamp, _timestamp_type, _key, _value, _headers from read_parquet(?)"
        for *plain, headers in duck.execute(query, [str(path)]).fetchall():
            yield (*plain, [(header["name"], header["value"]) for header in headers])


@pytest.mark.parametrize(
    "into",
    [
        ("jsonl", "raw", from_lines),
        ("avro", "raw", from_avro),
        ("parquet", "raw", from_parquet),
        ("parquet", "event", from_parquet),
    ],
    ids=lambda into: " ".join(into[:2]),
)
def test_every_field_of_every_record_is_in_the_file(
    zoo: SmallArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, into: Any
) -> None:
    """Null and empty keys, values and headers, odd timestamps, what cannot be decoded: as it was."""
    path, (kind, form, read) = tmp_path / "out", into
    written(zoo, f"{kind}:{path}", monkeypatch, "--format", form)
    found = list(read(path))
    assert sorted(found, key=lambda row: row[:2]) == expected(zoo)
    for partition in (0, 1):
        offsets = [row[1] for row in found if row[0] == partition]
        assert offsets == sorted(offsets)


def test_parquet_has_the_decoded_columns_beside_the_records(
    zoo: SmallArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What DuckDB reads of an event's columns is what fastavro reads of its value; what is no event has nulls."""
    path = tmp_path / "out"
    written(zoo, f"parquet:{path}", monkeypatch)
    with closing(duckdb.connect()) as duck:
        query = "select user_id, pin_id, action, _value, _error_kind from read_parquet(?)"
        rows = duck.execute(query, [str(path)]).fetchall()
    decoded = [row for row in rows if row[0] is not None]
    assert decoded
    assert all(row[4] is not None or row[3] is None for row in rows if row[0] is None)
    schema = fastavro.parse_schema(json.loads((Path(__file__).parents[2] / "schemas" / "pin.avsc").read_text()))
    for user_id, pin_id, action, value, _ in decoded:
        with (tmp_path / "value").open("w+b") as file:
            file.write(value[10:])
            file.seek(0)
            event: Any = fastavro.schemaless_reader(file, schema, None)
        assert (user_id, pin_id, action) == (event["user_id"], event["pin_id"], event["action"])
