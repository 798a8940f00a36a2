"""The rules of one schema."""

from pathlib import Path
from typing import Any

import pytest
from team_schemas import ENVELOPE, enum, field, record, write

from headrace.schemas.catalog import builtin_folder
from headrace.schemas.evolution import check
from headrace.schemas.folder import read_folder
from headrace.schemas.rules import violations_of


def rules(schema: Any, event_type: str = "order") -> list[tuple[str, str]]:
    return [(violation.field, violation.rule) for violation in violations_of("order.avsc", event_type, schema)]


GOOD = record(
    field("order_id", "long"),
    field("note", ["null", "string"], default=None),
    field("state", enum("State", "PAID", "SENT")),
    field("paid_at", {"type": "long", "logicalType": "timestamp-millis"}),
    field("due", ["null", {"type": "int", "logicalType": "date"}], default=None),
    field("tags", {"type": "array", "items": "string"}, default=[]),
    field("prices", {"type": "map", "values": "double"}, default={}),
    field("digest", {"type": "fixed", "name": "Digest", "size": 4}),
    key="order_id",
    doc="An order.",
)


def test_a_good_schema_breaks_no_rule() -> None:
    """Everything that is supported passes, in a team's own namespace."""
    assert violations_of("order.avsc", "order", GOOD) == []


def test_our_own_types_break_no_rule() -> None:
    """We keep to our own rules."""
    assert check(read_folder(builtin_folder())) == []


INTS = {"type": "array", "items": "int"}
BAD: list[tuple[str, dict[str, Any], list[tuple[str, str]]]] = [
    ("no Avro", record(field("a", "whatever")), [("", "avro")]),
    ("aliases", record(field("a", "long", aliases=["b"])), [("a", "aliases")]),
    ("record aliases", record(field("a", "long"), aliases=["b"]), [("", "aliases")]),
    ("strange attribute", record(field("a", "long"), owner="me"), [("", "attribute")]),
    ("logicalType misplaced", record(field("a", "long", logicalType="timestamp-micros")), [("a", "attribute")]),
    ("no namespace", {**record(), "namespace": ""}, [("", "name")]),
    ("wrong record name", {**record(), "name": "Orders"}, [("", "name")]),
    ("union", record(field("a", ["null", "long", "string"], default=None)), [("a", "type")]),
    ("null last", record(field("a", ["long", "null"])), [("a", "type")]),
    ("union of one", record(field("a", ["long"])), [("a", "type")]),
    (
        "union of records",
        record(field("a", ["null", {"type": "record", "name": "R", "fields": []}], default=None)),
        [("a", "type")],
    ),
    ("record inside", record(field("a", {"type": "record", "name": "R", "fields": []})), [("a", "type")]),
    (
        "two unsupported",
        record(field("a", ["long", "null"]), field("b", {"type": "bytes", "logicalType": "decimal", "precision": 4})),
        [("a", "type"), ("b", "type")],
    ),
    ("uuid", record(field("a", {"type": "string", "logicalType": "uuid"})), [("a", "type")]),
    ("array of arrays", record(field("a", {"type": "array", "items": INTS})), [("a", "type")]),
    ("array of nullables", record(field("a", {"type": "array", "items": ["null", "int"]})), [("a", "type")]),
    ("no default for null", record(field("a", ["null", "long"])), [("a", "null")]),
    ("default of another type", record(field("a", "long", default=1.5)), [("", "avro")]),
    ("default of bytes", record(field("a", "bytes", default="a")), [("a", "default")]),
    ("default out of range", record(field("a", "int", default=2**31)), [("a", "default")]),
    ("symbol not there", record(field("a", enum("E", "A"), default="B")), [("a", "default")]),
    (
        "default of a timestamp",
        record(field("a", {"type": "long", "logicalType": "timestamp-micros"}, default=0)),
        [("a", "default")],
    ),
    ("no UNKNOWN", record(field("a", {**enum("E"), "symbols": ["A"], "default": "A"})), [("a", "enum")]),
    ("no enum default", record(field("a", {"type": "enum", "name": "E", "symbols": ["UNKNOWN"]})), [("a", "enum")]),
    ("small symbol", record(field("a", enum("E", "a"))), [("a", "enum")]),
    *((name, record(field(name, "long")), [(name, "reserved")]) for name in ("topic", "dt", "hr")),
    ("underscore", record(field("_a", "long")), [("_a", "reserved")]),
    ("capitals", record(field("userId", "long")), [("userId", "name")]),
    ("keyword", record(field("class", "long")), [("class", "name")]),
    ("taken by the class", record(field("kafka_key", "long")), [("kafka_key", "name")]),
    ("key not there", record(field("a", "long"), key="b"), [("", "key")]),
    ("key of a wrong kind", record(field("a", "double"), key="a"), [("", "key")]),
    ("key in the envelope", record(field("a", "double"), key="host"), [("", "key")]),
    ("no envelope", {**record(), "fields": [field("a", "long")]}, [("event_id", "envelope")]),
    ("envelope out of order", {**record(), "fields": [*ENVELOPE[1:], ENVELOPE[0]]}, [("event_id", "envelope")]),
    ("envelope short", {**record(), "fields": ENVELOPE[:6]}, [("trace_id", "envelope")]),
    (
        "envelope retyped",
        {**record(), "fields": [field("event_id", "string"), *ENVELOPE[1:]]},
        [("event_id", "envelope")],
    ),
    (
        "seq with a default",
        {**record(), "fields": [*ENVELOPE[:5], field("seq", "long", default=0), ENVELOPE[6]]},
        [("seq", "envelope")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "expected"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_broken_rule(schema: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """Each rule is found broken, at its field, and nothing else is complained about."""
    assert rules(schema) == expected


def test_file_names_are_type_names() -> None:
    """The file's stem is the topic's and type's name."""
    assert rules(record(), "Order") == [("", "name")]
    assert rules({**record(), "name": "BigOrder"}, "big_order") == []


def test_a_violation_says_file_field_rule_and_what_to_do(tmp_path: Path) -> None:
    """One line, with all that is needed to mend it."""
    write(tmp_path / "order.avsc", record(field("dt", "long")))
    (violation,) = check(read_folder(tmp_path))
    assert str(violation) == "order.avsc: dt: [reserved] the archive has this name for itself: choose another name"


@pytest.mark.parametrize("name", ["self", "property", "as_dict", "kafka_key", "with_tokens", "class"])
def test_names_that_classes_use_are_refused(name: str) -> None:
    """A field of such a name would break its class."""
    assert (name, "name") in rules(record(field(name, "long")))
