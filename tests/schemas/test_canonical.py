"""Fingerprints and wire texts."""

import json
from typing import Any

import pytest

from headrace.schemas.canonical import canonical_form, fingerprint, load, wire_text
from headrace.schemas.catalog import builtin, builtin_folder
from headrace.schemas.errors import SchemaError

# Of Avro's own test data (share/test/data/schema-tests.txt), signed as Java prints them.
KNOWN: list[tuple[Any, int]] = [
    ("boolean", -6970731678124411036),
    ("int", 8247732601305521295),
    ("long", -3434872931120570953),
    ("float", 5583340709985441680),
    ("double", -8181574048448539266),
    ("bytes", 5746618253357095269),
    ("string", -8142146995180207161),
    ([], -1241056759729112623),
    (["int", "boolean"], 5392556393470105090),
    ({"fields": [], "type": "record", "name": "foo"}, -4824392279771201922),
    ({"name": "foo", "type": "enum", "symbols": ["A1"]}, -6342190197741309591),
    ({"name": "foo", "type": "fixed", "size": 15}, 1756455273707447556),
]


def rabin(data: bytes) -> bytes:
    """CRC-64-AVRO bit by bit, from the specification alone."""
    empty = 0xC15D213AA4D7A795
    value = empty
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (empty if value & 1 else 0)
    return value.to_bytes(8, "little")


@pytest.mark.parametrize(("schema", "expected"), KNOWN)
def test_fingerprints_are_those_of_avros_own_test_data(schema: Any, expected: int) -> None:
    """The 8 bytes are the little-endian form of the numbers that Avro publishes."""
    assert int.from_bytes(fingerprint(schema), "little", signed=True) == expected


@pytest.mark.parametrize("event_type", builtin().types())
def test_fingerprints_of_our_types_are_the_crc_of_their_canonical_form(event_type: str) -> None:
    """An implementation written from the specification gives the same fingerprint for each of our types."""
    schema = json.loads(builtin().current_text(event_type) or "")
    assert fingerprint(schema) == rabin(canonical_form(schema).encode())


def test_canonical_form_drops_all_that_does_not_change_the_bytes() -> None:
    """Docs, defaults (an enum's too), logical types, keys and spaces go; names become full names."""
    schema = {
        "type": "record", "name": "A", "namespace": "n", "doc": "d", "key": "e",
        "fields": [
            {"name": "t", "type": {"type": "long", "logicalType": "timestamp-micros"}, "doc": "d"},
            {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["U"], "default": "U"}, "default": "U"},
        ],
    }  # fmt: skip
    assert canonical_form(schema) == (
        '{"name":"n.A","type":"record","fields":[{"name":"t","type":"long"},'
        '{"name":"e","type":{"name":"n.E","type":"enum","symbols":["U"]}}]}'
    )


def test_wire_text_keeps_what_readers_need_and_drops_docs() -> None:
    """Rewording a doc changes neither text nor fingerprint; a logical type changes the text alone."""
    text = (builtin_folder() / "pin.avsc").read_text()
    schema, reworded = json.loads(text), json.loads(text.replace("who did it", "whose click it was"))
    assert schema != reworded
    assert wire_text(schema) == wire_text(reworded)
    millis = json.loads(text.replace("timestamp-micros", "timestamp-millis"))
    assert fingerprint(millis) == fingerprint(schema)
    assert wire_text(millis) != wire_text(schema)
    assert json.loads(wire_text(schema))["key"] == "user_id"


def test_a_field_called_doc_and_a_default_with_doc_in_it_survive() -> None:
    """Only documentation is dropped: not a field of that name, not data in a default."""
    schema = {"type": "record", "name": "A", "fields": [
        {"name": "doc", "type": {"type": "map", "values": "string"}, "default": {"doc": "x"}, "doc": "gone"},
    ]}  # fmt: skip
    assert wire_text(schema) == (
        '{"type":"record","name":"A","fields":[{"name":"doc","type":{"type":"map","values":"string"},'
        '"default":{"doc":"x"}}]}'
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"type": "record", "fields": []},
        {"type": "record", "name": "A", "fields": [{"name": "x", "type": "nothing"}]},
        {"type": "record", "name": "A", "fields": [{"type": "int"}]},
        {"type": "record", "name": "A", "fields": 5},
        {"type": "enum", "name": "A", "symbols": ["a b"]},
        {"type": "fixed", "name": "A"},
    ],
)
def test_what_avro_refuses_is_a_schema_error(bad: Any) -> None:
    """A schema that is none is told as such, whatever exception the Avro library chose."""
    with pytest.raises(SchemaError, match="Avro refuses this schema"):
        canonical_form(bad)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "Avro record"),
        ('{"type":"record"}', "list of fields"),
        ('{"type":"enum"}', "Avro record"),
    ],
)
def test_load_names_where_the_text_came_from(text: str, said: str) -> None:
    """What is no record schema is refused, with its origin."""
    with pytest.raises(SchemaError, match=f"a.avsc: .*{said}"):
        load(text, "a.avsc")
