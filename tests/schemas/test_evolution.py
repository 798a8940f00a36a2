"""The rules between versions."""

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st
from team_schemas import enum, field, record, write

from headrace.schemas.canonical import load
from headrace.schemas.evolution import check, compare, compare_all
from headrace.schemas.folder import read_folder
from headrace.schemas.release import release

OLD = record(field("a", "long"), field("e", enum("E", "A", "B")), field("n", ["null", "string"], default=None), key="a")


def changes(newer: dict[str, Any], older: dict[str, Any] = OLD) -> list[tuple[str, str]]:
    return [(violation.field, violation.rule) for violation in compare("1.avsc", older, "2.avsc", newer)]


def with_field(name: str, changed: dict[str, Any] | None) -> dict[str, Any]:
    """OLD with one field changed, or taken out."""
    fields = [changed if each["name"] == name else each for each in OLD["fields"]]
    return {**OLD, "fields": [each for each in fields if each is not None]}


def with_more(*more: dict[str, Any]) -> dict[str, Any]:
    return {**OLD, "fields": [*OLD["fields"], *more]}


@pytest.mark.parametrize(
    "newer",
    [
        OLD,
        {**OLD, "doc": "said better"},
        with_more(field("z", ["null", "long"], default=None), field("y", "int", default=0)),
        with_field("e", field("e", enum("E", "A", "B", "C"))),
        {**OLD, "fields": [*OLD["fields"][:7], *reversed(OLD["fields"][7:])]},
    ],
    ids=["same", "doc", "new fields with defaults", "symbol appended", "fields in another order"],
)
def test_allowed(newer: dict[str, Any]) -> None:
    """These changes keep every version readable by every other."""
    assert changes(newer) == []


TIME = {"type": "long", "logicalType": "timestamp-micros"}
BROKEN: list[tuple[str, dict[str, Any], list[tuple[str, str]]]] = [
    ("removed", with_field("a", None), [("a", "removed")]),
    ("renamed", with_field("a", field("b", "long")), [("a", "removed"), ("b", "default")]),
    ("retyped", with_field("a", field("a", "string")), [("a", "retyped")]),
    ("widened", with_field("a", field("a", "double")), [("a", "retyped")]),
    ("made nullable", with_field("a", field("a", ["null", "long"], default=None)), [("a", "retyped")]),
    ("made a time", with_field("a", field("a", TIME)), [("a", "retyped")]),
    ("default given", with_field("a", field("a", "long", default=0)), [("a", "default")]),
    ("new without default", with_more(field("z", "long")), [("z", "default")]),
    ("symbol inserted", with_field("e", field("e", enum("E", "C", "A", "B"))), [("e", "enum")]),
    ("symbol removed", with_field("e", field("e", enum("E", "A"))), [("e", "enum")]),
    ("enum renamed", with_field("e", field("e", enum("F", "A", "B"))), [("e", "retyped")]),
    ("key changed", {**OLD, "key": "service"}, [("", "key")]),
    ("record renamed", {**OLD, "name": "Orders"}, [("", "name")]),
    ("namespace changed", {**OLD, "namespace": "shop2"}, [("", "namespace")]),
    ("type of no shape", with_field("a", field("a", ["long", "null"])), [("", "type")]),
]


@pytest.mark.parametrize(("newer", "expected"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_broken(newer: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """Each incompatible change is found, and named at its field."""
    assert changes(newer) == expected


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (TIME, {"type": "long", "logicalType": "timestamp-millis"}),
        ({"type": "fixed", "name": "F", "size": 4}, {"type": "fixed", "name": "F", "size": 5}),
        ({"type": "array", "items": "int"}, {"type": "array", "items": "long"}),
        ({"type": "map", "values": "int"}, {"type": "map", "values": "string"}),
    ],
)
def test_what_fingerprints_or_unions_hide_is_compared(older: Any, newer: Any) -> None:
    """Logical types, sizes and the items of collections count as types."""
    assert changes(record(field("x", newer)), record(field("x", older))) == [("x", "retyped")]


def test_all_pairs_are_compared_not_only_neighbours() -> None:
    """A field that goes and comes back with another type is caught against the version that had it first."""
    versions = [
        ("1", record(field("a", "long", default=0))),
        ("2", record()),
        ("3", record(field("a", "string", default=""))),
    ]
    found = {(violation.file, violation.field, violation.rule) for violation in compare_all(versions)}
    assert found == {("2", "a", "removed"), ("3", "a", "retyped")}


FIELDS = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), st.sampled_from(["long", "int", "string", ("null", "long")]), max_size=3
)


