"""An alert as it is told: a transition with the moment at which its alert began; as event, as JSON, and back. Pure.

Its id is made of the alert's fingerprint, the state and the window's end, so that what is told twice (after a restart,
by a worker that was thought dead) has one id wherever it is read: in the topic, in the archive, at a webhook.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace.schemas.event import ID_BYTES
from headrace.schemas.events import Alert, AlertState

from .transition import State, Transition

TEXT_CHARS_MAX = 8_000
"""A message, a label or a runbook is cut here: a stack trace in a label must not make an alert too large for Kafka."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_STATES: Mapping[State, AlertState] = {"firing": "FIRING", "still_firing": "STILL_FIRING", "resolved": "RESOLVED"}
_STATES_BACK: Mapping[str, State] = {symbol: state for state, symbol in _STATES.items()}


@dataclass(frozen=True, slots=True)
class Told:
    """A transition that is told. `began_us`: the end of the window in which its alert began to fire, event time.

    `fingerprint` is the transition's; it is kept here since labels that were cut would make another one. `told_us`: of
    one that was read from the topic, when it was told by the wall clock.
    """

    transition: Transition
    began_us: int
    fingerprint: str
    told_us: int | None = field(default=None, compare=False)

    @classmethod
    def of(cls, transition: Transition, began_us: int) -> "Told":
        """Return it for a transition that has all of its labels."""
        return cls(transition, began_us, transition.fingerprint)

    @property
    def alert_id(self) -> bytes:
        """16 bytes, the same for the same fingerprint, state and window."""
        found = self.transition
        named = json.dumps([self.fingerprint, found.state, found.window_end_us], separators=(",", ":"))
        return hashlib.sha256(named.encode()).digest()[:ID_BYTES]

    def as_state(self, state: State) -> "Told":
        """Return the same in another state."""
        return (
            self if self.transition.state == state else replace(self, transition=replace(self.transition, state=state))
        )


def event_of(told: Told) -> Alert:
    """Return the event for the topic. It says when it was told by its `occurred_at`, which the event log sets."""
    found = told.transition
    low, high = found.expected or (None, None)
    return Alert(
        alert_id=told.alert_id,
        fingerprint=told.fingerprint,
        rule=_text(found.rule),
        state=_STATES[found.state],
        severity=_text(found.severity),
        labels={_text(name): _text(value) for name, value in sorted(found.labels.items())},
        value=float(found.value),
        expected_low=None if low is None else float(low),
        expected_high=None if high is None else float(high),
        message=_text(found.message),
        runbook=_text(found.runbook),
        window_start=moment(found.window_start_us),
        window_end=moment(found.window_end_us),
        began=moment(told.began_us),
        decided_at=moment(found.at_us),
    )


def told_of(event: Mapping[str, Any]) -> Told:
    """Return what a decoded event tells. Raises KeyError, TypeError or ValueError for an event of another kind."""
    low, high = event["expected_low"], event["expected_high"]
    return Told(
        Transition(
            rule=event["rule"],
            state=_STATES_BACK[event["state"]],
            labels=dict(event["labels"]),
            value=event["value"],
            severity=event["severity"],
            message=event["message"],
            runbook=event["runbook"],
            window_start_us=micros(event["window_start"]),
            window_end_us=micros(event["window_end"]),
            at_us=micros(event["decided_at"]),
            expected=None if low is None or high is None else (low, high),
        ),
        micros(event["began"]),
        event["fingerprint"],
        micros(event["occurred_at"]),
    )


def as_json(told: Told) -> dict[str, Any]:
    """Return what a webhook gets. A number that JSON cannot have is null."""
    found = told.transition
    return {
        "version": 1,
        "alert_id": told.alert_id.hex(),
        "fingerprint": told.fingerprint,
        "rule": found.rule,
        "state": found.state,
        "severity": found.severity,
        "labels": {name: _text(value) for name, value in sorted(found.labels.items())},
        "value": finite(found.value),
        "expected": None if found.expected is None else [finite(each) for each in found.expected],
        "message": _text(found.message),
        "runbook": _text(found.runbook),
        "window_start": iso(found.window_start_us),
        "window_end": iso(found.window_end_us),
        "began": iso(told.began_us),
        "decided_at": iso(found.at_us),
    }


def finite(value: float) -> float | None:
    """Return a number, or None for one that JSON does not have."""
    return value if math.isfinite(value) else None


def moment(micros_since_1970: int) -> datetime:
    """Return an aware datetime."""
    return _EPOCH + timedelta(microseconds=micros_since_1970)


def micros(at: datetime) -> int:
    """Return microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def iso(micros_since_1970: int) -> str:
    """Return RFC 3339 in UTC with milliseconds."""
    return moment(micros_since_1970).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(text: str) -> str:
    """Return what UTF-8 can hold, of bounded length."""
    return text[:TEXT_CHARS_MAX].encode("utf-8", "replace").decode()
