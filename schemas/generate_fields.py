"""What `headrace schema generate` writes for one field: its annotations, its default, and the lines that encode it.

Longs, ints, booleans and enums are checked and encoded in line when the value is plainly right, which saves a call for
each; everything else, and every value that is not, goes to the `put_*` functions, which convert nothing and say what is
wrong. All names that these lines use begin with `_`: a field may be called `type`, `len` or `int`.
"""

import json
from collections.abc import Callable

from .binary import put_double, put_float, put_int, put_long, put_string, put_symbol
from .errors import InvalidEvent, SchemaError
from .shapes import Field, Shape, class_name

_ANNOTATIONS = {
    "boolean": "bool",
    "int": "int",
    "long": "int",
    "float": "float",
    "double": "float",
    "bytes": "bytes",
    "string": "str",
    "fixed": "bytes",
    "timestamp-micros": "datetime",
    "timestamp-millis": "datetime",
    "date": "date",
}
_RANGES = {"int": (-(1 << 31), (1 << 31) - 1), "long": (-(1 << 63), (1 << 63) - 1)}


def enum_of(shape: Shape) -> Shape | None:
    """Return the enum of a shape, whether it is one, may be null, or holds many."""
    inner = shape.items or shape
    return inner if inner.kind == "enum" else None


def accepted(record: str, field: Field) -> str:
    """Return the annotation of the constructor's parameter."""
    return _annotation(record, field, "Sequence[{}]", "Mapping[str, {}]")


def stored(record: str, field: Field, own_names: frozenset[str]) -> str:
    """Return the annotation of the property. `own_names` are all fields: one called `date` hides the type there."""
    return _annotation(record, field, "_tuple[{}, ...]", "Mapping[_str, {}]", own_names)


def _annotation(record: str, field: Field, array: str, mapping: str, own_names: frozenset[str] = frozenset()) -> str:
    inner = field.shape.items or field.shape
    name = f"{record}{class_name(field.name)}" if inner.kind == "enum" else _ANNOTATIONS[inner.kind]
    if name in own_names:
        name = f"_{name}"
    if "tuple" not in own_names:
        array = array.replace("_tuple", "tuple")
    if "str" not in own_names:
        mapping = mapping.replace("_str", "str")
    form = {"array": array, "map": mapping}.get(field.shape.kind, "{}")
    return form.format(name) + (" | None" if field.shape.nullable else "")


def default_of(field: Field) -> str:
    """Return ` = default` for a parameter, or nothing for one that must be given."""
    return f" = {default_source(field)}" if field.has_default else ""


def default_source(field: Field) -> str:
    """Return a field's default as Python source; raise SchemaError for one that is not of the field's type.

    Bytes, fixed and times have no default but null: Avro writes bytes in JSON as text, which readers (fastavro among
    them) do not turn back.
    """
    shape, value = field.shape, field.default
    if shape.nullable:
        if value is not None:
            raise SchemaError(f"field {field.name}: the default of a nullable field must be null, not {value!r}")
        return "None"
    if shape.kind == "array" and value == []:
        return "()"
    if shape.kind == "map" and value == {}:
        return "MappingProxyType({})"
    checks: dict[str, Callable[[], object]] = {
        "int": lambda: put_int("default", value),
        "long": lambda: put_long("default", value),
        "float": lambda: put_float("default", value),
        "double": lambda: put_double("default", value),
        "string": lambda: put_string("default", value),
        "enum": lambda: put_symbol("default", value, dict.fromkeys(shape.symbols, b"")),
    }
    if shape.kind == "boolean":
        if isinstance(value, bool):
            return repr(value)
    elif shape.kind in checks:
        try:
            checks[shape.kind]()
        except InvalidEvent as error:
            raise SchemaError(f"field {field.name}: {error}") from error
        return json.dumps(value) if isinstance(value, str) else repr(value)
    raise SchemaError(
        f"field {field.name}: {value!r} cannot be the default of {shape}: make the field nullable, default null"
    )


# Values that fastavro may encode once they were checked (binary_collections.py).
_PLAIN_ITEMS = frozenset({"long", "int", "boolean", "double", "string"})


def groups_of(own: list[Field]) -> dict[int, list[Field]]:
    """Return runs of neighbouring plain arrays and maps, which are encoded together, by the index of the first."""
    groups: dict[int, list[Field]] = {}
    begun: int | None = None
    for index, field in enumerate(own):
        items = field.shape.items
        if items is None or items.kind not in _PLAIN_ITEMS or field.shape.nullable or field.pii in ("drop", "hmac"):
            begun = None
            continue
        if begun is None:
            begun = index
        groups.setdefault(begun, []).append(field)
    return {index: fields for index, fields in groups.items() if len(fields) > 1}


