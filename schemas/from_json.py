"""Makes an event from a JSON object: what `headrace produce` reads from each line.

JSON has fewer types than Avro, so: fixed values are hex, bytes are base64, timestamps are ISO 8601 with a time zone,
dates are ISO 8601. Everything else is taken as it is and checked by the event class.
"""

import base64
import binascii
import functools
import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from .errors import InvalidEvent
from .event import Event
from .shapes import ENVELOPE_NAMES, Field, Shape, own_fields

_GIVEN = {"occurred_at": Shape("timestamp-micros", nullable=True), "trace_id": Shape("fixed", nullable=True, size=16)}

# What is written as text in JSON: what to call it, and how to read it.
_FROM_TEXT: dict[str, tuple[str, Callable[[str], object]]] = {
    "fixed": ("hex digits", bytes.fromhex),
    "bytes": ("base64", lambda text: base64.b64decode(text, validate=True)),
    "timestamp-micros": ("ISO 8601 with a time zone", datetime.fromisoformat),
    "timestamp-millis": ("ISO 8601 with a time zone", datetime.fromisoformat),
    "date": ("ISO 8601", date.fromisoformat),
}


def event_from_json(cls: type[Event], fields: object) -> Event:
    """Make an event of a class from a parsed JSON value; raise InvalidEvent naming the field and what would fit.

    Of the envelope, `occurred_at` and `trace_id` may be given.
    """
    if not isinstance(fields, Mapping):
        raise InvalidEvent(cls.TYPE, f"must be a JSON object, not {_json_kind(fields)}")
    known = _own(cls.SCHEMA)
    shapes = {name: field.shape for name, field in known.items()} | _GIVEN
    for name in fields:
        if name not in shapes:
            reason = "is filled in by headrace" if name in ENVELOPE_NAMES else f"is no field; there are {_list(shapes)}"
            raise InvalidEvent(f"{cls.TYPE}.{name}", reason)
    missing = [name for name, field in known.items() if not field.has_default and name not in fields]
    if missing:
        raise InvalidEvent(f"{cls.TYPE}.{missing[0]}", "is missing, and has no default")
    personal = {*cls.HMAC, *cls.DROPPED}
    values = {
        name: (_hidden_value if name in personal else _value)(f"{cls.TYPE}.{name}", shapes[name], value)
        for name, value in fields.items()
    }
    return cls(**values)


def _hidden_value(where: str, shape: Shape, value: Any) -> Any:
    """Turn a personal value into what the event class takes; an error tells nothing of the value."""
    try:
        return _value(where, shape, value)
    except InvalidEvent:
        pass
    # Raised out here, so that the error that shows the value is not its context.
    raise InvalidEvent(where, f"must be {shape}; what was given is personal and not shown")


@functools.cache
def _own(schema_text: str) -> dict[str, Field]:
    return {field.name: field for field in own_fields(json.loads(schema_text))}


def _value(where: str, shape: Shape, value: Any) -> Any:
    """Turn one JSON value into what the event class takes, where the two differ."""
    if value is None:
        if not shape.nullable:
            raise InvalidEvent(where, "must not be null")
        return None
    if shape.kind == "array" and isinstance(value, list) and shape.items is not None:
        return [_value(f"{where}[{index}]", shape.items, item) for index, item in enumerate(value)]
    if shape.kind == "map" and isinstance(value, dict) and shape.items is not None:
        return {key: _value(f"{where}[{key!r}]", shape.items, item) for key, item in value.items()}
    if not isinstance(value, str) or shape.kind not in _FROM_TEXT:
        return value
    form, convert = _FROM_TEXT[shape.kind]
    try:
        return convert(value)
    except (ValueError, binascii.Error) as error:
        raise InvalidEvent(where, f"must be {form}: {error}") from error


def _list(names: Mapping[str, Shape]) -> str:
    return ", ".join(names)


def _json_kind(value: object) -> str:
    if value is None:
        return "null"
    kinds: dict[type, str] = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array"}
    return kinds.get(type(value), f"a {type(value).__name__}")
