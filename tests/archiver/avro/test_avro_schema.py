"""Writer schemas to column types, and the schemas that have none."""

import json
from typing import Any

import pyarrow as pa
import pytest

from headrace.archiver.avro import SchemaUnsupported, WriterSchema


def schema_of(*types: Any) -> WriterSchema:
    fields = [{"name": f"f{at}", "type": kind} for at, kind in enumerate(types)]
    return WriterSchema(json.dumps({"type": "record", "name": "R", "fields": fields}))


def logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": name, **more}


UTC = "UTC"
FIXED16 = {"type": "fixed", "name": "F", "size": 16}
ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}


@pytest.mark.parametrize(
    ("avro", "arrow"),
    [
        ("null", pa.null()),
        ("boolean", pa.bool_()),
        ("int", pa.int32()),
        ({"type": "long"}, pa.int64()),
        ("float", pa.float32()),
        ("double", pa.float64()),
        ("bytes", pa.binary()),
        ({"type": {"type": "string"}}, pa.string()),
        (logical("int", "date"), pa.date32()),
        (logical("long", "timestamp-millis"), pa.timestamp("ms", UTC)),
        (logical("long", "timestamp-micros"), pa.timestamp("us", UTC)),
        (logical("long", "local-timestamp-millis"), pa.timestamp("ms")),
        (logical("long", "local-timestamp-micros"), pa.timestamp("us")),
        (logical("long", "timestamp-nanos"), pa.int64()),
        (logical("int", "time-millis"), pa.int32()),
        (logical("long", "time-micros"), pa.int64()),
        (logical("string", "uuid"), pa.string()),
        (logical("int", "timestamp-micros"), pa.int32()),
        (FIXED16, pa.binary(16)),
        (FIXED16 | {"logicalType": "uuid"}, pa.binary(16)),
        (ENUM, pa.dictionary(pa.int32(), pa.string())),
        (logical("bytes", "decimal", precision=10, scale=2), pa.decimal128(10, 2)),
        (logical("bytes", "decimal", precision=38), pa.decimal128(38, 0)),
        (logical("bytes", "decimal", precision=39), pa.binary()),
        (logical("bytes", "decimal", precision=2, scale=3), pa.binary()),
        (FIXED16 | logical("fixed", "decimal", precision=38, scale=1), pa.decimal128(38, 1)),
        ({"type": "fixed", "name": "D", "size": 2, "logicalType": "decimal", "precision": 5}, pa.binary(2)),
        (["null", "long"], pa.int64()),
        (["string", "null"], pa.string()),
        ({"type": "array", "items": ["null", "int"]}, pa.list_(pa.int32())),
        ({"type": "map", "values": "int"}, pa.map_(pa.string(), pa.int32())),
        ({"type": "record", "name": "S", "fields": [{"name": "x", "type": "int"}]}, pa.struct([("x", pa.int32())])),
    ],
)
def test_each_avro_type_has_its_column_type(avro: Any, arrow: pa.DataType) -> None:
    """Types as readers of Parquet like them; every field nullable; logical types that do not fit are ignored."""
    schema = schema_of(avro, "int").arrow_schema
    assert schema.equals(pa.schema([pa.field("f0", arrow), pa.field("f1", pa.int32())]))


def test_names_resolve_across_namespaces() -> None:
    """A reference finds the type of its namespace, the enclosing one's or the one it spells out."""
    text = {
        "type": "record",
        "name": "R",
        "namespace": "a.b",
        "fields": [
            {"name": "x", "type": {"type": "fixed", "name": "F", "size": 2}},
            {"name": "y", "type": {"type": "fixed", "name": "other.F", "size": 3}},
            {
                "name": "z",
                "type": {
                    "type": "record",
                    "name": "S",
                    "namespace": "other",
                    "fields": [{"name": "near", "type": "F"}, {"name": "far", "type": "a.b.F"}],
                },
            },
            {"name": "again", "type": "F"},
        ],
    }
    types = [field.type for field in WriterSchema(json.dumps(text)).arrow_schema]
    assert types == [
        pa.binary(2),
        pa.binary(3),
        pa.struct([("near", pa.binary(3)), ("far", pa.binary(2))]),
        pa.binary(2),
    ]


def test_the_text_is_kept_as_it_was_given() -> None:
    """An archive's footer holds the exact text."""
    text = '{ "type":"record", "name":"R","fields":[{"name":"x","type":"int"}] }'
    assert WriterSchema(text).text == text


SELF = {"type": "record", "name": "S", "fields": [{"name": "next", "type": ["null", "S"]}]}
BIG = {"type": "fixed", "name": "B", "size": 5_000}


def deep(levels: int) -> Any:
    kind: Any = "int"
    for _ in range(levels):
        kind = {"type": "array", "items": kind}
    return kind


def doubling(levels: int) -> list[Any]:
    """Each record holds the one before twice: two to the power of `levels` columns in a short text."""
    fields: list[Any] = [{"type": "record", "name": "R0", "fields": [{"name": "x", "type": "int"}]}]
    for at in range(1, levels):
        below = [{"name": name, "type": f"R{at - 1}"} for name in ("x", "y")]
        fields.append({"type": "record", "name": f"R{at}", "fields": below})
    return fields


@pytest.mark.parametrize(
    ("types", "reason"),
    [
        ([["string", "int"]], "union"),
        ([["null", "string", "int"]], "union"),
        ([["string"]], "union"),
        ([["null"]], "union"),
        ([[]], "union"),
        ([["null", ["null", "int"]]], "union"),
        ([SELF], "contains itself"),
        (["Unknown"], "not defined"),
        ([7], "no Avro schema"),
        ([ENUM, ENUM], "defined twice"),
        ([{"type": "enum", "name": "E", "symbols": []}], "no symbols"),
        ([{"type": "enum", "name": "E", "symbols": ["A", "A"]}], "symbol twice"),
        ([{"type": "enum", "symbols": ["A"]}], "has no name"),
        ([{"type": "fixed", "name": "F", "size": 0}], "size 0"),
        ([{"type": "fixed", "name": "F", "size": "16"}], "size 16"),
        ([{"type": "record", "name": "S", "fields": []}], "without fields"),
        ([{"type": "record", "name": "S", "fields": [{"name": "a", "type": "int"}] * 2}], "name of its own"),
        ([{"type": "array", "items": "null"}], "no bytes"),
        ([{"type": "array"}], "no Avro schema"),
        ([["null", BIG]], "5000 bytes of memory"),
        ([{"type": "array", "items": ["null", {"type": "fixed", "name": "B", "size": 300}]}], "300 bytes of memory"),
        ([deep(40)], "nested deeper"),
        (doubling(14), "more than 2000 columns"),
    ],
)
def test_what_has_no_columns_is_refused_with_the_reason(types: list[Any], reason: str) -> None:
    """General unions, recursion, what is malformed, and what would let few bytes fill the memory."""
    with pytest.raises(SchemaUnsupported, match=reason) as caught:
        schema_of(*types)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "text", ["", "{", "nul", '"string"', "[]", "{}", '{"type": "array", "items": "int"}', "[" * 10**5]
)
def test_a_text_that_is_no_record_schema_is_refused(text: str) -> None:
    """Whatever a registry hands out, the answer is SchemaUnsupported."""
    with pytest.raises(SchemaUnsupported):
        WriterSchema(text)
