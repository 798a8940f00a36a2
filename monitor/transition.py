"""What a rule says: a change of an alert's state, a point of its chart, and whoever takes them.

The evaluator makes these values and never sends them; a live run hands them to sinks, a backtest lists them.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

State: TypeAlias = Literal["firing", "still_firing", "resolved"]

FINGERPRINT_CHARS = 16


def fingerprint(rule: str, labels: Mapping[str, str]) -> str:
    """Return what names the alert of a rule and its labels for ever: 16 hexadecimal digits."""
    named = json.dumps([rule, sorted(labels.items())], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(named.encode()).hexdigest()[:FINGERPRINT_CHARS]


@dataclass(frozen=True, slots=True)
class Transition:
    """An alert that began, went on or ended. Times are microseconds since 1970, and event time throughout.

    `labels` are the values of the rule's group-by fields. `window_start_us` and `window_end_us` (exclusive) bound the
    window whose `value` decided; `at_us` is the watermark at which it was decided. `expected` is the baseline's band,
    for a rule that has one.
    """

    rule: str
    state: State
    labels: Mapping[str, str]
    value: float
    severity: str
    message: str
    runbook: str
    window_start_us: int
    window_end_us: int
    at_us: int
    expected: tuple[float, float] | None = None

    @property
    def fingerprint(self) -> str:
        """The same for all transitions of one alert: of this rule with these labels."""
        return fingerprint(self.rule, self.labels)


@dataclass(frozen=True, slots=True)
class WindowPoint:
    """The value of one closed window of a rule and its labels: what a chart shows. Times as in Transition."""

    rule: str
    labels: Mapping[str, str]
    start_us: int
    end_us: int
    value: float
    expected: tuple[float, float] | None
    firing: bool


OnPoints: TypeAlias = Callable[[Sequence[WindowPoint]], None]
"""Takes the points of windows that have just closed, in the order of their ends."""


class Sink(Protocol):
    """Where transitions go: a topic, metrics, Alertmanager, a webhook.

    A live run may send a transition again after a restart, with the same fingerprint, state and window: a sink that
    must not repeat itself compares these.
    """

    def send(self, transitions: Sequence[Transition]) -> None:
        """Send them, in this order; empty sequences are not sent. Raises what the run should stop at."""

    def close(self) -> None:
        """Send what waits, and let go of everything."""
