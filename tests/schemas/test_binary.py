"""Encoding single values: the same bytes as fastavro for what fits, a clear refusal for what does not."""

import enum
import io
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import fastavro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.schemas import binary
from headrace.schemas import binary_collections as collections
from headrace.schemas.errors import InvalidEvent

LONGS = st.integers(-(2**63), 2**63 - 1)
INTS = st.integers(-(2**31), 2**31 - 1)
AWARE = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7)), timezone(timedelta(minutes=330))]))


def reference(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


@given(LONGS)
@example(0)
@example(-1)
@example(63)
@example(64)
@example(8191)
@example(8192)
@example(2**63 - 1)
@example(-(2**63))
def test_long(value: int) -> None:
    """Longs are the same bytes as fastavro's, in the whole range."""
    assert binary.put_long("a.b", value) == reference("long", value)


@given(INTS)
def test_int(value: int) -> None:
    """Ints likewise."""
    assert binary.put_int("a.b", value) == reference("int", value)


@given(st.floats(allow_nan=False) | st.integers(-(2**53), 2**53))
def test_double(value: float) -> None:
    """Doubles, and whole numbers that are exact as one."""
    assert binary.put_double("a.b", value) == reference("double", float(value))


@given(st.floats(width=32, allow_nan=False))
def test_float(value: float) -> None:
    """Floats of 32 bits."""
    assert binary.put_float("a.b", value) == reference("float", value)


@given(st.text())
def test_string(value: str) -> None:
    """Strings of any characters that UTF-8 has."""
    assert binary.put_string("a.b", value) == reference("string", value)


@given(st.binary(max_size=300))
def test_bytes_and_fixed(value: bytes) -> None:
    """Bytes with their length, fixed without."""
    assert binary.put_bytes("a.b", value) == reference("bytes", value)
    assert binary.put_fixed("a.b", value, len(value)) == value


@given(AWARE)
def test_timestamps(value: datetime) -> None:
    """Microseconds since 1970 in UTC, from any time zone; milliseconds when there is nothing finer."""
    micros = {"type": "long", "logicalType": "timestamp-micros"}
    assert binary.put_timestamp_micros("a.b", value) == reference(micros, value)
    whole = value.replace(microsecond=value.microsecond // 1000 * 1000)
    assert binary.put_timestamp_millis("a.b", whole) == binary.zigzag(binary.unix_micros("", whole) // 1000)


@given(st.dates())
def test_date(value: date) -> None:
    """Days since 1970."""
    assert binary.put_date("a.b", value) == reference({"type": "int", "logicalType": "date"}, value)


@given(st.lists(LONGS, max_size=20), st.dictionaries(st.text(max_size=5), LONGS, max_size=20))
def test_collections(items: list[int], entries: dict[str, int]) -> None:
    """Arrays and maps are one block each, as fastavro writes them."""
    assert collections.put_array("a.b", items, binary.put_long) == reference({"type": "array", "items": "long"}, items)
    assert collections.put_array("a.b", tuple(items), binary.put_long) == collections.put_array(
        "a.b", items, binary.put_long
    )
    assert collections.put_map("a.b", entries, binary.put_long) == reference({"type": "map", "values": "long"}, entries)


def test_symbols_and_booleans() -> None:
    """An enum's symbol is its index; booleans are one byte."""
    table = binary.symbol_table(["UNKNOWN", "A", "B"])
    assert [binary.put_symbol("a.b", symbol, table) for symbol in table] == [b"\x00", b"\x02", b"\x04"]
    assert (binary.put_boolean("a.b", True), binary.put_boolean("a.b", False)) == (b"\x01", b"\x00")


class Number(enum.IntEnum):
    TWO = 2


def test_an_int_enum_is_the_int_that_it_is() -> None:
    """Subclasses of int are taken; bool, which is one too, is not."""
    assert binary.put_long("a.b", Number.TWO) == b"\x04"
    assert binary.put_int("a.b", Number.TWO) == b"\x04"


TABLE = {"UNKNOWN": b"\x00", "SAVE": b"\x02"}
REFUSED: list[tuple[Callable[[Any], bytes], Any, str]] = [
    (lambda v: binary.put_boolean("pin.x", v), 1, "must be True or False, not int 1"),
    (lambda v: binary.put_int("pin.x", v), True, "must be an int, not bool True"),
    (lambda v: binary.put_int("pin.x", v), 1.0, "must be an int, not float 1.0"),
    (lambda v: binary.put_int("pin.x", v), "1", "must be an int, not str '1'"),
    (lambda v: binary.put_int("pin.x", v), None, "must be an int, not None"),
    (lambda v: binary.put_int("pin.x", v), 2**31, "must fit 32 bits"),
    (lambda v: binary.put_int("pin.x", v), -(2**31) - 1, "must fit 32 bits"),
    (lambda v: binary.put_long("pin.x", v), 2**63, "must fit 64 bits"),
    (lambda v: binary.put_long("pin.x", v), -(2**63) - 1, "must fit 64 bits"),
    (lambda v: binary.put_long("pin.x", v), 10**6000, "an int of 19932 bits"),
    (lambda v: binary.put_long("pin.x", v), [1], "not a value of type list"),
    (lambda v: binary.put_double("pin.x", v), True, "must be a float, not bool True"),
    (lambda v: binary.put_double("pin.x", v), "1", "must be a float, not str '1'"),
    (lambda v: binary.put_double("pin.x", v), 2**53 + 1, "must be exact as a float"),
    (lambda v: binary.put_double("pin.x", v), 10**400, "must be exact as a float"),
    (lambda v: binary.put_float("pin.x", v), 1e300, "must fit a 32-bit float"),
    (lambda v: binary.put_string("pin.x", v), b"a", "must be a str, not bytes b'a'"),
    (lambda v: binary.put_string("pin.x", v), "ab\ud800", "character 2 is the lone surrogate U+D800"),
    (lambda v: binary.put_string("pin.x", v), "x" * 900_001, "at most 900000 bytes, not 900001"),
    (lambda v: binary.put_bytes("pin.x", v), "a", "must be bytes, not str 'a'"),
    (lambda v: binary.put_bytes("pin.x", v), bytearray(b"a"), "must be bytes, not a value of type bytearray"),
    (lambda v: binary.put_fixed("pin.x", v, 16), b"a", "exactly 16 bytes, not 1"),
    (lambda v: binary.put_fixed("pin.x", v, 16), "a" * 16, "must be 16 bytes, not str"),
    (lambda v: binary.put_symbol("pin.x", v, TABLE), "save", "must be one of UNKNOWN, SAVE, not str 'save'"),
    (
        lambda v: binary.put_symbol("pin.x", v, TABLE),
        ["SAVE"],
        "must be one of UNKNOWN, SAVE, not a value of type list",
    ),
    (lambda v: binary.put_timestamp_micros("pin.x", v), datetime(2026, 1, 1), "must have a time zone"),  # noqa: DTZ001
    (lambda v: binary.put_timestamp_micros("pin.x", v), 5, "must be a datetime, not int 5"),
    (lambda v: binary.put_timestamp_millis("pin.x", v), datetime(2026, 1, 1, 0, 0, 0, 1, UTC), "whole number of milli"),
    (lambda v: binary.put_date("pin.x", v), datetime(2026, 1, 1, tzinfo=UTC), "must be a date, not datetime"),
    (lambda v: collections.put_array("pin.x", v, binary.put_long), "ab", "must be a list or tuple"),
    (lambda v: collections.put_array("pin.x", v, binary.put_long), [1, None], "pin.x[1]: must be an int, not None"),
    (lambda v: collections.put_map("pin.x", v, binary.put_long), [1], "must be a dict"),
    (lambda v: collections.put_map("pin.x", v, binary.put_long), {1: 1}, "pin.x key: must be a str"),
    (lambda v: collections.put_map("pin.x", v, binary.put_long), {"a": "b"}, "pin.x['a']: must be an int"),
]


@pytest.mark.parametrize(("put", "value", "said"), REFUSED, ids=[said for _, _, said in REFUSED])
def test_refused(put: Callable[[Any], bytes], value: Any, said: str) -> None:
    """What the type does not have is refused, naming type and field; nothing is converted."""
    with pytest.raises(InvalidEvent) as caught:
        put(value)
    assert said in str(caught.value)
    assert caught.value.where.startswith("pin.x")


def test_a_long_wrong_value_is_not_repeated_in_full() -> None:
    """An error message shows the beginning of a wrong value: enough to find it, not the whole payload."""
    with pytest.raises(InvalidEvent) as caught:
        binary.put_long("pin.x", "x" * 10_000)  # type: ignore[arg-type] # the wrong type is the point
    assert len(str(caught.value)) < 120
