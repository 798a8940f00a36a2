"""Records through the buffer into files and back: the promise of the format, over every shape of record."""

import json
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from format_v1 import (
    EVENT_ID,
    NOW_MS,
    Record,
    Schemas,
    batch_of,
    body,
    buffer,
    context,
    frame,
    new_event,
    old_event,
    place,
    read,
    record,
    record_lists,
    restored,
    schema_text,
    value_of,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.archiver.topic_decoder import QUARANTINE_KINDS


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(record_lists(), st.lists(st.integers(0, 30), max_size=4))
def test_every_record_comes_back_exactly(records: list[Record], cuts: list[int]) -> None:
    """Whatever the records and however they are batched: each comes back byte for byte, once, and digests agree."""
    held = buffer()
    bounds = sorted({0, len(records), *(min(cut, len(records)) for cut in cuts)})
    for start, stop in pairwise(bounds):
        held.add(batch_of(records[start:stop]))
    files = held.build(context())
    assert restored(files) == sorted(records, key=place)
    assert held.rows == len(records) == sum(file.rows for file in files)
    assert sum(held.quarantined.values()) == sum(file.rows for file in files if file.kind == "quarantine")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(record_lists())
def test_a_raw_topic_comes_back_exactly(records: list[Record]) -> None:
    """A raw topic has no quarantine and no own columns, and gives every record back."""
    held = buffer(format="raw")
    held.add(batch_of(records))
    files = held.build(context())
    assert restored(files) == sorted(records, key=place)
    for file in files:
        table, footer = read(file)
        assert file.kind == "data"
        assert footer.schemas == {}
        assert all(name.startswith("_") for name in table.column_names)
        assert table.column("_frame").null_count == table.num_rows


def one_file(records: list[Record], schemas: Schemas | None = None) -> tuple[list[dict[str, Any]], dict[bytes, str]]:
    held = buffer(schemas)
    held.add(batch_of(records))
    files = held.build(context())
    assert restored(files) == sorted(records, key=place)
    assert len(files) == 1
    table, footer = read(files[0])
    return table.to_pylist(), dict(footer.schemas)


def test_columns_stand_for_canonical_values() -> None:
    """Where the columns give the bytes back, the value is not stored: `_frame` is set, `_value` null."""
    rows, schemas = one_file([record(0, 5, value_of(b"old-----", old_event(user_id=9)))])
    assert rows[0]["user_id"] == 9
    assert rows[0]["action"] == "SAVE"
    assert (rows[0]["_frame"], rows[0]["_value"], rows[0]["_late"]) == (frame(b"old-----"), None, False)
    assert list(schemas) == [frame(b"old-----")]


def test_values_that_are_not_canonical_are_kept_beside_their_columns() -> None:
    """A varint longer than it need be decodes to columns all the same, and the whole value stays."""
    text = schema_text(("n", "long"))
    values = [frame(b"n-------") + each for each in (b"\x02", b"\x82\x00")]
    rows, schemas = one_file([record(0, at, value) for at, value in enumerate(values)], Schemas({b"n-------": text}))
    assert [row["n"] for row in rows] == [1, 1]
    assert [(row["_frame"], row["_value"]) for row in rows] == [(values[0][:10], None), (None, values[1])]
    assert schemas == {values[0][:10]: text}


def test_a_footer_names_the_schema_of_a_value_that_was_kept_whole() -> None:
    """A row that keeps its value was still read with a schema, which the footer holds."""
    text = schema_text(("n", "long"))
    rows, schemas = one_file([record(0, 0, frame(b"n-------") + b"\x82\x00")], Schemas({b"n-------": text}))
    assert rows[0]["n"] == 1
    assert schemas == {frame(b"n-------"): text}


def test_tombstones_are_rows() -> None:
    """A null value in an Avro topic is a data row with null in its own columns, `_frame` and `_value`."""
    rows, _ = one_file([record(0, 0, None), record(0, 1, value_of(b"old-----", old_event()))])
    assert {rows[0][name] for name in ("event_id", "occurred_at", "user_id", "action", "_frame", "_value")} == {None}
    assert rows[1]["user_id"] == 7


def test_only_tombstones() -> None:
    """A file may hold nothing but tombstones, and then has no own columns and no schemas."""
    rows, schemas = one_file([record(0, 0, None)])
    assert next(iter(rows[0])) == "_partition"
    assert schemas == {}


def test_two_versions_share_a_file() -> None:
    """Columns are the union over the schemas; each row comes back under its own."""
    rows, schemas = one_file(
        [
            record(0, 0, value_of(b"new-----", new_event(note="x", action="HIDE"))),
            record(0, 1, value_of(b"old-----", old_event())),
            record(0, 2, value_of(b"new-----", new_event())),
        ]
    )
    assert [row["note"] for row in rows] == ["x", None, None]
    assert [row["ratio"] for row in rows] == [0.5, None, 0.5]
    assert [row["action"] for row in rows] == ["HIDE", "SAVE", "SAVE"]
    assert set(schemas) == {frame(b"new-----"), frame(b"old-----")}


def test_a_column_that_is_a_record_may_grow() -> None:
    """Two versions of a nested record share one column, and each row is restored as it was."""
    rows, _ = one_file(
        [
            record(0, 0, value_of(b"wide----", {"occurred_at": None, "tags": [], "counts": {}, "place": {"x": 1}})),
            record(0, 1, value_of(b"wider---", {"occurred_at": None, "place": {"x": 2, "name": "here"}})),
        ]
    )
    assert [row["place"] for row in rows] == [{"x": 1, "name": None}, {"x": 2, "name": "here"}]


def test_confluent_frames_are_read_where_the_registry_knows_them() -> None:
    """00 and a schema id is a frame of 5 bytes, restored with it."""
    value = b"\x00\x00\x00\x00\x07" + value_of(b"old-----", old_event())[10:]
    rows, schemas = one_file([record(0, 0, value)])
    assert rows[0]["user_id"] == 7
    assert rows[0]["_frame"] == value[:5]
    assert list(schemas) == [value[:5]]


def quarantined(value: bytes, *before: bytes) -> dict[str, Any]:
    records = [record(0, at, each) for at, each in enumerate((*before, value))]
    held = buffer()
    held.add(batch_of(records))
    files = held.build(context())
    assert restored(files) == records
    assert held.quarantined == {0: 1}
    table, _ = read(files[-1])
    rows = table.to_pylist()
    assert len(rows) == 1
    assert rows[0]["_value"] == value
    assert rows[0]["_error_kind"] in QUARANTINE_KINDS
    return dict(rows[0])


def test_each_reason_has_its_kind() -> None:
    """What can't be decoded is kept whole, with the kind of error."""
    old = value_of(b"old-----", old_event())
    kinds = {
        b"": "undecodable",
        b"\xc3": "undecodable",
        old[:9]: "undecodable",
        b"\xc3\x02" + old[2:]: "undecodable",
        b"\x00\x00\x00\x07": "undecodable",
        json.dumps({"user": 7}).encode(): "undecodable",
        b"\x00\x00\x00\x00\x08": "unknown-schema",
        frame(b"unknown-") + b"\x02": "unknown-schema",
        frame(b"unsupp--") + b"\x00\x00": "unsupported-schema",
        frame(b"reserved") + b"\x02": "unsupported-schema",
        old[:10]: "bad-body",
        old[:-1]: "bad-body",
        old + b"\x00": "bad-body",
        old[:-1] + b"\x40": "bad-body",
    }
    assert {value: quarantined(value)["_error_kind"] for value in kinds} == kinds


def test_a_column_has_one_type() -> None:
    """The later of two schemas that disagree on a column's type is quarantined, as is one that differs in case."""
    old = value_of(b"old-----", old_event())
    row = quarantined(frame(b"conflict") + b"\x02a", old)
    assert row["_error_kind"] == "schema-conflict"
    assert "user_id" in row["_error"]
    assert quarantined(frame(b"case----") + b"\x02", old)["_error_kind"] == "schema-conflict"


def test_a_conflict_ends_with_the_flush() -> None:
    """Which schema comes first is decided anew for each flush, so one stray record can't lock a topic's schema out."""
    held = buffer()
    held.add(batch_of([record(0, 0, frame(b"conflict") + b"\x02a")]))
    held.add(batch_of([record(0, 1, value_of(b"old-----", old_event()))]))
    assert held.quarantined == {0: 1}
    held.clear()
    held.add(batch_of([record(0, 1, value_of(b"old-----", old_event()))]))
    assert held.quarantined == {}


def test_a_schema_that_arrives_late_is_used_from_then_on() -> None:
    """An unknown fingerprint is asked for again with each batch."""
    schemas = Schemas({})
    value = frame(b"n-------") + b"\x02"
    held = buffer(schemas)
    held.add(batch_of([record(0, 0, value)]))
    schemas.texts[b"n-------"] = schema_text(("n", "long"))
    held.add(batch_of([record(0, 1, value)]))
    asked = schemas.asked
    held.add(batch_of([record(0, 2, value)]))
    assert schemas.asked == asked
    assert held.quarantined == {0: 1}


def test_an_error_s_text_is_bounded() -> None:
    """However long the reason, the row's `_error` has at most 500 characters."""
    long_name = "n" * 2000
    text = schema_text((long_name, ["string", "long"]))
    held = buffer(Schemas({b"n-------": text}))
    held.add(batch_of([record(0, 0, frame(b"n-------") + b"\x00\x00")]))
    table, _ = read(held.build(context())[0])
    assert 0 < len(table.column("_error")[0].as_py()) <= 500


def test_body_of_the_same_text_is_what_fastavro_writes() -> None:
    """The restored bytes are those of an independent encoder (the tests' own values come from it)."""
    event = new_event(NOW_MS * 1000, note="ü", ok=None)
    records = [record(0, 0, value_of(b"new-----", event))]
    held = buffer()
    held.add(batch_of(records))
    back = restored(held.build(context()))
    assert back[0]["value"][10:] == body(Schemas().texts[b"new-----"], event)


EVERY_TYPE = schema_text(
    ("nothing", "null"),
    ("flag", "boolean"),
    ("number", ["int", "null"]),
    ("ratio", "float"),
    ("day", {"type": "int", "logicalType": "date"}),
    ("local", {"type": "long", "logicalType": "local-timestamp-millis"}),
    ("price", {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}),
    ("raw", "bytes"),
    ("kinds", {"type": "array", "items": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}}),
    (
        "places",
        {
            "type": "map",
            "values": {
                "type": "record",
                "name": "Spot",
                "fields": [{"name": "x", "type": ["null", "double"]}, {"name": "id", "type": EVENT_ID}],
            },
        },
    ),
)


