"""The keys of a rule: which kind of value each takes, and how they come together as a condition and a rule."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from headrace.schemas.catalog import SchemaCatalog

from . import messages
from .durations import DAY_US, SECOND_US, microseconds
from .rules import Change, Condition, Drop, FirstSeen, Rule, Threshold

SEVERITIES = ("info", "warning", "page")
CHANGE_GROUPS_MAX = 1_000
"""Groups of a rule that compares with earlier days: each keeps two weeks of hours in memory."""


class RuleWrong(ValueError):
    """One thing that is wrong with a rule. `key`: where."""

    def __init__(self, key: str, said: str) -> None:
        super().__init__(said)
        self.key = key


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a text")
    return value


def _one_of(*words: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(value)

    return check


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 1e15:
        raise ValueError("must be a number")
    return float(value)


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return check


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value) or len(set(value)) != len(value):
        raise ValueError('must be a list of different fields, such as ["service"]')
    return tuple(value)


def _filter(value: Any) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    if not isinstance(value, dict) or not value:
        raise ValueError("must be fields with values, such as { success = false }")
    found = []
    for name, each in value.items():
        values = each if isinstance(each, list) else [each]
        if not values or not all(isinstance(one, str | int | bool) for one in values):
            raise ValueError(f"{name} must be a text, a whole number, true or false, or a list of them")
        found.append((name, tuple(values)))
    return tuple(sorted(found))


def _table(**kinds: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"must be a table of {', '.join(kinds)}, such as {{ {next(iter(kinds))} = ... }}")
        found = {}
        for name, each in value.items():
            if name not in kinds:
                raise ValueError(f"has no {name!r}: it takes {', '.join(kinds)}")
            try:
                found[name] = kinds[name](each)
            except ValueError as error:
                raise ValueError(f"its {name} {error}") from None
        return found

    return check


KEYS: Mapping[str, Callable[[Any], Any]] = {
    "type": _text,
    "about": _text,
    "measure": _one_of("count", "rate", "ratio", "distinct"),
    "field": _text,
    "where": _filter,
    "among": _filter,
    "group_by": _names,
    "window": microseconds,
    "hop": microseconds,
    "grace": microseconds,
    "above": _number,
    "below": _number,
    "change": _table(
        direction=_one_of("up", "down", "both"),
        deviations=_number,
        season=_one_of("day", "week"),
        days=_whole(1, 60),
        days_min=_whole(1, 60),
    ),
    "drop": _table(from_at_least=_number, before=microseconds),
    "first_seen": _table(remember=microseconds, hold=microseconds),
    "at_least": _whole(0, 1_000_000_000),
    "for": microseconds,
    "clear_for": microseconds,
    "repeat": microseconds,
    "learn": microseconds,
    "groups_max": _whole(1, 1_000_000),
    "severity": _one_of(*SEVERITIES),
    "message": _text,
    "runbook": _text,
}


class Reading:
    """A rule on its way from keys, each checked by itself, to a value."""

    def __init__(self, name: str, given: Mapping[str, Any], catalog: SchemaCatalog) -> None:
        self.name = name
        self.given = given
        self.catalog = catalog
        self.condition: Condition | None = None

    def rule(self, topic: str) -> Rule:
        """Return the rule. `conditions` was called before, without an error."""
        given = self.given
        if self.condition is None:
            raise ValueError(f"rule {self.name} has no condition yet")
        window_us = given.get("window", 60 * SECOND_US)
        first = isinstance(self.condition, FirstSeen)
        changes = isinstance(self.condition, Change)
        own = {"for": "for_us", "clear_for": "clear_us", "repeat": "repeat_us", "grace": "grace_us"}
        return Rule(
            self.name,
            given["type"],
            topic,
            self.condition,
            window_us=window_us,
            hop_us=given.get("hop", window_us),
            learn_us=given.get("learn", DAY_US if first else 0),
            groups_max=given.get("groups_max", CHANGE_GROUPS_MAX if changes else 100_000),
            **{own[key]: given[key] for key in own if key in given},
            **{key: given[key] for key in _SAME if key in given},
        )


_SAME = ("measure", "field", "where", "among", "group_by", "at_least", "severity", "message", "runbook", "about")


def conditions(reading: Reading) -> None:
    """Find the rule's one condition, and check what must fit together. Raises RuleWrong."""
    given = reading.given
    kinds = [key for key in ("above", "below", "change", "drop", "first_seen") if key in given]
    if kinds == ["above", "below"]:
        reading.condition = Threshold(given["above"], given["below"])
    elif len(kinds) != 1:
        said = " and ".join(kinds) if kinds else "none"
        raise RuleWrong(
            kinds[-1] if kinds else "",
            f"it must have one condition, and has {said}: above, below (or both), change, drop, or first_seen",
        )
    else:
        reading.condition = _MADE[kinds[0]](reading)
    if "among" in given and given.get("measure") != "ratio":
        raise RuleWrong("among", 'among is for measure = "ratio": the events among which those of where are counted')
    if given.get("measure") == "ratio" and "where" not in given:
        raise RuleWrong("measure", "a ratio needs where: the events that are counted among all, or among among")
    if ("field" in given) != (given.get("measure") == "distinct"):
        raise RuleWrong("measure", 'measure = "distinct" and field (whose values are counted) belong together')
    try:
        messages.check(given.get("message", ""), given.get("group_by", ()))
    except ValueError as error:
        raise RuleWrong("message", f"message {error}") from None


def _threshold(reading: Reading) -> Condition:
    return Threshold(reading.given.get("above"), reading.given.get("below"))


def _change(reading: Reading) -> Condition:
    made = Change(**reading.given["change"])
    if made.days_min > made.days:
        raise RuleWrong("change", f"change needs days_min = {made.days_min} days, and remembers only {made.days}")
    if made.deviations <= 0:
        raise RuleWrong("change", "change: deviations must be above 0")
    return made


def _drop(reading: Reading) -> Condition:
    given = reading.given["drop"]
    window_us = reading.given.get("window", 60 * SECOND_US)
    hop_us = reading.given.get("hop", window_us)
    before_us = given.get("before", 10 * window_us)
    if "from_at_least" not in given or given["from_at_least"] <= 0:
        raise RuleWrong("drop", "drop needs from_at_least: how many events a window held before, above 0")
    if before_us < window_us or before_us % hop_us:
        raise RuleWrong("drop", "drop: before must be at least one window, and a multiple of hop")
    if reading.given.get("measure", "count") != "count":
        raise RuleWrong("drop", 'drop is about events that stop: it goes with measure = "count"')
    return Drop(given["from_at_least"], before_us)


def _first_seen(reading: Reading) -> Condition:
    given = reading.given["first_seen"]
    if not reading.given.get("group_by"):
        raise RuleWrong("first_seen", 'first_seen needs group_by: whose values are new, such as ["fingerprint"]')
    if reading.given.get("measure", "count") != "count":
        raise RuleWrong("first_seen", 'first_seen goes with measure = "count"')
    return FirstSeen(given.get("remember", 30 * DAY_US), given.get("hold", 600 * SECOND_US))


_MADE: Mapping[str, Callable[[Reading], Condition]] = {
    "above": _threshold,
    "below": _threshold,
    "change": _change,
    "drop": _drop,
    "first_seen": _first_seen,
}
