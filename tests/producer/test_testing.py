"""headrace.producer.testing: what assertions accept, and what their failures say."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from team_schemas import classes_of, field, record

from headrace.producer.testing import (
    RecordingLog,
    assert_logged,
    assert_logged_exactly,
    assert_nothing_logged,
    matching,
)
from headrace.producer.testing.fixtures import event_log
from headrace.schemas import Follow, Pin

__all__ = ["event_log"]  # the fixture, imported as an app's conftest does

SAVE = Pin(user_id=7, pin_id=9, action="SAVE")
LIKE = Pin(user_id=7, pin_id=10, action="LIKE")
FOLLOW = Follow(user_id=7, target_id=8, target="USER", action="FOLLOW")


def failure(check: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        check()
    return str(caught.value)


def test_what_was_logged_is_found(event_log: RecordingLog) -> None:
    """By type, by fields of the event or the envelope, as a whole event; what matches is returned, in order."""
    for event in (SAVE, FOLLOW, LIKE):
        assert event_log.emit(event)
    assert assert_logged(event_log, Pin) == [SAVE, LIKE]
    assert assert_logged(event_log, Pin, user_id=7, action="LIKE", count=1) == [LIKE]
    assert assert_logged(event_log, FOLLOW) == [FOLLOW]
    assert assert_logged(event_log, Pin, service="test", seq=2) == [LIKE]
    assert assert_logged(event_log, matching(Pin, pin_id=9), count=1) == [SAVE]
    assert assert_logged(event_log, Pin, user_id=8, count=0) == []
    assert_logged_exactly(event_log, SAVE, Follow, matching(Pin, action="LIKE"))


def test_a_miss_names_the_closest_event(event_log: RecordingLog) -> None:
    """The message says what was expected, in which fields the nearest event differs, and all that was logged."""
    event_log.emit(SAVE)
    event_log.emit(FOLLOW)
    assert failure(lambda: assert_logged(event_log, Pin, user_id=7, pin_id=10)) == (
        "no Pin(user_id=7, pin_id=10) was logged\n"
        "closest is Pin(user_id=7, pin_id=9, action='SAVE'):\n"
        "  pin_id: 9, expected 10\n"
        "logged, 2 events:\n"
        "  Pin(user_id=7, pin_id=9, action='SAVE')\n"
        "  Follow(user_id=7, target_id=8, target='USER', action='FOLLOW')"
    )
    assert failure(lambda: assert_logged(event_log, Pin, count=2)).startswith(
        "Pin() was logged once, expected 2 times\nlogged, 2 events:"
    )
    event_log.clear()
    assert failure(lambda: assert_logged(event_log, Pin)) == "no Pin() was logged\nnothing was logged"


def test_order_and_nothing_else(event_log: RecordingLog) -> None:
    """What is missing, too much, or in another place is marked; the rest is aligned."""
    for event in (SAVE, LIKE, FOLLOW):
        event_log.emit(event)
    assert failure(lambda: assert_logged_exactly(event_log, SAVE, FOLLOW)) == (
        "expected exactly 2 events, logged 3 events; - is missing, + is too much:\n"
        "    Pin(user_id=7, pin_id=9, action='SAVE')\n"
        "  + Pin(user_id=7, pin_id=10, action='LIKE')\n"
        "    Follow(user_id=7, target_id=8, target='USER', action='FOLLOW')"
    )
    told = failure(lambda: assert_logged_exactly(event_log, SAVE, matching(Pin, pin_id=11), FOLLOW))
    assert "  - Pin(pin_id=11)\n  + Pin(user_id=7, pin_id=10, action='LIKE')\n      pin_id: 10, expected 11\n" in told
    assert "expected exactly 3 events" in failure(lambda: assert_logged_exactly(event_log, LIKE, SAVE, FOLLOW))


def test_nothing_logged(event_log: RecordingLog) -> None:
    """Nothing at all, of any type."""
    assert_nothing_logged(event_log)
    event_log.emit(SAVE)
    assert "+ Pin(" in failure(lambda: assert_nothing_logged(event_log))


def test_a_misspelt_expectation_is_no_failure_of_the_app(event_log: RecordingLog) -> None:
    """A field that the type does not have, and what is no event, are TypeErrors."""
    with pytest.raises(TypeError, match="pin has no field usr_id; there are user_id"):
        assert_logged(event_log, Pin, usr_id=7)
    with pytest.raises(TypeError, match="belong to an event type"):
        assert_logged(event_log, SAVE, user_id=7)
    with pytest.raises(TypeError, match="not str"):
        assert_logged(event_log, "pin")  # type: ignore[arg-type] # wrong on purpose


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Any:
    fields = [
        field("email", "string", **{"headrace.pii": "hmac"}),
        field("phone", ["null", "string"], default=None, **{"headrace.pii": "drop"}),
        field("count", "int", default=0),
        field("ids", {"type": "array", "items": "long"}, default=[]),
        field("labels", {"type": "map", "values": "string"}, default={}),
    ]
    return classes_of(tmp_path_factory.mktemp("order"), record(*fields)).Order


def test_personal_values_are_expected_as_they_were_given(event_log: RecordingLog, order: Any) -> None:
    """A hashed value matches its raw form and its token; the failure does not show what the app gave."""
    event_log.emit(order(email="a@b.c", phone="5"))
    (event,) = assert_logged(event_log, order, email="a@b.c")
    assert event == assert_logged(event_log, order, email=event_log.token(b"a@b.c"))[0]
    assert_logged(event_log, order, phone=None)
    assert_logged_exactly(event_log, order(email="a@b.c"))
    assert "a@b.c" not in repr(event_log.logged)
    told = failure(lambda: assert_logged(event_log, order, phone="5"))
    assert "phone: None, expected '5', which the schema says to drop" in told


def test_fields_called_count_and_collections(event_log: RecordingLog, order: Any) -> None:
    """matching() is for a field that has the name of an argument; lists and dicts are expected as such."""
    event_log.emit(order(email="", count=3, ids=[1, 2], labels={"a": "b"}))
    assert_logged(event_log, matching(order, count=3), count=1)
    assert_logged(event_log, order, ids=[1, 2], labels={"a": "b"})
    assert_logged(event_log, order, count=0, ids=[1])


def test_an_app_can_be_shown_a_full_queue(event_log: RecordingLog) -> None:
    """refusing() makes emit() say no and count it, and ends with its context."""
    with event_log.refusing():
        assert not event_log.emit(SAVE)
    with event_log.refusing("shed"):
        assert not event_log.emit(SAVE)
    assert event_log.emit(SAVE)
    assert event_log.counts().dropped == {"full": 1, "shed": 1}
    assert event_log.logged[0].fields["seq"] == 3


def test_it_leaves_nothing_behind(tmp_path: Path) -> None:
    """No spool folder is made, even when the environment of the tests names one."""
    log = RecordingLog(spool=tmp_path / "spool")
    assert log.emit(Pin(user_id=1, pin_id=2, action="SAVE", occurred_at=datetime(2026, 11, 25, tzinfo=UTC)))
    assert log.close(60)
    assert list(tmp_path.iterdir()) == []
    assert log.logged[0].fields["occurred_at"] == datetime(2026, 11, 25, tzinfo=UTC)
    assert log.counts().durability == "memory"
