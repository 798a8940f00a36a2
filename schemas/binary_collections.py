"""Avro's binary encoding of arrays and maps, checked while it is made; the values in them are encoded by binary.py.

For the commonest types of values fastavro's compiled writer is faster than any Python code here (bench/encoding.py), so
it does the encoding once the values are known to be plainly right: it would write True as 1 and 1.7 as 1. One by one
they are only encoded to name the one that does not fit, and for all other types.
"""

import io
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import fastavro

from .binary import NULL, put_boolean, put_double, put_int, put_long, put_string, shown, zigzag
from .errors import InvalidEvent

T = TypeVar("T")
Put = Callable[[str, T], bytes]


def put_array(where: str, values: Sequence[T], put: Put[T]) -> bytes:
    """Encode a list or tuple as one block; `put` encodes an item."""
    if not isinstance(values, (list, tuple)):
        raise InvalidEvent(where, f"must be a list or tuple, not {shown(values)}")
    if not values:
        return NULL
    plain = _PLAIN.get(put)
    if plain is not None and plain.holds(values):
        encoded = _written(plain.array, {"held": values})
        if encoded is not None:
            return encoded
    items = [put(f"{where}[{index}]", value) for index, value in enumerate(values)]
    return b"".join((zigzag(len(values)), *items, NULL))


def put_map(where: str, values: Mapping[str, T], put: Put[T]) -> bytes:
    """Encode a dict with string keys as one block, in the dict's order; `put` encodes a value."""
    if not isinstance(values, Mapping):
        raise InvalidEvent(where, f"must be a dict, not {shown(values)}")
    if not values:
        return NULL
    plain = _PLAIN.get(put)
    if plain is not None and plain.holds_map(values):
        encoded = _written(plain.map, {"held": values})
        if encoded is not None:
            return encoded
    items = [put_string(f"{where} key", k) + put(f"{where}[{k!r}]", v) for k, v in values.items()]
    return b"".join((zigzag(len(values)), *items, NULL))


class Group:
    """Neighbouring arrays and maps of one record, which fastavro encodes in one call when all of them are plain.

    A call costs as much as some twenty values. Each field is (name, array or map, function for its values).
    """

    def __init__(self, *fields: tuple[str, str, Put[Any]]) -> None:
        self._fields = fields
        self._names = tuple(name for name, _, _ in fields)
        self._checks = tuple((kind == "map", _PLAIN[put]) for _, kind, put in fields)
        types = [getattr(_PLAIN[put], kind)["fields"][0]["type"] for _, kind, put in fields]
        parts = [{"name": name, "type": avro_type} for name, avro_type in zip(self._names, types, strict=True)]
        self._schema: Any = fastavro.parse_schema({"type": "record", "name": "Group", "fields": parts})

    def encode(self, event_type: str, *values: Any) -> bytes:
        """Encode the values of all fields; raise InvalidEvent naming the first that does not fit."""
        if all(map(_is_plain, values, self._checks)):
            encoded = _written(self._schema, dict(zip(self._names, values, strict=True)))
            if encoded is not None:
                return encoded
        puts: dict[str, Callable[..., bytes]] = {"array": put_array, "map": put_map}
        together = zip(values, self._fields, strict=True)
        return b"".join([puts[kind](f"{event_type}.{name}", value, put) for value, (name, kind, put) in together])


def _is_plain(value: Any, check: "tuple[bool, _Plain]") -> bool:
    """Tell whether a group's field may be encoded by fastavro."""
    is_map, plain = check
    if is_map:
        return type(value) is dict and (not value or plain.holds_map(value))
    return type(value) is tuple and (not value or plain.holds(value))


class _Plain:
    """What fastavro may encode: values that are all of one Python class and, for ints, in range."""

    def __init__(self, avro_type: str, kind: type, lowest: int | None = None, highest: int = 0) -> None:
        self.array = _holder({"type": "array", "items": avro_type})
        self.map = _holder({"type": "map", "values": avro_type})
        self._kinds = {kind}
        self._lowest = lowest
        self._highest = highest

    def holds(self, values: Collection[Any]) -> bool:
        """Tell whether all of some values are plainly right."""
        if set(map(type, values)) != self._kinds:
            return False
        return self._lowest is None or (min(values) >= self._lowest and max(values) <= self._highest)

    def holds_map(self, values: Mapping[Any, Any]) -> bool:
        """Tell whether all keys and values of a map are plainly right."""
        return set(map(type, values)) == {str} and self.holds(values.values())


def _holder(avro_type: dict[str, str]) -> Any:
    """Return a parsed schema around a type: fastavro parses a bare array anew each time."""
    return fastavro.parse_schema({"type": "record", "name": "Holder", "fields": [{"name": "held", "type": avro_type}]})


def _written(schema: Any, fields: Mapping[str, object]) -> bytes | None:
    """Encode by fastavro; None for a string that has no UTF-8, which then is named."""
    out = io.BytesIO()
    try:
        fastavro.schemaless_writer(out, schema, fields)
    except (UnicodeEncodeError, TypeError):
        return None
    return out.getvalue()


_PLAIN: dict[Any, _Plain] = {
    put_long: _Plain("long", int, -(1 << 63), (1 << 63) - 1),
    put_int: _Plain("int", int, -(1 << 31), (1 << 31) - 1),
    put_boolean: _Plain("boolean", bool),
    put_double: _Plain("double", float),
    put_string: _Plain("string", str),
}