def test_every_type_of_column_comes_back() -> None:
    """Each Avro type that has a column survives the file, nested too, and its columns stand for the value."""
    value = {
        "nothing": None,
        "flag": True,
        "number": None,
        "ratio": float("-inf"),
        "day": -1,
        "local": -(2**40),
        "price": Decimal("-12.34"),
        "raw": b"\x00",
        "kinds": ["B", "A", "B"],
        "places": {"": {"x": None, "id": bytes(16)}, "b": {"x": 0.1, "id": bytes(range(16))}},
    }
    other = {**value, "flag": False, "number": 5, "day": 20_000, "raw": b"", "kinds": [], "places": {}}
    values = [frame(b"every---") + body(EVERY_TYPE, each) for each in (value, other)]
    rows, _ = one_file([record(0, at, values[at % 2]) for at in range(200)], Schemas({b"every---": EVERY_TYPE}))
    assert {row["_frame"] for row in rows} == {frame(b"every---")}
    assert [row["nothing"] for row in rows[:2]] == [None, None]
    assert rows[0]["places"] == [("", {"x": None, "id": bytes(16)}), ("b", {"x": 0.1, "id": bytes(range(16))})]
    assert rows[0]["price"] == Decimal("-12.34")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "{",
        '{"type": "record"}',
        '{"type": "record", "name": "x", "fields": [{"name": "\\ud800", "type": "long"}]}',
        '{"type": "record", "name": "x", "fields": [{"name": "a", "type": "\\ud800"}]}',
        '{"type": "record", "name": "x", "fields": [{"name": "a\\u0000b", "type": "long"}]}',
        schema_text(("a", {"type": "enum", "name": "E", "symbols": ["\ud800"]})),
        "[" * 100_000,
    ],
    ids=lambda text: text[:40],
)
def test_no_schema_text_stops_the_archiver(text: str) -> None:
    """Whatever a schema's text is, its records are quarantined, and come back."""
    records = [record(0, 0, frame(b"strange-") + b"\x02")]
    held = buffer(Schemas({b"strange-": text}))
    held.add(batch_of(records))
    files = held.build(context())
    assert restored(files) == records
    assert read(files[0]).table["_error_kind"].to_pylist() == ["unsupported-schema"]
