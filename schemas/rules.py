"""The rules that one schema must keep by itself; evolution.py has those between two versions of it.

Each broken rule is a Violation that says which file and field, which rule, and what to do.
"""

import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .canonical import canonical_form
from .errors import SchemaError
from .generate import KEY_KINDS
from .generate_fields import default_source
from .personal import PersonalEvent
from .pii import label_violations, shape_violations
from .shapes import ENVELOPE, ENVELOPE_NAMES, PII, PII_REASON, Field, class_name, fields_of, shape_of

RESERVED = frozenset({"topic", "dt", "hr"})
_UNUSABLE = frozenset({"self", "property"})  # generated classes could not have fields of these names
_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]*")
_RECORD_NAME = re.compile(r"([A-Z][a-z0-9]*)+")
_TYPE_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_SYMBOL = re.compile(r"[A-Z][A-Z0-9_]*")
_RECORD_ATTRIBUTES = frozenset({"type", "name", "namespace", "doc", "key", "fields"})
_FIELD_ATTRIBUTES = frozenset({"name", "type", "doc", "default", PII, PII_REASON})


@dataclass(frozen=True)
class Violation:
    """A broken rule. `field` is empty where the rule is about the whole file."""

    file: str
    field: str
    rule: str
    problem: str
    advice: str

    def __str__(self) -> str:
        place = f"{self.file}: {self.field}" if self.field else self.file
        return f"{place}: [{self.rule}] {self.problem}: {self.advice}"


def violations_of(file: str, event_type: str, schema: dict[str, Any]) -> list[Violation]:
    """Return the rules that a schema breaks by itself; `file` is for messages, `event_type` the file's stem."""
    try:
        canonical_form(schema)
    except SchemaError as error:
        return [Violation(file, "", "avro", str(error), "mend the schema until Avro takes it")]
    found = list(_names(file, event_type, schema))
    fields: list[Field] = []
    for raw in schema["fields"]:
        found += _raw_field(file, raw)
    try:
        fields = fields_of(schema)
    except SchemaError:
        return [*found, *_unsupported(file, schema)]
    found += _envelope(file, fields)
    for field in fields:
        if field.name not in ENVELOPE_NAMES:
            found += _own_field(file, field)
            found += [Violation(file, field.name, *broken) for broken in shape_violations(field, schema.get("key"))]
    found += _key(file, schema, fields)
    return found


def _names(file: str, event_type: str, schema: dict[str, Any]) -> Iterator[Violation]:
    name = str(schema.get("name", ""))
    if not _TYPE_NAME.fullmatch(event_type):
        yield Violation(
            file, "", "name", f"{event_type!r} is no type name", "name the file like feed_load.avsc: a-z, 0-9, _"
        )
    elif name != class_name(event_type) or not _RECORD_NAME.fullmatch(name):
        yield Violation(
            file, "", "name", f"the record is called {name!r}", f"call it {class_name(event_type)!r}, after the file"
        )
    if not schema.get("namespace"):
        yield Violation(file, "", "name", "there is no namespace", "give one, such as your team's name")
    if "aliases" in schema:
        yield Violation(file, "", "aliases", "the record has aliases", "nothing is renamed: take them out")
    for extra in sorted(schema.keys() - _RECORD_ATTRIBUTES - {"aliases"}):
        yield Violation(file, "", "attribute", f"attribute {extra!r} means nothing here", "take it out")


def _raw_field(file: str, raw: dict[str, Any]) -> Iterator[Violation]:
    name = str(raw["name"])
    if "aliases" in raw:
        yield Violation(file, name, "aliases", "the field has aliases", "nothing is renamed: take them out")
    for extra in sorted(raw.keys() - _FIELD_ATTRIBUTES - {"aliases"}):
        advice = "put it inside of the type" if extra == "logicalType" else "take it out"
        yield Violation(file, name, "attribute", f"attribute {extra!r} means nothing on a field", advice)
    for broken in label_violations(raw):
        yield Violation(file, name, *broken)


def _unsupported(file: str, schema: dict[str, Any]) -> Iterator[Violation]:
    """Name every field whose type is not supported, not only the first."""
    named: dict[str, Any] = {}
    for raw in schema["fields"]:
        try:
            shape_of(raw["type"], named)
        except SchemaError as error:
            problem, _, advice = str(error).partition(": ")
            yield Violation(file, str(raw["name"]), "type", problem, advice or "use a supported type")


def _envelope(file: str, fields: list[Field]) -> Iterator[Violation]:
    advice = "copy the first seven fields of pin.avsc, in their order"
    for index, (name, kind, size) in enumerate(ENVELOPE):
        if index >= len(fields) or fields[index].name != name:
            yield Violation(file, name, "envelope", f"field {index + 1} must be {name}", advice)
            return
        shape = fields[index].shape
        nullable = name == "trace_id"
        if shape.kind != kind or shape.nullable != nullable or (size is not None and shape.size != size):
            yield Violation(file, name, "envelope", f"must not be {shape}", advice)
        if fields[index].has_default != nullable or fields[index].default is not None:
            yield Violation(file, name, "envelope", "only trace_id has a default, null", advice)


def _own_field(file: str, field: Field) -> Iterator[Violation]:
    name = field.name
    if name in RESERVED or name.startswith("_"):
        yield Violation(file, name, "reserved", "the archive has this name for itself", "choose another name")
    elif not _FIELD_NAME.fullmatch(name):
        yield Violation(file, name, "name", "not a field name", "use a-z, 0-9 and _, beginning with a letter")
    elif keyword.iskeyword(name) or hasattr(PersonalEvent, name) or name in _UNUSABLE:
        yield Violation(file, name, "name", "typed classes use this name for something else", "choose another name")
    if field.shape.nullable and not field.has_default:
        yield Violation(file, name, "null", "a nullable field has no default", 'add "default": null')
    if field.has_default:
        try:
            default_source(field)
        except SchemaError as error:
            yield Violation(file, name, "default", str(error), "give a default of the field's type")
    inner = field.shape.items or field.shape
    if inner.kind == "enum":
        if inner.symbols[:1] != ("UNKNOWN",) or inner.default_symbol != "UNKNOWN":
            advice = 'put "UNKNOWN" first in symbols and add "default": "UNKNOWN" to the enum'
            yield Violation(file, name, "enum", "readers of old versions could not read new symbols", advice)
        for symbol in inner.symbols:
            if not _SYMBOL.fullmatch(symbol):
                yield Violation(file, name, "enum", f"symbol {symbol!r} is not in capitals", "use A-Z, 0-9 and _")


def _key(file: str, schema: dict[str, Any], fields: list[Field]) -> Iterator[Violation]:
    key = schema.get("key")
    if key is None or key == "service":
        return
    kinds = {field.name: field.shape.kind for field in fields if field.name not in ENVELOPE_NAMES}
    if kinds.get(key) not in KEY_KINDS:
        yield Violation(
            file,
            "",
            "key",
            f"{key!r} cannot be the key",
            f"name an own field of kind {', '.join(KEY_KINDS)}, or service",
        )
