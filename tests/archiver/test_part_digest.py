"""The part digest against the format document and a plain implementation of it."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from format_v1 import Record, batch_of, plain_digest, record, record_lists
from hypothesis import given
from hypothesis import strategies as st

from headrace.archiver.part_digest import DigestColumns, PartDigest

DOCUMENT = Path(__file__).parents[2] / "docs" / "archive-format.md"


def digest(records: list[Record]) -> str:
    made = PartDigest()
    made.update(batch_of(records))
    return made.hexdigest()


def vectors() -> list[dict[str, Any]]:
    found = re.search(r"### Test vectors.*?```json\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None
    loaded: list[dict[str, Any]] = json.loads(found.group(1))
    return loaded


def from_vector(row: list[Any]) -> Record:
    def data(text: str | None) -> bytes | None:
        return None if text is None else base64.b64decode(text, validate=True)

    offset, timestamp, timestamp_type, key, value, headers = row
    return record(
        0,
        offset,
        data(value),
        timestamp=timestamp,
        timestamp_type=timestamp_type,
        key=data(key),
        headers=[(name, data(each)) for name, each in headers],
    )


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: str(vector["digest"][:8]))
def test_the_document_s_vectors_hold(vector: dict[str, Any]) -> None:
    """The digests printed in the format document come out, here and by the plain implementation."""
    records = [from_vector(row) for row in vector["records"]]
    assert plain_digest(records) == vector["digest"]
    assert digest(records) == vector["digest"]


def test_there_are_vectors_for_the_odd_cases() -> None:
    """The vectors cover nulls, empties, headers, and the empty part."""
    rows = [row for vector in vectors() for row in vector["records"]]
    assert any(not vector["records"] for vector in vectors())
    assert any(row[3] is None for row in rows)
    assert any(row[4] is None for row in rows)
    assert any(row[4] == "" for row in rows)
    assert any(row[5] for row in rows)


@given(record_lists(st.one_of(st.none(), st.binary(max_size=9))), st.integers(0, 30), st.integers(0, 30))
def test_it_streams(records: list[Record], first: int, second: int) -> None:
    """However the rows are cut into batches, slices or ranges, the digest is the plain one."""
    expected = plain_digest(records)
    assert digest(records) == expected
    low, high = sorted((min(first, len(records)), min(second, len(records))))
    whole = batch_of(records)
    sliced = PartDigest()
    for start, stop in ((0, low), (low, high), (high, len(records))):
        sliced.update(whole.slice(start, stop - start))
    ranged = PartDigest()
    columns = DigestColumns(whole)
    for start, stop in ((0, low), (low, high), (high, len(records))):
        ranged.update_range(columns, start, stop)
    assert sliced.hexdigest() == ranged.hexdigest() == expected
    assert ranged.rows == len(records)


def test_it_may_be_read_while_it_goes_on() -> None:
    """hexdigest() does not end the stream."""
    records = [record(0, 0, b"a"), record(0, 1, b"b")]
    streamed = PartDigest()
    streamed.update(batch_of(records[:1]))
    assert streamed.hexdigest() == plain_digest(records[:1])
    streamed.update(batch_of(records[1:]))
    assert streamed.hexdigest() == plain_digest(records)


CHANGES: list[dict[str, Any]] = [
    {"offset": 2},
    {"timestamp": -1},
    {"timestamp_type": 1},
    {"key": None},
    {"key": b""},
    {"value": None},
    {"value": b""},
    {"value": b"vw"},
    {"headers": []},
    {"headers": [("h", b"")]},
    {"headers": [("h", None), ("h", None)]},
    {"headers": [("", None)]},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_every_field_counts(change: dict[str, Any]) -> None:
    """A change of any field, null to empty included, changes the digest."""
    before = record(0, 1, b"v", headers=[("h", None)])
    assert digest([before]) != digest([{**before, **change}])


def test_bytes_can_t_move_between_neighbours() -> None:
    """The same bytes cut differently between two records are another digest."""
    assert digest([record(0, 0, b"ab"), record(0, 1, b"c")]) != digest([record(0, 0, b"a"), record(0, 1, b"bc")])


def test_stray_bytes_under_a_null_don_t_count() -> None:
    """Arrow may keep bytes where a value is null; the digest sees null."""
    clean = batch_of([record(0, 0, None), record(0, 1, b"xy")])
    offsets, data = pa.array([0, 3, 5], pa.int32()).buffers()[1], pa.py_buffer(b"???xy")
    stray = pa.Array.from_buffers(pa.binary(), 2, [clean.column(5).buffers()[0], offsets, data])
    assert stray.to_pylist() == [None, b"xy"]
    dirty = clean.set_column(5, "value", stray)
    made = PartDigest()
    made.update(dirty)
    assert made.hexdigest() == digest([record(0, 0, None), record(0, 1, b"xy")])
