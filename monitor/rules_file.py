"""Reads rules from TOML, and says all that is wrong with them at once: file, line, rule, key, and what is allowed.

    [rule.failed_logins]
    type = "login"
    measure = "ratio"
    where = { success = false }
    window = "1m"
    hop = "5s"
    above = 0.4

Fields and values are checked against the event types, so that a rule which could never count anything is refused.
"""

import difflib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from headrace.producer.settings_file import lines_of
from headrace.schemas.catalog import SchemaCatalog, builtin, topic_of

from .rule_fields import field_check
from .rule_keys import KEYS, Reading, RuleWrong, conditions
from .rules import Rule

BYTES_MAX = 1 << 20
RULES_MAX = 500
READY = Path(__file__).parent / "ready.toml"
"""The rules that headrace brings for its own types."""


class RulesWrong(ValueError):
    """A rules file that cannot be used: a line for each thing that is wrong."""


def read_rules(path: Path, catalog: SchemaCatalog | None = None, *, topic_prefix: str = "") -> list[Rule]:
    """Read and check a file of rules. Raises RulesWrong."""
    text, parsed = _parsed(path)
    lines = lines_of(text)

    def where(*keys: str) -> str:
        known = [".".join(keys[:n]) for n in range(len(keys), 0, -1)]
        line = next((lines[key] for key in known if key in lines), None)
        return str(path) if line is None else f"{path}:{line}"

    problems = [
        f"{where(name)}: there is no section [{name}]; rules are written below [rule.NAME]"
        for name in parsed
        if name != "rule"
    ]
    tables = parsed.get("rule", {})
    if not isinstance(tables, dict) or not all(isinstance(each, dict) for each in tables.values()):
        raise RulesWrong(f"{where('rule')}: a rule is written as a section of its own: [rule.NAME]")
    if not tables and not problems:
        problems.append(f"{path}: there is no rule in it; each begins with [rule.NAME]")
    if len(tables) > RULES_MAX:
        problems.append(f"{path}: {len(tables)} rules; at most {RULES_MAX} are watched together")
    rules = []
    for name, table in tables.items():
        rule, wrong = read_rule(name, table, catalog or builtin(), topic_prefix)
        problems.extend(f"{where('rule', name, key)}: rule {name}: {said}" for key, said in wrong)
        if rule is not None:
            rules.append(rule)
    if problems:
        raise RulesWrong("\n".join(problems))
    return rules


def _parsed(path: Path) -> tuple[str, Mapping[str, Any]]:
    try:
        with path.open("rb") as file:
            body = file.read(BYTES_MAX + 1)
        if len(body) > BYTES_MAX:
            raise RulesWrong(f"{path} has over {BYTES_MAX:,} bytes; is it the right file?")
        text = body.decode("utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        raise RulesWrong(f"cannot read the rules in {path}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise RulesWrong(f"{path} is no text in UTF-8; is it the right file?") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RulesWrong(f"{path} is no TOML: {error}") from None


def read_rule(
    name: str, table: Mapping[str, Any], catalog: SchemaCatalog, topic_prefix: str = ""
) -> tuple[Rule | None, list[tuple[str, str]]]:
    """Return the rule that a table says, or None and (key, what is wrong) for each thing that is."""
    wrong: list[tuple[str, str]] = []
    given: dict[str, Any] = {}
    for key, value in table.items():
        said = _checked(key, value, given)
        if said:
            wrong.append((key, said))
    reading = Reading(name, given, catalog)
    for check in (*_CHECKS, field_check, conditions):
        if wrong and check is conditions:
            break
        try:
            check(reading)
        except RuleWrong as error:
            wrong.append((error.key, str(error)))
            break
    if wrong:
        return None, wrong
    return reading.rule(topic_prefix + topic_of(given["type"])), []


def _checked(key: str, value: Any, given: dict[str, Any]) -> str | None:
    """Take one key into `given`; return what is wrong with it."""
    kind = KEYS.get(key)
    if kind is None:
        near = difflib.get_close_matches(key, KEYS, 1)
        return f"there is no key {key!r}" + (f"; did you mean {near[0]}?" if near else f". Keys are {', '.join(KEYS)}")
    try:
        given[key] = kind(value)
    except ValueError as error:
        shown = repr(value) if isinstance(value, str | int | float | bool) else f"a {type(value).__name__}"
        return f"{key} is {shown[:60]}, and {error}"
    return None


def _has_type(reading: Reading) -> None:
    types = ", ".join(reading.catalog.types())
    if "type" not in reading.given:
        raise RuleWrong("", f"type is missing: which events it looks at. Types are {types}")
    if reading.given["type"] not in reading.catalog.types():
        raise RuleWrong("type", f"there is no event type {reading.given['type']!r}; types are {types}")


def _windows_fit(reading: Reading) -> None:
    window_us = reading.given.get("window", 60_000_000)
    hop_us = reading.given.get("hop", window_us)
    if hop_us == 0 or window_us == 0:
        raise RuleWrong("window" if window_us == 0 else "hop", "must be longer than nothing")
    if window_us % hop_us:
        raise RuleWrong("hop", "hop must divide window without a rest, as 10s divides 1m")
    if window_us // hop_us > 1_000:
        raise RuleWrong("hop", "a window has at most 1000 hops: make hop longer")


_CHECKS: tuple[Callable[[Reading], None], ...] = (_has_type, _windows_fit)
