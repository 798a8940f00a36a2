"""Golden files: what was written in a released format stays readable, and means the same."""

import base64
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from format_v1 import Record, place, plain_digest, records_of

from headrace.archiver.parquet_file import footer_of, read_file
from headrace.archiver.part_digest import Part
from headrace.archiver.restore import check_part, restore_records

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = sorted(GOLDEN.glob("v*/*.parquet"))


def expected_of(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(file.with_suffix(".json").read_text())
    return loaded


def from_text(each: dict[str, Any]) -> Record:
    def data(text: str | None) -> bytes | None:
        return None if text is None else base64.b64decode(text, validate=True)

    headers = [(name, data(value)) for name, value in each["headers"]]
    return {**each, "key": data(each["key"]), "value": data(each["value"]), "headers": headers}


def test_there_are_golden_files() -> None:
    """Data, quarantine and raw files of format v1 are there, and small."""
    assert {file.name for file in FILES if file.parent.name == "v1"} >= {
        "data.parquet",
        "quarantine.parquet",
        "raw.parquet",
    }
    assert all(file.stat().st_size < 50_000 for file in FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_golden_file_gives_its_records(file: Path) -> None:
    """The file's hash, footer, records and digests are what they were when it was written."""
    expected = expected_of(file)
    body = file.read_bytes()
    table, footer = read_file(body, sha256=expected["sha256"], kind=expected["kind"])
    assert json.loads(footer.to_json()) == expected["footer"]
    assert footer_of(body) == footer
    records = restore_records(table, footer)
    wanted = [from_text(each) for each in expected["records"]]
    assert records_of(records) == wanted == sorted(wanted, key=place)
    rows = 0
    for values in expected["parts"]:
        part = Part(*values)
        assert part.row_start == rows
        check_part(records.slice(part.row_start, part.rows), part)
        assert plain_digest(wanted[part.row_start : part.row_start + part.rows]) == part.digest
        rows += part.rows
    assert rows == table.num_rows == len(wanted)


def test_the_golden_data_file_has_these_columns() -> None:
    """A plain Parquet reader sees the columns, also of rows whose value is kept beside them."""
    table = pq.read_table(pa.BufferReader((GOLDEN / "v1" / "data.parquet").read_bytes()))
    own = ["event_id", "occurred_at", "user_id", "action", "note", "ok", "ratio", "tags", "counts", "place"]
    rest = ["_partition", "_offset", "_timestamp", "_timestamp_type", "_key", "_headers", "_frame", "_value", "_late"]
    assert sorted(table.column_names[: len(own)]) == sorted(own)
    assert table.column_names[len(own) :] == rest
    assert table["user_id"].to_pylist() == [7, None, 7, 0, -1, 7, 7, None, None, 7]
    assert table["action"].to_pylist() == ["SAVE", None, "HIDE", "SAVE", "SAVE", "SAVE", "SAVE", None, None, "SAVE"]
    assert [at for at, value in enumerate(table["_value"].to_pylist()) if value is not None] == [3]


def test_the_golden_quarantine_file_has_each_kind() -> None:
    """Every kind of error is in the golden quarantine file."""
    table = pq.read_table(pa.BufferReader((GOLDEN / "v1" / "quarantine.parquet").read_bytes()))
    kinds = ["undecodable", "undecodable", "unknown-schema", "unsupported-schema", "schema-conflict", "bad-body"]
    assert table["_error_kind"].to_pylist() == kinds
