"""The generated classes of our own types."""

import copy
import io
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.schemas import Error, Event, FeedLoad, Follow, InvalidEvent, Login, Pin
from headrace.schemas.binary import unix_micros
from headrace.schemas.canonical import fingerprint, wire_text
from headrace.schemas.catalog import builtin, builtin_folder
from headrace.schemas.classes import event_classes
from headrace.schemas.event import Envelope
from headrace.schemas.folder import read_folder
from headrace.schemas.frame import decode
from headrace.schemas.generate import generate
from headrace.schemas.shapes import Field, own_fields

SAMPLES: list[Event] = [
    Pin(user_id=7, pin_id=9, action="SAVE", board_id=3),
    Follow(user_id=7, target_id=8, target="BOARD", action="UNFOLLOW"),
    Error(level="ERROR", message="no", exception_type="ValueError", stack="...", occurred_at=datetime.now(UTC)),
    Login(method="PASSWORD", success=False, failure="LOCKED"),
    FeedLoad(kind="HOME", success=True, items=25, latency_ms=40, trace_id=bytes(16)),
]
VALUES: dict[str, Callable[[Field], st.SearchStrategy[Any]]] = {
    "boolean": lambda _: st.booleans(),
    "int": lambda _: st.integers(-(2**31), 2**31 - 1),
    "long": lambda _: st.integers(-(2**63), 2**63 - 1),
    "string": lambda _: st.text(),
    "enum": lambda field: st.sampled_from(field.shape.symbols),
    "double": lambda _: st.floats(allow_nan=False),
    "fixed": lambda field: st.binary(min_size=field.shape.size, max_size=field.shape.size),
    "timestamp-micros": lambda _: st.datetimes(timezones=st.just(UTC)),
    "array": lambda field: st.lists(of_items(field), max_size=3),
    "map": lambda field: st.dictionaries(st.text(max_size=5), of_items(field), max_size=3),
}


def of_items(field: Field) -> st.SearchStrategy[Any]:
    assert field.shape.items is not None
    return values(replace(field, shape=field.shape.items))


def values(field: Field) -> st.SearchStrategy[Any]:
    inner = VALUES[field.shape.kind](field)
    return st.none() | inner if field.shape.nullable else inner


@st.composite
def events(draw: st.DrawFn) -> tuple[type[Event], dict[str, Any]]:
    """A class and values for its own fields."""
    cls = draw(st.sampled_from(list(event_classes().values())))
    return cls, {field.name: draw(values(field)) for field in own_fields(json.loads(cls.SCHEMA))}


ENVELOPES = st.fixed_dictionaries(
    {
        "event_id": st.binary(min_size=16, max_size=16),
        "occurred_at": st.datetimes(timezones=st.just(UTC)),
        "service": st.text(),
        "host": st.text(),
        "session_id": st.binary(min_size=16, max_size=16),
        "seq": st.integers(1, 2**63 - 1),
        "trace_id": st.none() | st.binary(min_size=16, max_size=16),
    }
)


# Values are drawn for six types with maps and lists: slow on a busy machine.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events(), ENVELOPES)
def test_the_same_bytes_as_fastavro(made: tuple[type[Event], dict[str, Any]], given: dict[str, Any]) -> None:
    """For any values, the value is the frame and what fastavro encodes for the same schema, and decodes to them."""
    cls, own = made
    envelope = Envelope(service=given["service"], host=given["host"], session_id=given["session_id"])
    micros = unix_micros("", given["occurred_at"])
    value = cls(**own).kafka_value(envelope, given["event_id"], given["seq"], micros, given["trace_id"])
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(json.loads(cls.SCHEMA)), given | own)
    assert value == b"\xc3\x01" + cls.FINGERPRINT + body.getvalue()
    assert decode(value, builtin()) == given | own


def test_the_committed_classes_are_current() -> None:
    """events.py is what the generator makes of the .avsc files now."""
    folder = read_folder(builtin_folder())
    assert (builtin_folder() / "events.py").read_text() == generate(folder)


@pytest.mark.parametrize("cls", event_classes().values())
def test_classes_know_their_schema(cls: type[Event]) -> None:
    """Type name, schema text and fingerprint are those of the file."""
    file = read_folder(builtin_folder()).current[cls.TYPE]
    assert wire_text(file.schema) == cls.SCHEMA
    assert fingerprint(file.schema) == cls.FINGERPRINT


