"""What a schema's field can be: one Shape for each Avro type that typed classes, rules and the archive agree on.

Left out on purpose: unions other than ["null", X], records inside records, arrays of arrays, decimals, local
timestamps, uuid. Each of them either has no single obvious Python value or is read differently by some reader of the
archive.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import SchemaError

ENVELOPE: tuple[tuple[str, str, int | None], ...] = (
    # name, kind, size of a fixed; trace_id is the nullable one
    ("event_id", "fixed", 16),
    ("occurred_at", "timestamp-micros", None),
    ("service", "string", None),
    ("host", "string", None),
    ("session_id", "fixed", 16),
    ("seq", "long", None),
    ("trace_id", "fixed", 16),
)
ENVELOPE_NAMES = tuple(name for name, _, _ in ENVELOPE)

PRIMITIVES = ("boolean", "int", "long", "float", "double", "bytes", "string")
LOGICAL = {("long", "timestamp-micros"), ("long", "timestamp-millis"), ("int", "date")}
PII, PII_REASON = "headrace.pii", "headrace.pii_reason"
_NO_DEFAULT = object()


@dataclass(frozen=True)
class Shape:
    """The type of a field. `kind` is a primitive's name, a logical type's, fixed, enum, array or map."""

    kind: str
    nullable: bool = False
    name: str = ""  # of an enum or fixed
    symbols: tuple[str, ...] = ()
    default_symbol: str | None = None
    size: int = 0
    items: "Shape | None" = None  # of an array or map

    def __str__(self) -> str:
        inside = f"{self.kind}({self.size})" if self.kind == "fixed" else self.kind
        if self.items is not None:
            inside = f"{self.kind} of {self.items}"
        return f"nullable {inside}" if self.nullable else inside


@dataclass(frozen=True)
class Field:
    """One field of a record; `default` is the JSON default and only means something when `has_default`."""

    name: str
    shape: Shape
    doc: str
    has_default: bool
    default: Any
    pii: str | None = None
    """Its label (pii.py): drop, hmac or none; None without one."""


def shape_of(avro_type: Any, named: dict[str, Shape]) -> Shape:
    """Return the shape of an Avro type given as parsed JSON; `named` collects named types for later references.

    Raises SchemaError, whose text says what to use instead.
    """
    if isinstance(avro_type, list):
        return _nullable(avro_type, named)
    if isinstance(avro_type, str):
        if avro_type in PRIMITIVES:
            return Shape(avro_type)
        known = named.get(avro_type.rpartition(".")[2])
        if known is not None:
            return known
        raise SchemaError(
            f"type {avro_type!r} is not supported: use {', '.join(PRIMITIVES)}, fixed, enum, array or map"
        )
    if not isinstance(avro_type, dict) or "type" not in avro_type:
        raise SchemaError(f"{avro_type!r} is no Avro type")
    return _complex(avro_type, named)


def _nullable(branches: list[Any], named: dict[str, Shape]) -> Shape:
    if len(branches) != 2 or branches[0] != "null":
        raise SchemaError(f'the only union is ["null", X], null first, not {branches!r}: use one field for each kind')
    inner = shape_of(branches[1], named)
    if inner.nullable:
        raise SchemaError("a union cannot hold a union")
    return Shape(inner.kind, True, inner.name, inner.symbols, inner.default_symbol, inner.size, inner.items)


def _complex(avro_type: Mapping[str, Any], named: dict[str, Shape]) -> Shape:
    base = avro_type["type"]
    logical = avro_type.get("logicalType")
    if logical is not None:
        if (base, logical) not in LOGICAL:
            allowed = ", ".join(sorted(f"{name} on {on}" for on, name in LOGICAL))
            raise SchemaError(f"logicalType {logical!r} on {base!r} is not supported: use {allowed}, or leave it out")
        return Shape(str(logical))
    if base in ("array", "map"):
        items = shape_of(avro_type["items" if base == "array" else "values"], named)
        if items.nullable or items.items is not None:
            raise SchemaError(f"an {base} holds plain values, not {items}")
        return Shape(base, items=items)
    if base == "fixed":
        shape = Shape("fixed", name=str(avro_type["name"]), size=int(avro_type["size"]))
    elif base == "enum":
        symbols = tuple(str(symbol) for symbol in avro_type["symbols"])
        shape = Shape("enum", name=str(avro_type["name"]), symbols=symbols, default_symbol=avro_type.get("default"))
    elif base == "record":
        raise SchemaError("a record inside a record is not supported: put its fields beside the others")
    else:
        return shape_of(base, named)
    named[shape.name.rpartition(".")[2]] = shape
    return shape


def fields_of(schema: Mapping[str, Any]) -> list[Field]:
    """Return a record's fields, envelope first; raise SchemaError naming the field that has no Shape."""
    named: dict[str, Shape] = {}
    fields = []
    for raw in schema["fields"]:
        name = str(raw["name"])
        try:
            shape = shape_of(raw["type"], named)
        except (SchemaError, KeyError, TypeError, ValueError) as error:
            text = str(error) if isinstance(error, SchemaError) else f"{raw['type']!r} is no Avro type ({error!r})"
            raise SchemaError(f"field {name}: {text}") from error
        default = raw.get("default", _NO_DEFAULT)
        has_default = default is not _NO_DEFAULT
        doc, pii = str(raw.get("doc", "")), raw.get(PII)
        fields.append(Field(name, shape, doc, has_default, default if has_default else None, pii))
    return fields


def own_fields(schema: Mapping[str, Any]) -> list[Field]:
    """Return a record's fields without the envelope."""
    return [field for field in fields_of(schema) if field.name not in ENVELOPE_NAMES]


def type_name(record_name: str) -> str:
    """Return the event type's name, which is its file's and topic's: FeedLoad -> feed_load."""
    out = ""
    for index, char in enumerate(record_name):
        if char.isupper() and index and not (record_name[index - 1].isupper()):
            out += "_"
        out += char.lower()
    return out


def class_name(event_type: str) -> str:
    """Return the record's and class's name for a type or field name: feed_load -> FeedLoad."""
    return "".join(part[:1].upper() + part[1:] for part in event_type.split("_"))
