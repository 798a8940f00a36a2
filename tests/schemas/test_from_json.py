"""Events from JSON objects: what is refused, and how it is told."""

from typing import Any

import pytest

from headrace.schemas import Error, InvalidEvent, Pin
from headrace.schemas.from_json import event_from_json

PIN = {"user_id": 7, "pin_id": 9, "action": "SAVE"}


def test_a_pin() -> None:
    """An object with the type's fields is the event; what has a default may be left out."""
    assert event_from_json(Pin, PIN) == Pin(user_id=7, pin_id=9, action="SAVE")
    assert event_from_json(Pin, {**PIN, "board_id": None}) == Pin(user_id=7, pin_id=9, action="SAVE")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([1], "pin: must be a JSON object, not an array"),
        (None, "pin: must be a JSON object, not null"),
        ("x", "pin: must be a JSON object, not a string"),
        (1.5, "pin: must be a JSON object, not a number"),
        (True, "pin: must be a JSON object, not a boolean"),
        ({**PIN, "usr": 1}, "pin.usr: is no field; there are user_id, pin_id, board_id, action, occurred_at, trace_id"),
        ({**PIN, "event_id": "00"}, "pin.event_id: is filled in by headrace"),
        ({**PIN, "seq": 4}, "pin.seq: is filled in by headrace"),
        ({"user_id": 7, "action": "SAVE"}, "pin.pin_id: is missing, and has no default"),
        ({**PIN, "user_id": None}, "pin.user_id: must not be null"),
        ({**PIN, "user_id": 7.0}, "pin.user_id: must be an int, not float 7.0"),
        ({**PIN, "user_id": "7"}, "pin.user_id: must be an int, not str '7'"),
        ({**PIN, "action": "save"}, "pin.action: must be one of"),
        ({**PIN, "occurred_at": "yesterday"}, "pin.occurred_at: must be ISO 8601"),
        ({**PIN, "occurred_at": "2026-11-23T10:00:00"}, "pin.occurred_at: must have a time zone"),
        ({**PIN, "occurred_at": 5}, "pin.occurred_at: must be a datetime, not int 5"),
        ({**PIN, "trace_id": "xyz"}, "pin.trace_id: must be hex digits"),
        ({**PIN, "trace_id": "00"}, "pin.trace_id: must be exactly 16 bytes, not 1"),
    ],
)
def test_refused(fields: Any, said: str) -> None:
    """Each wrong line is told by its field and what would fit."""
    with pytest.raises(InvalidEvent) as caught:
        event_from_json(Pin, fields)
    assert str(caught.value).startswith(said)


def test_text_that_json_has_and_utf8_has_not() -> None:
    """A lone surrogate, which JSON can escape, is refused."""
    with pytest.raises(InvalidEvent, match="lone surrogate"):
        event_from_json(Error, {"level": "ERROR", "message": "\ud800"})
