"""Checks the fields and values that a rule names against its event type's schema."""

import difflib
import json
from collections.abc import Mapping
from typing import Any

from .rule_keys import Reading, RuleWrong

_PLAIN = {"string": str, "int": int, "long": int, "boolean": bool}


def field_check(reading: Reading) -> None:
    """Refuse fields that the type has not, and values that they cannot have. Raises RuleWrong."""
    event_type = reading.given["type"]
    fields = _fields(reading.catalog.current_text(event_type) or "{}")
    named = [
        *(("group_by", name) for name in reading.given.get("group_by", ())),
        *(("field", reading.given["field"]) for _ in range("field" in reading.given)),
        *((key, name) for key in ("where", "among") for name, _ in reading.given.get(key, ())),
    ]
    for key, name in named:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, 1)
            known = f"did you mean {near[0]}?" if near else f"it has {', '.join(fields)}"
            raise RuleWrong(key, f"{key}: {event_type} has no field {name!r}; {known}")
    for key in ("where", "among"):
        for name, values in reading.given.get(key, ()):
            for value in values:
                _value_check(key, name, fields[name], value)


def _fields(text: str) -> Mapping[str, Any]:
    """Return each field's type, without the null of a nullable one."""
    found = {}
    for each in json.loads(text).get("fields", ()):
        kind = each["type"]
        found[each["name"]] = next((one for one in kind if one != "null"), "null") if isinstance(kind, list) else kind
    return found


def _value_check(key: str, name: str, kind: Any, value: Any) -> None:
    if isinstance(kind, dict) and kind.get("type") == "enum":
        if value not in kind["symbols"]:
            raise RuleWrong(key, f"{key}: {name} cannot be {value!r}; it is one of {', '.join(kind['symbols'])}")
        return
    plain = _PLAIN.get(kind if isinstance(kind, str) else kind.get("type", ""))
    if plain is None:
        raise RuleWrong(key, f"{key}: {name} is no text, whole number or truth value, so it cannot be compared")
    if type(value) is not plain:
        called = {str: "a text", int: "a whole number", bool: "true or false"}[plain]
        raise RuleWrong(key, f"{key}: {name} is {called}, and never {value!r}")
