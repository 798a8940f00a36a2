"""What every event class has: the envelope, the key, the wire value, and the habits of a value that never changes.

The classes themselves are generated from .avsc files (generate.py). An event encodes its own fields when it is made,
so that a bad value is told to the code that has it; the event log then only puts frame and envelope before them.
"""

from collections.abc import Callable
from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar, NoReturn

from .binary import BODY_BYTES_MAX, LAST, MORE, NULL, SOME, put_fixed, put_string, unix_micros, zigzag
from .errors import InvalidEvent
from .frame import MARKER

ID_BYTES = 16


class Envelope:
    """The envelope fields that stay the same for a process: service, host and session, encoded once."""

    __slots__ = ("host", "middle", "service", "session_id")

    def __init__(self, *, service: str, host: str, session_id: bytes) -> None:
        self.service = service
        self.host = host
        self.session_id = session_id
        self.middle = (
            put_string("envelope.service", service)
            + put_string("envelope.host", host)
            + put_fixed("envelope.session_id", session_id, ID_BYTES)
        )


class Event:
    """Base of all event types. Equal when type and fields are equal; immutable; made with keyword arguments only.

    `occurred_at` (an aware datetime) and `trace_id` (16 bytes) may be given; the rest of the envelope belongs to the
    event log. None for either means: the time of emit(), and the current trace, if any.
    """

    # `_values` holds the fields in the order of FIELDS, then occurred_at and trace_id: one slot to set instead of one
    # a field, since construction is on the app's hot path. `_own` holds the encoded fields.
    __slots__ = ("_own", "_values")
    TYPE: ClassVar[str]
    SCHEMA: ClassVar[str]
    FINGERPRINT: ClassVar[bytes]
    FRAME: ClassVar[bytes]
    FIELDS: ClassVar[tuple[str, ...]]
    HMAC: ClassVar[tuple[str, ...]] = ()
    """Fields whose personal values are replaced by tokens before they are queued (personal.py)."""
    DROPPED: ClassVar[tuple[str, ...]] = ()
    """Fields whose personal values are never kept."""
    _own: bytes
    _values: tuple[Any, ...]

    def __init_subclass__(cls) -> None:
        """Work out the frame of a generated class once."""
        if "FINGERPRINT" in cls.__dict__:
            cls.FRAME = MARKER + cls.FINGERPRINT

    @property
    def occurred_at(self) -> datetime | None:
        """When it happened, if the caller said so."""
        return self._values[-2]  # type: ignore[no-any-return] # checked by _check

    @property
    def trace_id(self) -> bytes | None:
        """The trace that it belongs to (16 bytes), if the caller said so."""
        return self._values[-1]  # type: ignore[no-any-return] # checked by _check

    def kafka_key(self, service: str) -> bytes | None:
        """Return the record's key for Kafka, or None for no key; `service` is the emitting service's name."""
        raise NotImplementedError("an event class made by `headrace schema generate` has a key")

    def kafka_value(
        self, envelope: Envelope, event_id: bytes, seq: int, occurred_at_us: int, trace_id: bytes | None
    ) -> bytes:
        """Return the framed value: what Kafka gets.

        `event_id` and `trace_id` are 16 bytes, `occurred_at_us` Unix microseconds; an event's own `occurred_at` and
        `trace_id` are for the event log to put here, nothing is taken from the event but its fields.
        """
        trace = NULL if trace_id is None else SOME + trace_id
        return b"".join((self.FRAME, event_id, _micros(occurred_at_us), envelope.middle, zigzag(seq), trace, self._own))

    def occurred_us(self) -> int | None:
        """Return `occurred_at` in Unix microseconds, or None when it was not given."""
        occurred_at = self._values[-2]
        return None if occurred_at is None else unix_micros(f"{self.TYPE}.occurred_at", occurred_at)

    @property
    def body_bytes(self) -> int:
        """How many bytes the event's own fields encode to."""
        return len(self._own)

    def as_dict(self) -> dict[str, Any]:
        """Return the event's own fields by name, in schema order, and what was given of the envelope."""
        own = dict(zip(self.FIELDS, self._values, strict=False))
        given = {"occurred_at": self.occurred_at, "trace_id": self.trace_id}
        return {name: dict(v) if isinstance(v, MappingProxyType) else v for name, v in own.items()} | {
            name: v for name, v in given.items() if v is not None
        }

    def _check(self, own: bytes, occurred_at: datetime | None, trace_id: bytes | None) -> None:
        """Check what all types share. Generated constructors call it when there is something to check."""
        if occurred_at is not None:
            unix_micros(f"{self.TYPE}.occurred_at", occurred_at)
        if trace_id is not None:
            put_fixed(f"{self.TYPE}.trace_id", trace_id, ID_BYTES)
        if len(own) > BODY_BYTES_MAX:
            raise InvalidEvent(self.TYPE, f"all fields together must be at most {BODY_BYTES_MAX} bytes, not {len(own)}")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} events do not change: make a new one to set {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} events do not change: {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (self._own, self.occurred_at, self.trace_id) == (other._own, other.occurred_at, other.trace_id)

    def __hash__(self) -> int:
        return hash((type(self), self._own, self.occurred_at, self.trace_id))

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.as_dict().items())
        return f"{type(self).__name__}({inside})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _remake, (type(self), self.as_dict())


# What generated constructors set the two slots with: a third faster than object.__setattr__ with a name.
set_values: Callable[[Event, tuple[Any, ...]], None] = Event.__dict__["_values"].__set__
set_own: Callable[[Event, bytes], None] = Event.__dict__["_own"].__set__

# The encoding of a time's upper bits, which stay the same for two minutes: one tuple, swapped as a whole.
_upper: tuple[int, bytes] = (0, LAST[0])


def _micros(value: int) -> bytes:
    """Encode a timestamp in microseconds as zigzag() does: all but its lowest 28 bits come from the last time."""
    global _upper  # noqa: PLW0603 - a cache of one entry, right for whoever reads it
    n = value << 1
    upper = n >> 28
    if upper <= 0:
        return zigzag(value)
    held = _upper
    if held[0] != upper:
        _upper = held = (upper, zigzag(upper >> 1) if not upper & 1 else zigzag(~(upper >> 1)))
    return MORE[n & 0x3FFF] + MORE[n >> 14 & 0x3FFF] + held[1]


def _remake(cls: type[Event], fields: dict[str, Any]) -> Event:
    """Make an event again from as_dict(): what pickle and copy call."""
    return cls(**fields)
