"""Decodes one record for the monitor: fields by name, times as microseconds. None for what is no event.

As Avro has it, without the logical types: making a datetime of every time would cost as much as all the rest.
"""

import io
import json
from typing import Any

import fastavro
from fastavro.types import Schema

from headrace.schemas.errors import DecodeError
from headrace.schemas.frame import SchemaTexts, split


class EventDecoder:
    """Decodes framed values with the schemas of some texts; parsed schemas are kept."""

    def __init__(self, texts: SchemaTexts) -> None:
        self._texts = texts
        self._parsed: dict[bytes, Schema | None] = {}

    def decode(self, value: bytes) -> dict[str, Any] | None:
        """Return an event's fields, or None when the bytes are no whole event of a schema that is known."""
        try:
            fingerprint, body = split(value)
        except DecodeError:
            return None
        if fingerprint not in self._parsed:
            self._parsed[fingerprint] = self._schema(fingerprint)
        schema = self._parsed[fingerprint]
        if schema is None:
            return None
        stream = io.BytesIO(body)
        try:
            fields = fastavro.schemaless_reader(stream, schema, None)
        except (EOFError, IndexError, KeyError, ValueError, TypeError, OverflowError, StopIteration):
            return None
        return fields if stream.tell() == len(body) and isinstance(fields, dict) else None

    def _schema(self, fingerprint: bytes) -> Schema | None:
        text = self._texts.text_by_fingerprint(fingerprint)
        return None if text is None else fastavro.parse_schema(_plain(json.loads(text)))


def _plain(schema: Any) -> Any:
    """Return a schema without its logical types."""
    if isinstance(schema, dict):
        return {name: _plain(each) for name, each in schema.items() if name != "logicalType"}
    return [_plain(each) for each in schema] if isinstance(schema, list) else schema
