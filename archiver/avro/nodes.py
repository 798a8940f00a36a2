"""The parts of a writer schema, after names, references and logical types were resolved: what all codecs work on.

A tree of immutable nodes. It is never recursive, and no node of it takes unbounded memory for few bytes: `schema.py`
refuses what would.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import pyarrow as pa

PrimitiveKind = Literal["boolean", "int", "long", "float", "double", "bytes", "string"]

MIN_BYTES = {"boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1}
# What a value takes in an Arrow array beside its text: a value or an offset.
ARROW_BYTES = {"boolean": 1, "int": 4, "long": 8, "float": 4, "double": 8, "bytes": 4, "string": 4}


@dataclass(frozen=True, slots=True)
class Null:
    """Takes no bytes. Its column holds nulls only."""

    arrow: pa.DataType
    min_bytes: int = 0
    arrow_bytes: int = 0
    columns: int = 1


@dataclass(frozen=True, slots=True)
class Primitive:
    """A primitive; `arrow` is the column's type, for int and long with the logical type applied."""

    kind: PrimitiveKind
    arrow: pa.DataType
    columns: int = 1

    @property
    def min_bytes(self) -> int:
        """Return the least number of bytes that a value takes."""
        return MIN_BYTES[self.kind]

    @property
    def arrow_bytes(self) -> int:
        """Return the bytes that an empty value takes in a column."""
        return ARROW_BYTES[self.kind]


@dataclass(frozen=True, slots=True)
class Fixed:
    """A fixed of `size` bytes."""

    size: int
    arrow: pa.DataType
    columns: int = 1

    @property
    def min_bytes(self) -> int:
        """Return the size."""
        return self.size

    @property
    def arrow_bytes(self) -> int:
        """Return the size."""
        return self.size


@dataclass(frozen=True, slots=True)
class Enum:
    """An enum. `symbols` is the dictionary of its column, in the schema's order."""

    symbols: pa.StringArray
    arrow: pa.DataType
    min_bytes: int = 1
    arrow_bytes: int = 4
    columns: int = 1


@dataclass(frozen=True, slots=True)
class Decimal:
    """A decimal of at most 38 digits, kept as 128 bits. `size` of the fixed it lies in, None when it lies in bytes."""

    precision: int
    size: int | None
    arrow: pa.DataType
    arrow_bytes: int = 16
    columns: int = 1

    @property
    def min_bytes(self) -> int:
        """Return the least number of bytes that a value takes."""
        return self.size or 1


@dataclass(frozen=True, slots=True)
class Nullable:
    """A union of null and one other type; `null_index` is the branch (0 or 1) of null."""

    inner: "Node"
    null_index: int
    min_bytes: int = 1

    @property
    def arrow(self) -> pa.DataType:
        """Return the other type's column type."""
        return self.inner.arrow

    @property
    def arrow_bytes(self) -> int:
        """Return what a null takes in a column: as much as an empty value."""
        return self.inner.arrow_bytes

    @property
    def columns(self) -> int:
        """Return the leaf columns below."""
        return self.inner.columns


@dataclass(frozen=True, slots=True)
class Record:
    """A record: names and nodes of its fields, in the order in which they are written."""

    fields: "tuple[tuple[str, Node], ...]"
    arrow: pa.StructType
    min_bytes: int
    arrow_bytes: int
    columns: int


@dataclass(frozen=True, slots=True)
class Array:
    """An array, written in blocks."""

    items: "Node"
    arrow: pa.ListType
    min_bytes: int = 1
    arrow_bytes: int = 4

    @property
    def columns(self) -> int:
        """Return the leaf columns below."""
        return self.items.columns


@dataclass(frozen=True, slots=True)
class Map:
    """A map, written as an array of `entry` records: a string `key` and a `value`. Order and repeated keys are kept."""

    entry: Record
    arrow: pa.MapType
    min_bytes: int = 1
    arrow_bytes: int = 4

    @property
    def columns(self) -> int:
        """Return the leaf columns below."""
        return self.entry.columns


Node = Null | Primitive | Fixed | Enum | Decimal | Nullable | Record | Array | Map


def record(fields: tuple[tuple[str, Node], ...]) -> Record:
    """Make a record of these fields, every one nullable in Arrow."""
    return Record(
        fields,
        pa.struct([pa.field(name, node.arrow) for name, node in fields]),
        sum(node.min_bytes for _, node in fields),
        sum(node.arrow_bytes for _, node in fields),
        sum(node.columns for _, node in fields),
    )


def map_of(value: Node) -> Map:
    """Make a map to these values."""
    kind = pa.map_(pa.string(), pa.field("value", value.arrow))
    entry = record((("key", Primitive("string", pa.string())), ("value", value)))
    return Map(replace(entry, arrow=pa.struct([kind.key_field, kind.item_field])), kind)


def has_fixed_length_forms(node: Node) -> bool:
    """Tell whether the length proof holds: no encoding of a value is as short as its canonical one.

    Not so for arrays and maps (blocks may be split and counted in two ways) and decimals (empty bytes for zero).
    """
    match node:
        case Array() | Map() | Decimal():
            return False
        case Nullable():
            return has_fixed_length_forms(node.inner)
        case Record():
            return all(has_fixed_length_forms(field) for _, field in node.fields)
        case _:
            return True


def plain_schema(node: Node, names: list[str]) -> Any:  # noqa: PLR0911 - one case a kind of node
    """Return an equal Avro schema as JSON values, with names of its own and no logical type but decimal.

    The vectorised reader gets this one: what it does with dotted names, repeated names, references and logical types
    then matters no more. `names` collects the type names used so far.
    """
    match node:
        case Null():
            return "null"
        case Primitive():
            return node.kind
        case Nullable():
            branches = ["null", plain_schema(node.inner, names)]
            return branches if node.null_index == 0 else branches[::-1]
        case Array():
            return {"type": "array", "items": plain_schema(node.items, names)}
        case Map():
            return {"type": "map", "values": plain_schema(node.entry.fields[1][1], names)}
        case Decimal(size=None):
            return {"type": "bytes", **_decimal(node)}
    names.append(f"T{len(names)}")
    name = names[-1]
    match node:
        case Fixed():
            return {"type": "fixed", "name": name, "size": node.size}
        case Decimal():
            return {"type": "fixed", "name": name, "size": node.size, **_decimal(node)}
        case Enum():
            return {"type": "enum", "name": name, "symbols": [f"S{i}" for i in range(len(node.symbols))]}
        case Record():
            fields = [{"name": f"c{i}", "type": plain_schema(field, names)} for i, (_, field) in enumerate(node.fields)]
            return {"type": "record", "name": name, "fields": fields}


def _decimal(node: Decimal) -> dict[str, Any]:
    return {"logicalType": "decimal", "precision": node.precision, "scale": node.arrow.scale}
