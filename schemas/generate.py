"""Writes typed Python classes for the event types of a folder: what `headrace schema generate` does.

The result depends on the schemas alone, so that a test or `--check` can hold the committed file to them. Each class
encodes its own fields in its constructor, with one `put_*` call a field (binary.py): no schema is interpreted at run
time.
"""

import json
import keyword

from .binary import BODY_BYTES_MAX
from .canonical import fingerprint, wire_text
from .errors import SchemaError
from .folder import SchemaFile, SchemaFolder
from .generate_fields import (
    accepted,
    default_of,
    encoding,
    enum_of,
    group_encoding,
    group_source,
    groups_of,
    kept,
    stored,
)
from .shapes import Field, class_name, own_fields

_HEADER = '''"""Typed event classes. Made by `headrace schema generate`: change the .avsc files, not this one."""
# ruff: noqa
# fmt: off

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from types import MappingProxyType
from typing import Literal

from headrace.schemas import binary as _b
from headrace.schemas import binary_collections as _c
from headrace.schemas.event import Event
from headrace.schemas.event import set_own as _set_own
from headrace.schemas.event import set_values as _set_values
from headrace.schemas.personal import PersonalEvent
from headrace.schemas.personal import set_has_tokens as _set_has_tokens

# Fields may have the names of builtins, so that the classes use these.
_type, _isinstance, _len = type, isinstance, len
_bool, _int, _float, _bytes, _str, _tuple, _list, _dict = bool, int, float, bytes, str, tuple, list, dict
_date, _datetime = date, datetime
_L, _M = _b.LAST, _b.MORE
'''
# What a module imports, and what its classes could not be told from.
_TAKEN = ("Event", "Literal", "Mapping", "MappingProxyType", "PersonalEvent", "Sequence")
# More fields than this are joined rather than added up.
_ADDED_MAX = 6


def generate(folder: SchemaFolder) -> str:
    """Return the module's text for the current schemas of a folder; raise SchemaError for what has no typed class."""
    names = dict.fromkeys(_TAKEN, "headrace")
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
    enums = [(f"{record}{class_name(field.name)}", field) for field in own if enum_of(field.shape)]
    lines = []
    for alias, field in enums:
        symbols = (enum_of(field.shape) or field.shape).symbols
        lines.append(f"{alias} = Literal[{', '.join(json.dumps(symbol) for symbol in symbols)}]")
        lines.append(f"_{alias} = _b.symbol_table({symbols!r})")
    groups = groups_of(own)
    lines += [f"_{record}Group{index} = {group_source(fields)}" for index, fields in groups.items()]
    lines += ["", ""] if enums or groups else []
    lines += _class(file, record, own)
    return "\n".join(lines) + "\n", [record, *(alias for alias, _ in enums)]


def _class(file: SchemaFile, record: str, own: list[Field]) -> list[str]:
    names = tuple(field.name for field in own)
    hmac = tuple(field.name for field in own if field.pii == "hmac")
    dropped = tuple(field.name for field in own if field.pii == "drop")
    doc = str(file.schema.get("doc", f"{file.event_type} event."))
    lines = [f"class {record}({'PersonalEvent' if hmac else 'Event'}):", f'    """{_docstring(doc)}"""']
    text = wire_text(file.schema)
    lines += [
        "",
        "    __slots__ = ()",
        f"    TYPE = {file.event_type!r}",
        f"    FIELDS = {names!r}",
        *([f"    HMAC = {hmac!r}"] if hmac else []),
        *([f"    DROPPED = {dropped!r}"] if dropped else []),
        f"    FINGERPRINT = bytes.fromhex({fingerprint(file.schema).hex()!r})",
        f"    SCHEMA = {text!r}",
        "",
        "    def __init__(",
        "        self,",
        "        *,",
        *(f"        {field.name}: {accepted(record, field)}{default_of(field)}," for field in own),
        "        occurred_at: datetime | None = None,",
        "        trace_id: bytes | None = None,",
        "    ) -> None:",
    ]
    body, encoded = _encodings(record, file.event_type, own)
    lines += [
        *(f"        {line}" for line in body),
        f"        _own = {_together(encoded)}",
        f"        if occurred_at is not None or trace_id is not None or _len(_own) > {BODY_BYTES_MAX}:",
        "            self._check(_own, occurred_at, trace_id)",
        f"        _set_values(self, ({''.join(f'{kept(field)}, ' for field in own)}occurred_at, trace_id))",
        "        _set_own(self, _own)",
        *(["        _set_has_tokens(self, False)"] if hmac else []),
        "",
    ]
    for index, field in enumerate(own):
        lines += [
            "    @property",
            f"    def {field.name}(self) -> {stored(record, field, frozenset(names))}:",
            f'        """{_docstring(field.doc) or field.name}"""',
            f"        return self._values[{index}]  # type: ignore[no-any-return] # set by __init__",
            "",
        ]
    return lines + _key(file, own)


def _encodings(record: str, event_type: str, own: list[Field]) -> tuple[list[str], list[str]]:
    """Return the lines that check and encode all fields, and the names of their results, in order."""
    groups = groups_of(own)
    grouped = {field.name for fields in groups.values() for field in fields}
    lines, encoded = [], []
    for index, field in enumerate(own):
        if index in groups:
            lines += group_encoding(f"_{record}Group{index}", event_type, groups[index], index)
        elif field.name not in grouped:
            lines += encoding(record, event_type, field, index)
        else:
            continue
        encoded.append(f"_{index}")
    return lines, encoded


def _together(parts: list[str]) -> str:
    """Return the expression for all fields' bytes, one after the other."""
    if len(parts) <= _ADDED_MAX:
        return " + ".join(parts) or 'b""'
    return f'b"".join(({", ".join(parts)}))'


def _docstring(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace('"""', "'''").split())


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
        body = ["        self._need_tokens()"] if found[0].pii == "hmac" else []
        body += [f"        if self.{key} is None:", "            return None"] if found[0].shape.nullable else []
        body.append(f"        return {KEY_KINDS[found[0].shape.kind].format(f'self.{key}')}")
    names = {field.name for field in own}
    text, data = ("_str" if "str" in names else "str"), ("_bytes" if "bytes" in names else "bytes")
    return [
        f"    def kafka_key(self, service: {text}) -> {data} | None:",
        f'        """Return the record\'s key: {key or "none"}."""',
        *body,
    ]


# What may be a key, and how it becomes bytes: numbers as ASCII digits, text as UTF-8, bytes as they are.
KEY_KINDS = {"int": 'b"%d" % {}', "long": 'b"%d" % {}', "string": "{}.encode()", "bytes": "{}", "fixed": "{}"}
