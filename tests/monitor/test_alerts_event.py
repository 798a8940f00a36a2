"""An alert as event and as JSON: everything of it comes back, and what it was told twice has one id."""

import json
from dataclasses import replace

import pytest
from alert_kit import START_US, transition

from headrace.monitor.alerts_event import TEXT_CHARS_MAX, Told, as_json, event_of, told_of
from headrace.producer.testing import RecordingLog
from headrace.schemas.catalog import ALERT_TOPIC, builtin, topic_of
from headrace.schemas.frame import Decoder


def through_the_topic(told: Told) -> Told:
    log = RecordingLog(topic=ALERT_TOPIC, strict=True)
    assert log.emit(event_of(told))
    assert (log.logged[0].topic, log.logged[0].key) == ("headrace.alerts", told.fingerprint.encode())
    return told_of(Decoder(builtin()).decode(log.logged[0].value))


@pytest.mark.parametrize("state", ["firing", "still_firing", "resolved"])
def test_an_alert_comes_back_as_it_was_told(state: str) -> None:
    """Encoded as the typed event and decoded by its schema: the same value, fingerprint and id."""
    for found in (transition(state), transition(state, expected=None, labels={}, value=0.0)):  # type: ignore[arg-type]
        told = Told.of(found, START_US)
        back = through_the_topic(told)
        assert back == told
        assert back.alert_id == told.alert_id


def test_the_id_is_made_of_alert_state_and_window() -> None:
    """Not of when it was decided, of the value or of the message: so a repeated evaluation makes the same id."""
    told = Told.of(transition(), START_US)
    again = Told.of(replace(told.transition, at_us=1, value=2.0, message="other"), 7)
    assert again.alert_id == told.alert_id
    others = [transition("resolved"), transition(minute=1), transition(rule="b"), transition(labels={"service": "x"})]
    ids = {Told.of(each, START_US).alert_id for each in others}
    assert len(ids | {told.alert_id}) == 5


def test_texts_that_no_topic_takes_are_made_to_fit() -> None:
    """A huge label and a lone surrogate do not stop the monitor; the fingerprint stays that of the whole labels."""
    told = Told.of(transition(labels={"stack": "x" * 2_000_000, "a\ud800": "\udfff"}, message="m\ud800"), START_US)
    back = through_the_topic(told)
    assert len(back.transition.labels["stack"]) == TEXT_CHARS_MAX
    assert back.fingerprint == told.fingerprint
    assert back.alert_id == told.alert_id


def test_json_has_no_number_that_json_does_not_have() -> None:
    """A value that is infinite or none is null, and in the topic what it is; times are RFC 3339 in UTC."""
    assert through_the_topic(Told.of(transition(value=float("inf")), START_US)).transition.value == float("inf")
    for value in (float("inf"), float("nan")):
        through_the_topic(Told.of(transition(value=value, expected=(0.0, value)), START_US))
        found = as_json(Told.of(transition(value=value, expected=(0.0, value)), START_US))
        text = json.dumps(found, allow_nan=False)
        assert json.loads(text)["value"] is None
        assert json.loads(text)["expected"] == [0.0, None]
        assert found["window_end"] == "2026-11-25T04:21:00.000Z"


def test_the_topic_is_the_types_own() -> None:
    """The archiver finds it by the type, like any other."""
    assert topic_of("alert") == ALERT_TOPIC


def test_another_event_is_no_alert() -> None:
    """A record of another type in the topic is told apart."""
    with pytest.raises(KeyError):
        told_of({"event_id": b""})
