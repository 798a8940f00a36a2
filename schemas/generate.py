"""Writes typed Python classes for the event types of a folder: what `headrace schema generate` does.

The result depends on the schemas alone, so that a test or `--check` can hold the committed file to them. Each class
encodes its own fields in its constructor, with one `put_*` call a field (binary.py): no schema is interpreted at run
time.
"""

import json
import keyword
from collections.abc import Callable

from .binary import put_double, put_float, put_int, put_long, put_string, put_symbol
from .canonical import fingerprint, wire_text
from .errors import InvalidEvent, SchemaError
from .folder import SchemaFile, SchemaFolder
from .shapes import Field, Shape, class_name, own_fields

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
_HEADER = '''"""Typed event classes. Made by `headrace schema generate`: change the .avsc files, not this one."""
# ruff: noqa
# fmt: off

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from types import MappingProxyType
from typing import Literal

from headrace.schemas import binary as _b
from headrace.schemas.event import Event
'''


def generate(folder: SchemaFolder) -> str:
    """Return the module's text for the current schemas of a folder; raise SchemaError for what has no typed class."""
    names: dict[str, str] = {}
    parts = [_HEADER]
    exported: list[str] = []
    for event_type in sorted(folder.current):
        file = folder.current[event_type]
        try:
            text, defined = _module_part(file)
        except SchemaError as error:
            raise SchemaError(f"{file.label}: {error}") from error
        for name in defined:
            if names.setdefault(name, file.label) != file.label:
                raise SchemaError(f"{file.label}: the name {name} is taken by {names[name]}: rename the type or field")
        parts.append(text)
        exported += defined
    parts.append("__all__ = [\n" + "".join(f'    "{name}",\n' for name in sorted(exported)) + "]\n")
    return "\n\n".join(parts)


def _module_part(file: SchemaFile) -> tuple[str, list[str]]:
    """Return one type's enums and class, and the public names that they define."""
    record = str(file.schema["name"])
    own = own_fields(file.schema)
    for field in own:
        if keyword.iskeyword(field.name):
            raise SchemaError(f"field {field.name}: is a word of Python's own: choose another name")
    enums = [(f"{record}{class_name(field.name)}", field) for field in own if _enum(field.shape)]
    lines = []
    for alias, field in enums:
        symbols = (_enum(field.shape) or field.shape).symbols
        lines.append(f"{alias} = Literal[{', '.join(json.dumps(symbol) for symbol in symbols)}]")
        lines.append(f"_{alias} = _b.symbol_table({symbols!r})")
    lines += ["", ""] if enums else []
    lines += _class(file, record, own)
    return "\n".join(lines) + "\n", [record, *(alias for alias, _ in enums)]


def _class(file: SchemaFile, record: str, own: list[Field]) -> list[str]:
    names = tuple(field.name for field in own)
    doc = str(file.schema.get("doc", f"{file.event_type} event."))
    lines = [f"class {record}(Event):", f'    """{_docstring(doc)}"""']
    text = wire_text(file.schema)
    lines += [
        "",
        "    __slots__ = ()",
        f"    TYPE = {file.event_type!r}",
        f"    FIELDS = {names!r}",
        f"    FINGERPRINT = bytes.fromhex({fingerprint(file.schema).hex()!r})",
        f"    SCHEMA = {text!r}",
        "",
        "    def __init__(",
        "        self,",
        "        *,",
        *(f"        {field.name}: {_accepted(record, field)}{_default(field)}," for field in own),
        "        occurred_at: datetime | None = None,",
        "        trace_id: bytes | None = None,",
        "    ) -> None:",
    ]
    for field in own:
        if field.shape.items is not None:
            lines += _copied(field)
    puts = [_put(record, file.event_type, field) for field in own]
    lines += ["        own = (", *(f"            {'+ ' if index else ''}{put}" for index, put in enumerate(puts))]
    lines += ["        )" if puts else '            b""\n        )']
    values = "".join(f"{name}, " for name in names)
    lines += [f"        self._seal(own, ({values}occurred_at, trace_id))", ""]
    for index, field in enumerate(own):
        lines += [
            "    @property",
            f"    def {field.name}(self) -> {_stored(record, field)}:",
            f'        """{_docstring(field.doc) or field.name}"""',
            f"        return self._values[{index}]  # type: ignore[no-any-return] # set by __init__",
            "",
        ]
    return lines + _key(file, own)


