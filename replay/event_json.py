"""Shows a record as people want to read it: the event's fields decoded, everything as JSON.

What JSON has no form for is shown so: bytes and fixed as lower-case hex, instants as ISO 8601 in UTC (as the plain
number where the calendar ends), decimals and UUIDs as text, NaN and infinities as "NaN", "Infinity", "-Infinity". A
key or a value that is no event is text where it is UTF-8, else `{"hex": "..."}`. For exactness there is the raw form.
"""

import io
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
from fastavro.types import Schema

FRAME_SIZES = (10, 5)  # Avro's single-object encoding; Confluent's
_UNREADABLE = (EOFError, IndexError, KeyError, ValueError, TypeError, OverflowError, StopIteration, ArithmeticError)


class EventDecoder:
    """Decodes values with the writer schemas of the files they come from; parsed schemas are kept."""

    def __init__(self) -> None:
        self._parsed: dict[str, tuple[Schema, Schema]] = {}

    def decode(self, value: bytes, schemas: Mapping[bytes, str]) -> Any:
        """Return the value's fields as JSON can hold them, or its text or hex when it is no event of `schemas`."""
        for size in FRAME_SIZES:
            text = schemas.get(value[:size])
            if text is not None:
                break
        else:
            return bytes_json(value)
        exact, plain = self._schemas(text)
        for schema in (exact, plain):  # the plain one reads instants that no calendar has
            stream = io.BytesIO(value[size:])
            try:
                fields = fastavro.schemaless_reader(stream, schema, None)
            except _UNREADABLE:
                continue
            return json_value(fields)
        return bytes_json(value)

    def _schemas(self, text: str) -> tuple[Schema, Schema]:
        if text not in self._parsed:
            schema = json.loads(text)
            plain = fastavro.parse_schema(_without_logical_types(schema), named_schemas={})
            self._parsed[text] = (fastavro.parse_schema(schema, named_schemas={}), plain)
        return self._parsed[text]


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_logical_types(item) for item in node]
    if isinstance(node, dict):
        return {name: _without_logical_types(item) for name, item in node.items() if name != "logicalType"}
    return node


def bytes_json(value: bytes | None) -> Any:
    """Return bytes as text where they are UTF-8, as {"hex": ...} where not, null as null."""
    if value is None:
        return None
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"hex": value.hex()}


def _instant(value: datetime) -> str:
    if value.tzinfo is None:
        return value.isoformat(timespec="microseconds")
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _number(value: float) -> Any:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


_FORMS: dict[type, Callable[[Any], Any]] = {
    bytes: bytes.hex,
    float: _number,
    datetime: _instant,
    date: date.isoformat,
    time: time.isoformat,
    Decimal: str,
    UUID: str,
}


def json_value(value: Any) -> Any:
    """Return a decoded Avro value as JSON can hold it."""
    form = _FORMS.get(type(value))
    if form is not None:
        return form(value)
    if isinstance(value, dict):
        return {name: json_value(item) for name, item in value.items()}
    if isinstance(value, list):
        return [json_value(item) for item in value]
    return value
