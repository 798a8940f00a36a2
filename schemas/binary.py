"""Avro's binary encoding of single values, checked while it is made. The generated event classes are built from this.

They do inline what is fastest there (longs that are plainly in range) and call in here for the rest.

Every `put_*` takes the place of the value as `type.field`, returns the encoded bytes, and raises InvalidEvent for a
value that the type does not have: Avro libraries for Python write 1.7 into an int field as 1, and True as 1; here
nothing is converted. Source of the formats: Avro specification, "Binary Encoding".
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from .errors import InvalidEvent

T = TypeVar("T")

# A body beyond this is refused at construction: Kafka's brokers take records of up to about 1 MB unless told otherwise.
BODY_BYTES_MAX = 900_000

NULL = b"\x00"
SOME = b"\x02"  # the second branch of ["null", X], before X itself

_INT_MIN, _INT_MAX = -(1 << 31), (1 << 31) - 1
_LONG_MIN, _LONG_MAX = -(1 << 63), (1 << 63) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MICROSECOND = timedelta(microseconds=1)
_MILLISECOND = timedelta(milliseconds=1)

_FLOAT, DOUBLE = struct.Struct("<f").pack, struct.Struct("<d").pack

# Varints by table, 14 bits at a time: half the time of a loop over 7 bits (0.5 us instead of 0.9 for a timestamp).
LAST = [bytes((n,)) if n < 128 else bytes((n & 127 | 128, n >> 7)) for n in range(1 << 14)]
MORE = [bytes((n & 127 | 128, n >> 7 | 128)) for n in range(1 << 14)]


def zigzag(value: int) -> bytes:
    """Encode an int or long whose range is known to fit: zigzag, then 7 bits a byte, lowest first."""
    n = value << 1 if value >= 0 else ~(value << 1)
    if n < 1 << 14:
        return LAST[n]
    out = MORE[n & 0x3FFF]
    n >>= 14
    while n >= 1 << 14:
        out += MORE[n & 0x3FFF]
        n >>= 14
    return out + LAST[n]


def put_boolean(where: str, value: bool) -> bytes:
    """Encode a boolean: True or False, nothing merely truthy."""
    if value is True:
        return b"\x01"
    if value is False:
        return b"\x00"
    raise InvalidEvent(where, f"must be True or False, not {shown(value)}")


def put_int(where: str, value: int) -> bytes:
    """Encode a 32-bit int."""
    if type(value) is not int:
        value = _plain_int(where, value)
    if _INT_MIN <= value <= _INT_MAX:
        return zigzag(value)
    raise InvalidEvent(where, f"must fit 32 bits ({_INT_MIN} to {_INT_MAX}), not {shown(value)}")


def put_long(where: str, value: int) -> bytes:
    """Encode a 64-bit long."""
    if type(value) is not int:
        value = _plain_int(where, value)
    if _LONG_MIN <= value <= _LONG_MAX:
        return zigzag(value)
    raise InvalidEvent(where, f"must fit 64 bits ({_LONG_MIN} to {_LONG_MAX}), not {shown(value)}")


def put_float(where: str, value: float) -> bytes:
    """Encode a 32-bit float; a magnitude beyond 32 bits is refused, digits beyond them are rounded."""
    try:
        return _FLOAT(_plain_float(where, value))
    except OverflowError as error:
        raise InvalidEvent(where, f"must fit a 32-bit float, not {shown(value)}") from error


def put_double(where: str, value: float) -> bytes:
    """Encode a 64-bit float."""
    return DOUBLE(_plain_float(where, value))


def put_string(where: str, value: str) -> bytes:
    """Encode a string as UTF-8; lone surrogates have no UTF-8 and are refused."""
    if not isinstance(value, str):
        raise InvalidEvent(where, f"must be a str, not {shown(value)}")
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        reason = f"has no UTF-8: character {error.start} is the lone surrogate U+{ord(value[error.start]):04X}"
        raise InvalidEvent(where, reason) from error
    size = len(data)
    return LAST[size << 1] + data if size < 1 << 13 else _sized(where, data)


def put_bytes(where: str, value: bytes) -> bytes:
    """Encode bytes."""
    if not isinstance(value, bytes):
        raise InvalidEvent(where, f"must be bytes, not {shown(value)}")
    return _sized(where, value)


def put_fixed(where: str, value: bytes, size: int) -> bytes:
    """Encode bytes of one fixed size."""
    if not isinstance(value, bytes):
        raise InvalidEvent(where, f"must be {size} bytes, not {shown(value)}")
    if len(value) != size:
        raise InvalidEvent(where, f"must be exactly {size} bytes, not {len(value)}")
    return bytes(value)


def put_symbol(where: str, value: str, symbols: Mapping[str, bytes]) -> bytes:
    """Encode an enum's symbol, by a table from symbol to its encoded index."""
    try:
        return symbols[value]
    except (KeyError, TypeError) as error:
        raise InvalidEvent(where, f"must be one of {', '.join(symbols)}, not {shown(value)}") from error


