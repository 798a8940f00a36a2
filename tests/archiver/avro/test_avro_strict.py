"""The strict decoder's verdicts on single values, one rule of the specification at a time."""

import json
from typing import Any

import pytest

from headrace.archiver.avro import WriterSchema
from headrace.archiver.avro.strict import StrictDecoder, StrictError

FRAME = b"\xc3\x01abcdefgh"
ARRAY = {"type": "array", "items": "int"}
RECORD = {"type": "record", "name": "S", "fields": [{"name": "deep", "type": "boolean"}]}


def decode(kind: Any, body: bytes, frame: bytes = FRAME) -> Any:
    text = json.dumps({"type": "record", "name": "R", "fields": [{"name": "f", "type": kind}]})
    (value,) = StrictDecoder(WriterSchema(text).root, FRAME).decode(frame + body)
    return value


@pytest.mark.parametrize(
    ("kind", "body", "value"),
    [
        ("long", b"\xff" * 9 + b"\x01", -(2**63)),
        ("long", b"\xfe" + b"\xff" * 8 + b"\x01", 2**63 - 1),
        ("long", b"\x82\x00", 1),  # longer than need be
        ("int", b"\x82" + b"\x80" * 8 + b"\x00", 1),
        (["null", "int"], b"\x80\x00", None),
        (["int", "null"], b"\x00\x04", 2),
        ("float", b"\x01\x00\x80\x7f", b"\x01\x00\x80\x7f"),  # a signalling NaN, bit for bit
        (ARRAY, b"\x04\x02\x04\x00", [1, 2]),
        (ARRAY, b"\x02\x02\x02\x04\x00", [1, 2]),  # two blocks
        (ARRAY, b"\x03\x04\x02\x04\x00", [1, 2]),  # a block with its size
        ({"type": "map", "values": "int"}, b"\x04\x02a\x02\x02a\x04\x00", [("a", 1), ("a", 2)]),
        ({"type": "bytes", "logicalType": "decimal", "precision": 3}, b"\x06\x00\x00\x80", 128),
        ({"type": "bytes", "logicalType": "decimal", "precision": 3}, b"\x00", 0),
        ("string", b"\x06\xe2\x82\xac", "€"),
    ],
)
def test_what_the_specification_allows_is_read(kind: Any, body: bytes, value: Any) -> None:
    """Extremes, and forms that are longer than the canonical one."""
    assert decode(kind, body) == value


@pytest.mark.parametrize(
    ("kind", "body", "error"),
    [
        ("long", b"", "ends within an integer"),
        ("long", b"\x80", "ends within an integer"),
        ("long", b"\xff" * 10 + b"\x01", "more than 10 bytes"),
        ("long", b"\xff" * 9 + b"\x02", "exceeds 64 bits"),
        ("int", b"\x80\x80\x80\x80\x10", "exceeds 32 bits"),
        ("boolean", b"", "ends before a boolean"),
        ("boolean", b"\x02", "neither 0 nor 1"),
        ("boolean", b"\xff", "neither 0 nor 1"),
        ("boolean", b"\x01\x00", "trailing bytes"),
        (["null", "int"], b"\x04", "union index"),
        (["null", "int"], b"\x01", "union index"),
        ("bytes", b"\x01", "negative"),
        ("bytes", b"\x04a", "exceeds the bytes"),
        ("bytes", b"\xfe" + b"\xff" * 8 + b"\x01", "exceeds the bytes"),
        ("string", b"\x02\xff", "not UTF-8, at byte 11"),
        ("string", b"\x06\xed\xa0\x80", "not UTF-8"),  # half of a surrogate pair
        ({"type": "fixed", "name": "F", "size": 3}, b"ab", "3 fixed bytes"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\x02", "enum index"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\x01", "enum index"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 2}, b"\x02\x64", "more than 2 digits"),
        (ARRAY, b"\x04\x02", "ends within|more items"),
        (ARRAY, b"\xfe" + b"\xff" * 8 + b"\x01", "more items than there are bytes"),
        (ARRAY, b"\xff" * 9 + b"\x01\x00", "more items than there are bytes"),
        (ARRAY, b"\x03\x06\x02\x04\x00", "not as long as it says"),
        (RECORD, b"\x05", "field f.deep: a boolean"),
    ],
)
def test_what_it_does_not_allow_is_an_error_with_field_and_position(kind: Any, body: bytes, error: str) -> None:
    """Each broken rule is named, by field; the text is bounded and holds no payload."""
    with pytest.raises(StrictError, match=error) as caught:
        decode(kind, body)
    assert str(caught.value).startswith("field f") or "trailing" in error
    assert len(str(caught.value)) <= 200


def test_another_frame_is_an_error() -> None:
    """A value of another schema is never read with this one."""
    with pytest.raises(StrictError, match="frame"):
        decode("int", b"\x02", frame=b"\xc3\x01ABCDEFGH")