def made_of(fields: dict[str, Any]) -> dict[str, Any]:
    return record(
        *(field(n, list(t), default=None) if isinstance(t, tuple) else field(n, t) for n, t in sorted(fields.items()))
    )


@given(FIELDS, FIELDS)
def test_what_is_allowed_reads_both_ways_in_fastavro(older: dict[str, Any], newer: dict[str, Any]) -> None:
    """When no rule is broken, old events decode with the new schema and new ones with the old."""
    if changes(made_of(newer), made_of(older)):
        return
    envelope = {
        "event_id": bytes(16), "occurred_at": 0, "service": "s", "host": "h", "session_id": bytes(16), "seq": 1,
        "trace_id": None,
    }  # fmt: skip
    example = {"long": 5, "int": 5, "string": "x", ("null", "long"): 7}
    for writer, reader in ((older, newer), (newer, older)):
        body = io.BytesIO()
        event = envelope | {name: example[kind] for name, kind in writer.items()}
        fastavro.schemaless_writer(body, fastavro.parse_schema(made_of(writer)), event)
        body.seek(0)
        read = fastavro.schemaless_reader(
            body, fastavro.parse_schema(made_of(writer)), fastavro.parse_schema(made_of(reader))
        )
        assert isinstance(read, dict)
        assert {name: read[name] for name in reader} == {name: event.get(name) for name in reader}


def team_folder(tmp_path: Path) -> Path:
    write(tmp_path / "order.avsc", OLD)
    release(read_folder(tmp_path))
    return tmp_path


def found_in(path: Path) -> list[tuple[str, str]]:
    return [(violation.file, violation.rule) for violation in check(read_folder(path))]


def test_a_folder_that_keeps_the_rules(tmp_path: Path) -> None:
    """Three compatible versions pass, the newest not yet released."""
    path = team_folder(tmp_path)
    write(path / "order.avsc", with_more(field("z", ["null", "long"], default=None)))
    assert release(read_folder(path)) == ["order/2.avsc"]
    write(path / "order.avsc", with_more(field("z", ["null", "long"], default=None), field("y", "int", default=1)))
    assert found_in(path) == []


def test_a_changed_release_is_found(tmp_path: Path) -> None:
    """A release edited after the fact is told by the manifest, even where the edit would be compatible."""
    path = team_folder(tmp_path)
    write(path / "released" / "order" / "1.avsc", {**OLD, "doc": "edited"})
    assert found_in(path) == [("released/order/1.avsc", "released")]


def test_a_missing_release_is_found(tmp_path: Path) -> None:
    """A release that is gone, one out of order, and one that the manifest does not know."""
    path = team_folder(tmp_path)
    first = path / "released" / "order" / "1.avsc"
    first.rename(first.with_name("2.avsc"))
    assert found_in(path) == [
        ("released/order/1.avsc", "released"),
        ("released/order/2.avsc", "released"),
        ("released/order/2.avsc", "released"),
    ]


def test_a_type_that_was_released_stays(tmp_path: Path) -> None:
    """A current schema that is deleted is missed."""
    path = team_folder(tmp_path)
    write(path / "other.avsc", {**OLD, "name": "Other"})
    (path / "order.avsc").unlink()
    assert found_in(path) == [("released/order", "removed")]


def test_an_incompatible_current_schema_is_found(tmp_path: Path) -> None:
    """The current schema is compared with every release."""
    path = team_folder(tmp_path)
    write(path / "order.avsc", with_field("a", None))
    found = check(read_folder(path))
    assert [(violation.file, violation.field, violation.rule) for violation in found] == [
        ("order.avsc", "", "key"),
        # A schema that is broken by itself is mended first; only then is it compared.
    ]
    write(path / "order.avsc", with_field("e", None))
    assert found_in(path) == [("order.avsc", "removed")]


def test_versions_load_from_text() -> None:
    """What compare takes is what load gives."""
    assert changes(load(json.dumps(OLD), "x")) == []
