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
        encoded = _written(plain.array, values)
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
    if plain is not None and set(map(type, values)) == {str} and plain.holds(values.values()):
        encoded = _written(plain.map, values)
        if encoded is not None:
            return encoded
    items = [put_string(f"{where} key", k) + put(f"{where}[{k!r}]", v) for k, v in values.items()]
    return b"".join((zigzag(len(values)), *items, NULL))


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


def _holder(avro_type: dict[str, str]) -> Any:
    """Return a parsed schema around a type: fastavro parses a bare array anew each time."""
    return fastavro.parse_schema({"type": "record", "name": "Holder", "fields": [{"name": "held", "type": avro_type}]})


def _written(schema: Any, values: object) -> bytes | None:
    """Encode by fastavro; None for a string that has no UTF-8, which then is named."""
    out = io.BytesIO()
    try:
        fastavro.schemaless_writer(out, schema, {"held": values})
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
