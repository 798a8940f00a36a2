"""Avro single-object encoding: C3 01, the schema's fingerprint (8 bytes, little-endian), then the body.

Source: Avro specification, "Single-object encoding". Decoding goes through fastavro; it is for consumers and the
command line, one event at a time. Encoding is done by the event classes (event.py).
"""

import io
import json
from collections.abc import Mapping
from typing import Any, Protocol

import fastavro
from fastavro.types import Schema

from .errors import DecodeError, UnknownFingerprint

MARKER = b"\xc3\x01"
FRAME_BYTES = 10


class SchemaTexts(Protocol):
    """Where schema texts come from: `headrace.schemas.catalog.SchemaCatalog` is one."""

    def text_by_fingerprint(self, fingerprint: bytes) -> str | None:
        """Return the JSON text for an 8-byte little-endian fingerprint, or None when it is not known."""


class MappedTexts:
    """Schema texts out of a plain mapping from fingerprint (8 bytes, little-endian) to JSON text."""

    def __init__(self, texts: Mapping[bytes, str]) -> None:
        self._texts = texts

    def text_by_fingerprint(self, fingerprint: bytes) -> str | None:
        """Return the mapped text, or None."""
        return self._texts.get(fingerprint)


def encode(fingerprint: bytes, body: bytes) -> bytes:
    """Put the 10-byte frame before a body; `fingerprint` is 8 bytes, little-endian."""
    if len(fingerprint) != FRAME_BYTES - len(MARKER):
        raise ValueError(f"a fingerprint has 8 bytes, not {len(fingerprint)}")
    return MARKER + fingerprint + body


def split(value: bytes) -> tuple[bytes, bytes]:
    """Split a framed value into (fingerprint, body); raise DecodeError when it has no such frame."""
    if len(value) < FRAME_BYTES:
        raise DecodeError(f"no single-object frame: {len(value)} bytes, the frame alone has {FRAME_BYTES}")
    if value[:2] != MARKER:
        raise DecodeError(f"no single-object frame: starts with {value[:2].hex()}, not with {MARKER.hex()}")
    return value[2:FRAME_BYTES], value[FRAME_BYTES:]


class Decoder:
    """Decodes framed values into dicts, with the schemas of a SchemaTexts; parsed schemas are kept."""

    def __init__(self, texts: SchemaTexts) -> None:
        self._texts = texts
        self._parsed: dict[bytes, Schema] = {}

    def decode(self, value: bytes) -> dict[str, Any]:
        """Decode one framed value into its fields, envelope first.

        Timestamps come as aware datetimes, fixed and bytes as bytes, enums as their symbol. Raises UnknownFingerprint
        when the schema is not at hand, DecodeError when the bytes are not a whole event of that schema.
        """
        fingerprint, body = split(value)
        schema = self._parsed.get(fingerprint)
        if schema is None:
            text = self._texts.text_by_fingerprint(fingerprint)
            if text is None:
                raise UnknownFingerprint(fingerprint)
            schema = fastavro.parse_schema(json.loads(text))
            self._parsed[fingerprint] = schema
        stream = io.BytesIO(body)
        try:
            fields = fastavro.schemaless_reader(stream, schema, None)
        except (EOFError, IndexError, KeyError, ValueError, TypeError, OverflowError, StopIteration) as error:
            name = type(error).__name__
            message = f"a body of {len(body)} bytes is no event of schema {fingerprint.hex()}: {name}: {error}"
            raise DecodeError(message) from error
        if stream.tell() != len(body):
            left = len(body) - stream.tell()
            raise DecodeError(f"{left} bytes are left over after an event of schema {fingerprint.hex()}")
        if not isinstance(fields, dict):
            raise DecodeError(f"schema {fingerprint.hex()} is no record")
        return fields


def decode(value: bytes, schemas: SchemaTexts | Mapping[bytes, str]) -> dict[str, Any]:
    """Decode one framed value; for many values make a Decoder, which keeps parsed schemas. Errors as Decoder.decode."""
    return Decoder(MappedTexts(schemas) if isinstance(schemas, Mapping) else schemas).decode(value)
