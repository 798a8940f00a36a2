"""The two texts of a schema: Avro's canonical form, which is fingerprinted, and the wire text, which is published.

The canonical form (Avro specification, "Parsing Canonical Form") drops everything that does not change the bytes:
docs, defaults, logical types. Its CRC-64-AVRO is the fingerprint, written little-endian in the frame of every event.
The wire text keeps what readers need (defaults, logical types, the key field) and drops docs and headrace's own labels
(pii.py), so that rewording a comment or labelling a field never makes two texts for one fingerprint.
"""

import json
from typing import Any

from fastavro.schema import fingerprint as fastavro_fingerprint
from fastavro.schema import to_parsing_canonical_form

from .errors import SchemaError

FINGERPRINT_BYTES = 8


def load(text: str, where: str) -> dict[str, Any]:
    """Parse a record schema's JSON text; raise SchemaError naming `where` (a file, or any origin)."""
    try:
        schema = json.loads(text)
    except json.JSONDecodeError as error:
        message = f"{where}: not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise SchemaError(message) from error
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise SchemaError(f"{where}: an event type is an Avro record: the text must be an object with type: record")
    if not isinstance(schema.get("fields"), list):
        raise SchemaError(f"{where}: an Avro record has a list of fields")
    return schema


def canonical_form(schema: Any) -> str:
    """Return the Parsing Canonical Form of a schema given as parsed JSON; raise SchemaError if Avro refuses it."""
    try:
        # fastavro names its errors after Avro's rules, but lets malformed JSON shapes surface as KeyError and friends.
        return to_parsing_canonical_form(schema)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SchemaError(f"Avro refuses this schema: {type(error).__name__}: {error}") from error
    except Exception as error:
        if type(error).__module__.startswith("fastavro"):
            raise SchemaError(f"Avro refuses this schema: {error}") from error
        raise


def fingerprint(schema: Any) -> bytes:
    """Return the CRC-64-AVRO fingerprint of a schema given as parsed JSON: 8 bytes, little-endian as on the wire."""
    # fastavro prints the 64-bit value's little-endian bytes, which is the order that the frame wants.
    return bytes.fromhex(fastavro_fingerprint(canonical_form(schema), "CRC-64-AVRO"))


def wire_text(schema: Any) -> str:
    """Return the text that is published and archived: compact JSON, keys in file order, without docs and labels."""
    return json.dumps(_for_readers(schema), separators=(",", ":"), ensure_ascii=False)


def _for_readers(node: Any) -> Any:
    """Drop `doc` and `headrace.*` from schemas and fields, but not from defaults, where they could be data."""
    if isinstance(node, list):
        return [_for_readers(item) for item in node]
    if isinstance(node, dict):
        kept = {k: v for k, v in node.items() if k != "doc" and not k.startswith("headrace.")}
        return {k: v if k == "default" else _for_readers(v) for k, v in kept.items()}
    return node
