"""A rule as a checked value: what is measured, over which windows, when that is worth an alert, and what it says.

Made by rules_file.py from TOML, which also checks it against the event types. Lengths are microseconds.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Literal, TypeAlias

Measure: TypeAlias = Literal["count", "rate", "ratio", "distinct"]
Value: TypeAlias = str | int | bool | None
Filter: TypeAlias = tuple[tuple[str, tuple[Value, ...]], ...]
"""Fields, each with the values of which it must have one; all of them must hold."""
Group: TypeAlias = tuple[str, ...]
"""The values of a rule's group-by fields, as text; empty for a rule without any."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """The value is above `above`, or below `below`."""

    above: float | None = None
    below: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """The value is outside of what is usual at this hour (baseline.py).

    `season`: the same hour of earlier days, or of the same weekday. `deviations`: how many robust standard deviations
    from the median are usual. `days`: how many earlier days (or weeks) are remembered; `days_min`: with fewer there is
    no baseline yet, and no alert.
    """

    direction: Literal["up", "down", "both"] = "both"
    deviations: float = 6.0
    season: Literal["day", "week"] = "day"
    days: int = 14
    days_min: int = 3


@dataclass(frozen=True, slots=True)
class Drop:
    """The window is empty, though in the time `before_us` just before it windows held `from_at_least` on average."""

    from_at_least: float
    before_us: int


@dataclass(frozen=True, slots=True)
class FirstSeen:
    """A group appears that did not for `remember_us`; the alert lasts `hold_us`."""

    remember_us: int
    hold_us: int


Condition: TypeAlias = Threshold | Change | Drop | FirstSeen


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `where` chooses the events that are counted; for a ratio they are counted among those of `among`.

    `at_least`: with fewer events in a window no alert begins or goes on. `for_us`: how long the condition must hold
    first; `clear_us`: how long it must have ended before the alert is resolved; `repeat_us`: how often a firing alert
    is told again; `learn_us`: how long the rule only watches, from the first window on.
    """

    name: str
    type: str
    topic: str
    condition: Condition
    measure: Measure = "count"
    field: str | None = None
    where: Filter = ()
    among: Filter = ()
    group_by: tuple[str, ...] = ()
    window_us: int = 60_000_000
    hop_us: int = 60_000_000
    grace_us: int = 5_000_000
    at_least: int = 0
    for_us: int = 0
    clear_us: int = 0
    repeat_us: int = 60_000_000
    learn_us: int = 0
    groups_max: int = 100_000
    severity: str = "warning"
    message: str = "{rule}: {value}"
    runbook: str = ""
    about: str = dataclass_field(default="", compare=False)

    @property
    def hops(self) -> int:
        """How many hops make a window."""
        return self.window_us // self.hop_us

    @property
    def fields(self) -> frozenset[str]:
        """The fields of an event that the rule looks at."""
        own = {name for name, _ in (*self.where, *self.among)} | set(self.group_by)
        return frozenset(own | ({self.field} if self.field else set()))

    @property
    def definition(self) -> str:
        """A hash of what decides the numbers: a rule for which this changed starts anew. 16 hexadecimal digits."""
        parts = (self.type, self.topic, self.measure, self.field, self.where, self.among, self.group_by)
        numbers = (self.window_us, self.hop_us, self.grace_us, self.groups_max, self.condition)
        return hashlib.sha256(repr((parts, numbers)).encode()).hexdigest()[:16]

    def labels(self, group: Group) -> Mapping[str, str]:
        """Return a group's labels."""
        return dict(zip(self.group_by, group, strict=True))