@pytest.mark.parametrize("event", SAMPLES)
def test_events_never_change(event: Event) -> None:
    """No field can be set, added or deleted; there is no __dict__ to write to."""
    with pytest.raises(AttributeError, match="do not change"):
        event.user_id = 1
    with pytest.raises(AttributeError, match="do not change"):
        event.anything = 1
    with pytest.raises(AttributeError, match="do not change"):
        del event.occurred_at
    assert not hasattr(event, "__dict__")


@pytest.mark.parametrize("event", SAMPLES)
def test_copies_are_equal(event: Event) -> None:
    """Pickling and copying give an equal event with an equal hash; repr names its fields."""
    for again in (
        pickle.loads(pickle.dumps(event)),
        copy.copy(event),
        copy.deepcopy(event),
        type(event)(**event.as_dict()),
    ):
        assert again == event
        assert hash(again) == hash(event)
    assert repr(event).startswith(f"{type(event).__name__}(")


def test_events_differ_by_type_fields_and_what_was_given() -> None:
    """Another value, another type or another time is another event."""
    pin = Pin(user_id=7, pin_id=9, action="SAVE")
    assert pin != Pin(user_id=7, pin_id=9, action="LIKE")
    assert pin != Pin(user_id=7, pin_id=9, action="SAVE", trace_id=bytes(16))
    assert pin != Pin(user_id=7, pin_id=9, action="SAVE", occurred_at=datetime.now(UTC))
    assert pin != "pin"


@pytest.mark.parametrize(
    ("event", "key"),
    [
        (Pin(user_id=7, pin_id=9, action="SAVE"), b"7"),
        (Follow(user_id=-7, target_id=8, target="USER", action="FOLLOW"), b"-7"),
        (Error(level="ERROR", message="no", user_id=7), b"web"),
        (Login(method="TOKEN", success=True, user_id=12), b"12"),
        (Login(method="TOKEN", success=False), None),
        (FeedLoad(kind="HOME", success=True, items=0, latency_ms=1), None),
    ],
)
def test_keys(event: Event, key: bytes | None) -> None:
    """The key is the user id in ASCII, the service for errors, and none where nobody is logged in."""
    assert event.kafka_key("web") == key


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Pin(user_id=True, pin_id=9, action="SAVE"), "pin.user_id: must be an int, not bool True"),
        (lambda: Pin(user_id=7, pin_id=1.7, action="SAVE"), "pin.pin_id: must be an int, not float 1.7"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: Pin(user_id=7, pin_id=9, action="KEEP"), "pin.action: must be one of UNKNOWN, CREATE"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: Login(method="SSO", success=1), "login.success: must be True or False, not int 1"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: FeedLoad(kind="HOME", success=True, items=2**31, latency_ms=1), "feed_load.items: must fit 32 bits"),
        (lambda: Error(level="ERROR", message="\udc80"), "error.message: has no UTF-8"),
        (lambda: Error(level="ERROR", message="x" * 500_000, stack="x" * 500_000), "error: all fields together"),
        (lambda: Pin(user_id=7, pin_id=9, action="SAVE", trace_id=b"x"), "pin.trace_id: must be exactly 16 bytes"),
        (lambda: Pin(user_id=7, pin_id=9, action="SAVE", occurred_at=datetime(2026, 1, 1)), "pin.occurred_at: .*zone"),  # noqa: DTZ001 - the point
    ],
)
def test_construction_refuses_what_does_not_fit(make: Callable[[], Event], said: str) -> None:
    """A wrong value is refused where it is given, naming type.field."""
    with pytest.raises(InvalidEvent, match=said):
        make()


def test_unknown_and_missing_fields_are_type_errors() -> None:
    """A typo'd field name is no silent null."""
    with pytest.raises(TypeError, match="usr_id"):
        Pin(usr_id=7, pin_id=9, action="SAVE")  # type: ignore[call-arg] # the point of the test
    with pytest.raises(TypeError, match="pin_id"):
        Pin(user_id=7, action="SAVE")  # type: ignore[call-arg] # the point of the test
    with pytest.raises(TypeError, match="positional"):
        Pin(7, 9, "SAVE")  # type: ignore[call-arg, arg-type] # the point of the test


def test_the_base_class_has_no_key() -> None:
    """Only generated classes are events."""
    with pytest.raises(NotImplementedError, match="schema generate"):
        Event().kafka_key("web")


def test_invalid_event_survives_pickling() -> None:
    """The error can cross a process boundary: worker pools pickle what was raised."""
    error = pickle.loads(pickle.dumps(InvalidEvent("pin.x", "is wrong")))
    assert (error.where, error.reason, str(error)) == ("pin.x", "is wrong", "pin.x: is wrong")