def _docstring(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace('"""', "'''").split())


def _enum(shape: Shape) -> Shape | None:
    """Return the enum of a shape, whether it is one, may be null, or holds many."""
    inner = shape.items or shape
    return inner if inner.kind == "enum" else None


def _scalar(record: str, field: Field) -> str:
    inner = field.shape.items or field.shape
    return f"{record}{class_name(field.name)}" if inner.kind == "enum" else _ANNOTATIONS[inner.kind]


def _accepted(record: str, field: Field) -> str:
    return _annotation(record, field, "Sequence[{}]", "Mapping[str, {}]")


def _stored(record: str, field: Field) -> str:
    return _annotation(record, field, "tuple[{}, ...]", "Mapping[str, {}]")


def _annotation(record: str, field: Field, array: str, mapping: str) -> str:
    inner = _scalar(record, field)
    form = {"array": array, "map": mapping}.get(field.shape.kind, "{}")
    return form.format(inner) + (" | None" if field.shape.nullable else "")


def _default(field: Field) -> str:
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


def _put(record: str, event_type: str, field: Field) -> str:
    """Return the expression that checks and encodes one field."""
    where, shape = json.dumps(f"{event_type}.{field.name}"), field.shape
    if shape.items is not None:
        put = f"_b.put_{shape.kind}({where}, {field.name}, lambda w, v: {_put_scalar(record, field, 'w', 'v')})"
    else:
        put = _put_scalar(record, field, where, field.name)
    return f"(_b.NULL if {field.name} is None else _b.SOME + {put})" if shape.nullable else put


def _put_scalar(record: str, field: Field, where: str, value: str) -> str:
    inner = field.shape.items or field.shape
    if inner.kind == "fixed":
        return f"_b.put_fixed({where}, {value}, {inner.size})"
    if inner.kind == "enum":
        return f"_b.put_symbol({where}, {value}, _{record}{class_name(field.name)})"
    return f"_b.put_{inner.kind.replace('-', '_')}({where}, {value})"


def _copied(field: Field) -> list[str]:
    """Return lines that take a collection as an immutable copy; what is none is left for put_* to refuse."""
    kind, copy = ("list", "tuple({})") if field.shape.kind == "array" else ("dict", "MappingProxyType(dict({}))")
    return [
        f"        if isinstance({field.name}, {kind}):",
        f"            {field.name} = {copy.format(field.name)}",
    ]


def _key(file: SchemaFile, own: list[Field]) -> list[str]:
    """Return the method that gives the Kafka key, from the schema's `key` attribute."""
    key = file.schema.get("key")
    if key is None:
        body = ["        return None"]
    elif key == "service":
        body = ["        return service.encode()"]
    else:
        found = [field for field in own if field.name == key]
        if not found or found[0].shape.kind not in KEY_KINDS:
            raise SchemaError(f"key: {key!r} is no field of kind {', '.join(KEY_KINDS)}, and not service")
        body = [f"        if self.{key} is None:", "            return None"] if found[0].shape.nullable else []
        body.append(f"        return {KEY_KINDS[found[0].shape.kind].format(f'self.{key}')}")
    return [
        "    def kafka_key(self, service: str) -> bytes | None:",
        f'        """Return the record\'s key: {key or "none"}."""',
        *body,
    ]


# What may be a key, and how it becomes bytes: numbers as ASCII digits, text as UTF-8, bytes as they are.
KEY_KINDS = {"int": 'b"%d" % {}', "long": 'b"%d" % {}', "string": "{}.encode()", "bytes": "{}", "fixed": "{}"}
