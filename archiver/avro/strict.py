"""Decodes one value after the Avro specification, strictly: the reference that decides over every doubtful row.

It accepts whatever the specification allows (also integers and blocks that are longer than need be), and nothing else.
Memory and time are bounded by the value's length: schemas are not recursive, and each array item takes at least a byte.
"""

from collections.abc import Callable
from typing import Any

from .nodes import Array, Decimal, Enum, Fixed, Map, Node, Null, Nullable, Primitive, Record

ERROR_CHARS_MAX = 200

# Reads one value from the bytes at a position: the value (see columns.py for its shape) and where it ends.
Read = Callable[[bytes, int], tuple[Any, int]]


class StrictError(ValueError):
    """The bytes are no value of the schema. Its text names field and position, never what the bytes hold."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str] = []

    def __str__(self) -> str:
        where = f"field {'.'.join(reversed(self.path))}: " if self.path else ""
        return f"{where[:ERROR_CHARS_MAX]}{self.args[0]}"[:ERROR_CHARS_MAX]


class StrictDecoder:
    """Decodes values that consist of `frame` and one record."""

    def __init__(self, root: Record, frame: bytes) -> None:
        self._frame = frame
        self._read = _reader(root)

    def decode(self, value: bytes) -> Any:
        """Return the record as a tuple. Raises StrictError."""
        if not value.startswith(self._frame):
            raise StrictError("the value does not begin with this schema's frame")
        record, end = self._read(value, len(self._frame))
        if end != len(value):
            raise StrictError(f"trailing bytes: the record ends at byte {end} of {len(value)}")
        return record


def _reader(node: Node) -> Read:  # noqa: PLR0911 - one case a kind of node
    match node:
        case Null():
            return lambda _, at: (None, at)
        case Primitive():
            return _PRIMITIVES[node.kind]
        case Fixed():
            return _fixed_reader(node.size)
        case Enum():
            return _enum_reader(len(node.symbols))
        case Decimal():
            return _decimal_reader(node)
        case Nullable():
            return _nullable_reader(node)
        case Record():
            return _record_reader(node)
        case Array():
            return _array_reader(node.items)
        case Map():
            return _array_reader(node.entry)


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    """Read a zigzag variable-length integer of at most 64 bits."""
    try:
        byte = data[at]
        if byte < 0x80:
            return (byte >> 1) ^ -(byte & 1), at + 1
        number = byte & 0x7F
        for shift in range(7, 70, 7):
            at += 1
            byte = data[at]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        else:
            raise StrictError(f"an integer has more than 10 bytes, at byte {at}")
    except IndexError:
        raise StrictError(f"the value ends within an integer, at byte {len(data)}") from None
    if number >= 1 << 64:
        raise StrictError(f"an integer exceeds 64 bits, at byte {at}")
    return (number >> 1) ^ -(number & 1), at + 1


def _read_int(data: bytes, at: int) -> tuple[int, int]:
    number, end = _read_number(data, at)
    if not -(1 << 31) <= number < 1 << 31:
        raise StrictError(f"an int exceeds 32 bits, at byte {at}")
    return number, end


def _read_boolean(data: bytes, at: int) -> tuple[bool, int]:
    if at >= len(data):
        raise StrictError(f"the value ends before a boolean, at byte {at}")
    if data[at] > 1:
        raise StrictError(f"a boolean is neither 0 nor 1, at byte {at}")
    return data[at] == 1, at + 1


def _read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    length, start = _read_number(data, at)
    if length < 0:
        raise StrictError(f"a length is negative, at byte {at}")
    if length > len(data) - start:
        raise StrictError(f"a length exceeds the bytes that are left, at byte {at}")
    return data[start : start + length], start + length


def _read_string(data: bytes, at: int) -> tuple[str, int]:
    raw, end = _read_bytes(data, at)
    try:
        return raw.decode(), end
    except UnicodeDecodeError as error:
        raise StrictError(f"a string is not UTF-8, at byte {end - len(raw) + error.start}") from None


def _fixed_reader(size: int) -> Read:
    def read(data: bytes, at: int) -> tuple[bytes, int]:
        if size > len(data) - at:
            raise StrictError(f"the value ends within {size} fixed bytes that begin at byte {at}")
        return data[at : at + size], at + size

    return read


def _enum_reader(symbols: int) -> Read:
    def read(data: bytes, at: int) -> tuple[int, int]:
        index, end = _read_int(data, at)
        if not 0 <= index < symbols:
            raise StrictError(f"an enum index lies outside of its {symbols} symbols, at byte {at}")
        return index, end

    return read


def _decimal_reader(node: Decimal) -> Read:
    read_raw = _read_bytes if node.size is None else _fixed_reader(node.size)
    limit = 10**node.precision

    def read(data: bytes, at: int) -> tuple[int, int]:
        raw, end = read_raw(data, at)
        number = int.from_bytes(raw, "big", signed=True)
        if not -limit < number < limit:
            raise StrictError(f"a decimal has more than {node.precision} digits, at byte {at}")
        return number, end

    return read


def _nullable_reader(node: Nullable) -> Read:
    null_index = node.null_index
    read_inner = _reader(node.inner)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        branch, end = _read_number(data, at)
        if branch == null_index:
            return None, end
        if branch != 1 - null_index:
            raise StrictError(f"a union index is neither 0 nor 1, at byte {at}")
        return read_inner(data, end)

    return read


def _record_reader(node: Record) -> Read:
    readers = [(name, _reader(field)) for name, field in node.fields]

    def read(data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        values = []
        for name, read_field in readers:
            try:
                value, at = read_field(data, at)
            except StrictError as error:
                error.path.append(name)
                raise
            values.append(value)
        return tuple(values), at

    return read


def _array_reader(items: Node) -> Read:
    read_item = _reader(items)

    def read(data: bytes, at: int) -> tuple[list[Any], int]:
        values: list[Any] = []
        while True:
            begin = at
            count, at = _read_number(data, at)
            if count == 0:
                return values, at
            end = None
            if count < 0:  # the block's size in bytes follows
                count = -count
                size, at = _read_number(data, at)
                end = at + size
            if count * items.min_bytes > len(data) - at:
                raise StrictError(f"a block counts more items than there are bytes for, at byte {begin}")
            for _ in range(count):
                value, at = read_item(data, at)
                values.append(value)
            if end is not None and at != end:
                raise StrictError(f"a block is not as long as it says, at byte {begin}")

    return read


_PRIMITIVES: dict[str, Read] = {
    "boolean": _read_boolean,
    "int": _read_int,
    "long": _read_number,
    "float": _fixed_reader(4),
    "double": _fixed_reader(8),
    "bytes": _read_bytes,
    "string": _read_string,
}