def hidden(where: str, value: T, shape: str, put: Callable[[str, T], bytes]) -> bytes:
    """Encode a personal value with `put`; when it does not fit, the error tells its class and nothing of the value."""
    try:
        return put(where, value)
    except InvalidEvent:
        kind = type(value).__name__
    # Raised out here, so that the error that shows the value is not its context.
    raise InvalidEvent(where, f"must be {shape}; the {kind} that was given is personal and not shown")


def put_timestamp_micros(where: str, value: datetime) -> bytes:
    """Encode an aware datetime as microseconds since 1970 in UTC."""
    return zigzag(unix_micros(where, value))


def put_timestamp_millis(where: str, value: datetime) -> bytes:
    """Encode an aware datetime as milliseconds since 1970 in UTC; finer parts are refused, not rounded."""
    _check_aware(where, value)
    millis, rest = divmod(value - _EPOCH, _MILLISECOND)
    if rest:
        raise InvalidEvent(where, f"must be a whole number of milliseconds, not {shown(value)}")
    return zigzag(millis)


def put_date(where: str, value: date) -> bytes:
    """Encode a date as days since 1970; a datetime is refused, since its date depends on a time zone."""
    if not isinstance(value, date) or isinstance(value, datetime):
        raise InvalidEvent(where, f"must be a date, not {shown(value)}")
    return zigzag(value.toordinal() - _EPOCH_DAY)


def unix_micros(where: str, value: datetime) -> int:
    """Return an aware datetime as whole microseconds since 1970 in UTC; raise InvalidEvent for anything else."""
    _check_aware(where, value)
    return (value - _EPOCH) // _MICROSECOND


def _check_aware(where: str, value: datetime) -> None:
    if not isinstance(value, datetime):
        raise InvalidEvent(where, f"must be a datetime, not {shown(value)}")
    if value.utcoffset() is None:
        raise InvalidEvent(where, f"must have a time zone (datetime.now(UTC)), {shown(value)} has none")


def _sized(where: str, data: bytes) -> bytes:
    if len(data) > BODY_BYTES_MAX:
        raise InvalidEvent(where, f"must be at most {BODY_BYTES_MAX} bytes, not {len(data)}")
    return zigzag(len(data)) + data


def _plain_int(where: str, value: object) -> int:
    """Take an int's subclass (IntEnum) as the int it is; refuse bool, float and the rest."""
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    raise InvalidEvent(where, f"must be an int, not {shown(value)}")


def _plain_float(where: str, value: object) -> float:
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            converted = float(value)
        except OverflowError:
            converted = float("nan")
        if converted == value:
            return converted
        raise InvalidEvent(where, f"must be exact as a float, {shown(value)} is not")
    raise InvalidEvent(where, f"must be a float, not {shown(value)}")


def shown(value: object) -> str:
    """Name a wrong value briefly: its type, and what it is when that is short and safe to print."""
    kind = type(value).__name__
    if value is None:
        return "None"
    if isinstance(value, (bool, int, float, str, bytes, datetime, date)):
        # A huge int would take long to print (and raises beyond 4,300 digits): its size says enough.
        if isinstance(value, int) and value.bit_length() > 256:
            return f"an int of {value.bit_length()} bits"
        text = repr(value if len(value) <= 40 else value[:40]) if isinstance(value, (str, bytes)) else repr(value)
        return f"{kind} {text}{'...' if isinstance(value, (str, bytes)) and len(value) > 40 else ''}"
    return f"a value of type {kind}"


def symbol_table(symbols: Sequence[str]) -> dict[str, bytes]:
    """Return the table that put_symbol takes: each symbol with its encoded index."""
    return {symbol: zigzag(index) for index, symbol in enumerate(symbols)}
