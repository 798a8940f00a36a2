"""A writer schema's text to nodes: references and namespaces resolved, logical types mapped, the unmappable refused."""

import json
from typing import Any

import pyarrow as pa

from .nodes import Array, Decimal, Enum, Fixed, Node, Null, Nullable, Primitive, Record, map_of, record

DEPTH_MAX = 32
COLUMNS_MAX = 2_000
# A null costs one byte on the wire and a whole value in a column. Beyond these, few bytes would fill the memory.
NULLABLE_BYTES_MAX = 4_096
ITEM_GROWTH_MAX = 256
DECIMAL_DIGITS_MAX = 38  # what Spark, DuckDB and 128 bits hold; decimals beyond stay bytes

_PRIMITIVES: dict[str, Node] = {
    "null": Null(pa.null()),
    "boolean": Primitive("boolean", pa.bool_()),
    "int": Primitive("int", pa.int32()),
    "long": Primitive("long", pa.int64()),
    "float": Primitive("float", pa.float32()),
    "double": Primitive("double", pa.float64()),
    "bytes": Primitive("bytes", pa.binary()),
    "string": Primitive("string", pa.string()),
}
# Spark refuses a whole file for one column of nanosecond timestamps or milliseconds of the day, so that those, and
# microseconds of the day with them, stay int and long. Text uuids stay text, as they were written. Durations and uuids
# in a fixed stay fixed.
_LOGICAL: dict[tuple[str, str], Node] = {
    ("int", "date"): Primitive("int", pa.date32()),
    ("long", "timestamp-millis"): Primitive("long", pa.timestamp("ms", tz="UTC")),
    ("long", "timestamp-micros"): Primitive("long", pa.timestamp("us", tz="UTC")),
    ("long", "local-timestamp-millis"): Primitive("long", pa.timestamp("ms")),
    ("long", "local-timestamp-micros"): Primitive("long", pa.timestamp("us")),
}


class SchemaUnsupported(ValueError):
    """The schema is no Avro record schema, or has no mapping to columns. The text says where and why."""


class WriterSchema:
    """One writer schema, parsed once.

    `text` is what was given, `arrow_schema` the record's own fields in order, every one nullable, `root` the resolved
    record. Raises SchemaUnsupported.
    """

    def __init__(self, text: str) -> None:
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SchemaUnsupported(f"the schema is not JSON: {error}") from error
        root = _Resolver().resolve(parsed, "", ())
        if not isinstance(root, Record):
            raise SchemaUnsupported("the schema is not a record: only records have columns")
        self.text = text
        self.root = root
        self.arrow_schema = pa.schema(list(root.arrow))


class _Resolver:
    """Resolves one schema text. Types that have a name are built once, and known under it from then on."""

    def __init__(self) -> None:
        self._named: dict[str, Node | None] = {}  # None while the type is being built

    def resolve(self, schema: Any, namespace: str, path: tuple[str, ...]) -> Node:  # noqa: PLR0911 - one case a kind of schema
        if len(path) > DEPTH_MAX:
            raise _unsupported(path, f"it is nested deeper than {DEPTH_MAX}")
        if isinstance(schema, str):
            return _PRIMITIVES[schema] if schema in _PRIMITIVES else self._reference(schema, namespace, path)
        if isinstance(schema, list):
            return self._union(schema, namespace, path)
        if not isinstance(schema, dict):
            raise _unsupported(path, "it is no Avro schema")
        kind = schema.get("type")
        if kind in ("record", "error"):
            return self._record(schema, namespace, path)
        if kind in ("enum", "fixed"):
            full = self._begin(schema, namespace, path)
            node = _enum(schema, path) if kind == "enum" else _fixed(schema, path)
            self._named[full] = node
            return node
        if kind == "array":
            items = self.resolve(schema.get("items"), namespace, (*path, "[]"))
            _check_growth(items, path)
            return Array(items, pa.list_(pa.field("item", items.arrow)))
        if kind == "map":
            node = map_of(self.resolve(schema.get("values"), namespace, (*path, "{}")))
            _check_growth(node.entry, path)
            return node
        if isinstance(kind, str) and kind in _PRIMITIVES:
            return _with_logical_type(kind, schema)
        return self.resolve(kind, namespace, path)

    def _reference(self, name: str, namespace: str, path: tuple[str, ...]) -> Node:
        for full in (_full_name(name, namespace), name):
            if full in self._named:
                node = self._named[full]
                if node is None:
                    raise _unsupported(path, f"the record {full} contains itself")
                return node
        raise _unsupported(path, f"the type {name[:100]!r} is not defined")

    def _begin(self, schema: dict[str, Any], namespace: str, path: tuple[str, ...]) -> str:
        """Take the name of a type that is being built. Returns its full name."""
        name = schema.get("name")
        if not isinstance(name, str) or not name:
            raise _unsupported(path, f"a {schema.get('type')} has no name")
        full = _full_name(name, _namespace(schema, namespace))
        if full in self._named:
            raise _unsupported(path, f"the type {full} is defined twice")
        self._named[full] = None
        return full

    def _record(self, schema: dict[str, Any], namespace: str, path: tuple[str, ...]) -> Record:
        full = self._begin(schema, namespace, path)
        inner = full.rpartition(".")[0]
        fields = schema.get("fields")
        if not isinstance(fields, list) or not fields:
            raise _unsupported(path, "a record without fields has no columns")
        built: dict[str, Node] = {}
        for field in fields:
            name = field.get("name") if isinstance(field, dict) else None
            if not isinstance(name, str) or not name or name in built:
                raise _unsupported(path, f"the record {full} has a field without a name of its own")
            built[name] = self.resolve(field.get("type"), inner, (*path, name))
        node = record(tuple(built.items()))
        if node.columns > COLUMNS_MAX:
            raise _unsupported(path, f"it makes more than {COLUMNS_MAX} columns")
        self._named[full] = node
        return node

    def _union(self, branches: list[Any], namespace: str, path: tuple[str, ...]) -> Nullable:
        nodes = [self.resolve(branch, namespace, path) for branch in branches]
        nulls = [isinstance(node, Null) for node in nodes]
        if sorted(nulls) != [False, True]:
            raise _unsupported(path, "a union other than of null and one type has no column type")
        inner = nodes[nulls.index(False)]
        if isinstance(inner, Nullable):
            raise _unsupported(path, "a union lies directly in a union")
        if inner.arrow_bytes > NULLABLE_BYTES_MAX:
            raise _unsupported(path, f"each null would take {inner.arrow_bytes} bytes of memory")
        return Nullable(inner, nulls.index(True))


