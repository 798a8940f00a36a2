"""The writer schemas of the record zoo, and their frames as fastavro computes them (not headrace).

PIN is the built-in type as it is released. PIN_LATER is a next version of it: a nullable field and a counter more, and
one more symbol. ZOO has a field of each kind of type. CONFLICTING gives a column of PIN another type, and UNION_OF_MANY
has a union that no column can hold.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from fastavro.schema import fingerprint, to_parsing_canonical_form

from headrace import schemas


def _later(pin: dict[str, Any]) -> dict[str, Any]:
    later: dict[str, Any] = json.loads(json.dumps(pin))
    action = next(field for field in later["fields"] if field["name"] == "action")
    action["type"]["symbols"].append("ARCHIVE")
    later["fields"] += [
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "weight", "type": "int", "default": 1},
    ]
    return later


def _record(name: str, *fields: tuple[str, Any]) -> str:
    listed = [{"name": field, "type": kind} for field, kind in fields]
    return json.dumps({"type": "record", "name": name, "namespace": "zoo", "fields": listed})


PIN = (Path(schemas.__file__).parent / "released" / "pin" / "1.avsc").read_text(encoding="utf-8")
PIN_LATER = json.dumps(_later(json.loads(PIN)))
ZOO = _record(
    "Zoo",
    ("occurred_at", {"type": "long", "logicalType": "timestamp-micros"}),
    ("flag", "boolean"),
    ("mood", {"type": "enum", "name": "Mood", "symbols": ["UNKNOWN", "CALM", "WILD"], "default": "UNKNOWN"}),
    ("count", "int"),
    ("note", ["null", "string"]),
    ("ratio", "double"),
    ("blob", "bytes"),
    ("tags", {"type": "array", "items": "string"}),
    ("labels", {"type": "map", "values": "long"}),
    (
        "place",
        {
            "type": "record",
            "name": "Place",
            "fields": [{"name": "height", "type": "float"}, {"name": "name", "type": "string"}],
        },
    ),
    ("price", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}),
    ("day", {"type": "int", "logicalType": "date"}),
)
CONFLICTING = _record("Other", ("user_id", "string"))
UNION_OF_MANY = _record("Union", ("either", ["int", "string", "boolean"]))
PUBLISHED = (PIN_LATER, ZOO, CONFLICTING, UNION_OF_MANY)


@cache
def frame_of(schema: str) -> bytes:
    """Return the 10 bytes before a body of this schema."""
    return b"\xc3\x01" + fingerprint_of(schema)


def fingerprint_of(schema: str) -> bytes:
    """Return the CRC-64-AVRO fingerprint, 8 bytes as on the wire."""
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(json.loads(schema)), "CRC-64-AVRO"))