def group_source(fields: list[Field]) -> str:
    """Return the expression that makes a group."""
    parts = [
        f"({f.name!r}, {f.shape.kind!r}, _b.put_{f.shape.items.kind})" for f in fields if f.shape.items is not None
    ]
    return f"_c.Group({', '.join(parts)})"


def group_encoding(group: str, event_type: str, fields: list[Field], index: int) -> list[str]:
    """Return the lines that check a group's fields and put their encoded bytes into `_<index>`."""
    copies = [line for field in fields for line in _copied(field)]
    return [*copies, f"_{index} = {group}.encode({event_type!r}, {', '.join(field.name for field in fields)})"]


def encoding(record: str, event_type: str, field: Field, index: int) -> list[str]:
    """Return the lines that check a field and put its encoded bytes into `_<index>`."""
    name, shape, where = field.name, field.shape, json.dumps(f"{event_type}.{field.name}")
    lines = _copied(field) if shape.items is not None else []
    if field.pii in ("drop", "hmac"):
        return [*lines, *_personal(record, field, where, index)]
    some = "_b.SOME + " if shape.nullable else ""
    quick = _quick(record, field)
    slow = f"_{index} = {some}{_put(record, field, where, name)}"
    if quick is None:
        if not shape.nullable:
            return [*lines, slow]
        return [*lines, f"_{index} = _b.NULL if {name} is None else {slow.partition(' = ')[2]}"]
    condition, prepare, expression = quick
    if shape.nullable:
        lines += [f"if {name} is None:", f"    _{index} = _b.NULL"]
    lines += [f"{'elif' if shape.nullable else 'if'} {condition}:"]
    lines += [f"    {line}" for line in prepare]
    lines += [f"    _{index} = {some}{'(' * bool(some)}{expression}{')' * bool(some)}", "else:", f"    {slow}"]
    return lines


def _quick(record: str, field: Field) -> tuple[str, list[str], str] | None:
    """Return (condition, statements, expression) for values that can be encoded in line."""
    name, kind = field.name, field.shape.kind
    if kind in _RANGES:
        low, high = _RANGES[kind]
        return (
            f"_type({name}) is _int and {low} <= {name} <= {high}",
            [f"_n = {name} << 1 if {name} >= 0 else ~({name} << 1)"],
            f"_L[_n] if _n < 16384 else _M[_n & 16383] + _L[_n >> 14] if _n < 268435456 else _b.zigzag({name})",
        )
    if kind == "enum":
        table = f"_{record}{class_name(name)}"
        return (f"_type({name}) is _str and {name} in {table}", [], f"{table}[{name}]")
    if kind == "boolean":
        return (f"{name} is True or {name} is False", [], f'b"\\x01" if {name} else b"\\x00"')
    return None


def _personal(record: str, field: Field, where: str, index: int) -> list[str]:
    """Return the lines for a labelled field: errors hide the value; `drop` forgets it after the check."""
    name, shape = field.name, field.shape
    put = _put(record, field, "w", "v")
    checked = f"_b.hidden({where}, {name}, {json.dumps(str(shape))}, lambda w, v: {put})"
    if field.pii == "hmac":
        some = f"_b.NULL if {name} is None else _b.SOME + " if shape.nullable else ""
        return [f"_{index} = {some}{checked}"]
    default = default_source(field)
    plain = _put(record, field, where, name)
    if shape.nullable:
        return [f"if {name} is not None:", f"    {checked}", f"    {name} = None", f"_{index} = _b.NULL"]
    return [checked, f"{name} = {default}", f"_{index} = {plain}"]


def _put(record: str, field: Field, where: str, value: str) -> str:
    """Return the expression that checks and encodes a value of a field's type, null left aside."""
    shape = field.shape
    inner = shape.items or shape
    table = f"_{record}{class_name(field.name)}"
    more = {"fixed": f", {inner.size}", "enum": f", {table}"}
    function = {"enum": "_b.put_symbol"}.get(inner.kind, f"_b.put_{inner.kind.replace('-', '_')}")
    if shape.items is None:
        return f"{function}({where}, {value}{more.get(inner.kind, '')})"
    item = f"lambda w, v: {function}(w, v{more[inner.kind]})" if inner.kind in more else function
    return f"_c.put_{shape.kind}({where}, {value}, {item})"


def kept(field: Field) -> str:
    """Return the expression for what the event keeps of a field: maps are wrapped, so that nobody changes them."""
    if field.shape.kind != "map" or field.pii == "drop":
        return field.name
    wrapped = f"MappingProxyType({field.name})"
    return f"None if {field.name} is None else {wrapped}" if field.shape.nullable else wrapped


def _copied(field: Field) -> list[str]:
    """Return lines that copy a collection, since its owner may change it; what is none is left for put_* to refuse."""
    if field.shape.kind == "array":
        return [f"if _isinstance({field.name}, _list):", f"    {field.name} = _tuple({field.name})"]
    return [f"if _isinstance({field.name}, Mapping):", f"    {field.name} = _dict({field.name})"]