def _unsupported(path: tuple[str, ...], reason: str) -> SchemaUnsupported:
    where = ".".join(path)[:200]
    return SchemaUnsupported(f"no columns for the schema, at {where or 'its top'}: {reason}")


def _namespace(schema: dict[str, Any], enclosing: str) -> str:
    own = schema.get("namespace")
    return own if isinstance(own, str) else enclosing


def _full_name(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _check_growth(items: Node, path: tuple[str, ...]) -> None:
    if items.min_bytes == 0:
        raise _unsupported(path, "its items take no bytes, so that a count of them is not bounded")
    if items.arrow_bytes > ITEM_GROWTH_MAX * items.min_bytes:
        raise _unsupported(path, f"an item of {items.min_bytes} bytes would take {items.arrow_bytes} bytes of memory")


def _enum(schema: dict[str, Any], path: tuple[str, ...]) -> Enum:
    symbols = schema.get("symbols")
    if not isinstance(symbols, list) or not symbols or not all(isinstance(symbol, str) for symbol in symbols):
        raise _unsupported(path, "an enum has no symbols")
    if len(set(symbols)) != len(symbols):
        raise _unsupported(path, "an enum has a symbol twice")
    return Enum(pa.array(symbols, pa.string()), pa.dictionary(pa.int32(), pa.string()))


def _fixed(schema: dict[str, Any], path: tuple[str, ...]) -> Node:
    size = schema.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size < 2**31:
        raise _unsupported(path, f"a fixed has the size {str(size)[:20]}")
    return _decimal(schema, size) or Fixed(size, pa.binary(size))


def _with_logical_type(kind: str, schema: dict[str, Any]) -> Node:
    """Apply the logical type where it is one that fits; the specification has unknown and wrong ones ignored."""
    logical = schema.get("logicalType")
    if kind == "bytes":
        return _decimal(schema, None) or _PRIMITIVES[kind]
    return _LOGICAL.get((kind, logical), _PRIMITIVES[kind]) if isinstance(logical, str) else _PRIMITIVES[kind]


def _decimal(schema: dict[str, Any], size: int | None) -> Decimal | None:
    precision, scale = schema.get("precision"), schema.get("scale", 0)
    if schema.get("logicalType") != "decimal" or type(precision) is not int or type(scale) is not int:
        return None
    digits = DECIMAL_DIGITS_MAX if size is None or size > 16 else len(str(2 ** (8 * size - 1) - 1)) - 1
    if not (0 < precision <= min(digits, DECIMAL_DIGITS_MAX) and 0 <= scale <= precision):
        return None
    return Decimal(precision, size, pa.decimal128(precision, scale))
