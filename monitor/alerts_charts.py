"""Reads the charts' points back: what the dashboard shows of the rules, as plain values. Never writes to the file."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from .alerts_points import VERSION

BUSY_S = 2.0
SERIES_SHOWN = 6
"""So many groups of a rule are drawn: those that fire first, then the largest of now."""
SERIES_OF_ALL = 120
"""So many charts are on the page, unless there are more rules: each has one at least."""
POINTS_SHOWN = 200
MARKS_SHOWN = 100

Point = tuple[int, float | None, float | None, float | None, bool]
"""End of the window in Unix milliseconds, value, the baseline's bounds, whether it fires."""


@dataclass(frozen=True)
class Series:
    """One group of a rule: its labels, its points, oldest first, and what was told of it."""

    labels: Mapping[str, str]
    points: Sequence[Point]
    marks: Sequence[tuple[int, str, str]]
    """When (Unix milliseconds), state, message."""

    @property
    def firing(self) -> bool:
        """Whether its newest window fires."""
        return bool(self.points) and self.points[-1][4]


@dataclass(frozen=True)
class RuleChart:
    """What is shown of one rule. `groups`: how many there are, drawn or not."""

    rule: str
    severity: str
    about: str
    groups: int
    series: Sequence[Series]


@dataclass(frozen=True)
class Charts:
    """What a file holds. `state`: it is there, was not written yet, or cannot be read; `problem` says why."""

    state: Literal["there", "missing", "unreadable"]
    problem: str = ""
    written_ms: int = 0
    rules: Sequence[RuleChart] = field(default_factory=tuple)


def read_charts(path: Path) -> Charts:
    """Return what a monitor wrote into a file. Raises nothing."""
    if not path.is_file():
        return Charts("missing", f"{path} is not there")
    try:
        connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", timeout=BUSY_S, uri=True)
        try:
            return _read(connection)
        finally:
            connection.close()
    except (sqlite3.Error, ValueError, TypeError) as error:
        return Charts("unreadable", f"{path}: {error}")


def _read(sql: sqlite3.Connection) -> Charts:
    version = sql.execute("PRAGMA user_version").fetchone()[0]
    if version != VERSION:
        raise ValueError(f"it has version {version}, and this program knows {VERSION}")
    sql.execute("BEGIN")  # one moment for all that follows
    written = sql.execute("SELECT value FROM meta WHERE name = 'written_us'").fetchone()
    rules: dict[str, tuple[str, str]] = {
        row[0]: row[1:] for row in sql.execute("SELECT rule, severity, about FROM rules")
    }
    each_max = max(1, min(SERIES_SHOWN, SERIES_OF_ALL // max(1, len(rules))))
    shown = [_rule(sql, rule, *told, each_max) for rule, told in sorted(rules.items())]
    shown.sort(key=lambda each: not any(series.firing for series in each.series))
    return Charts("there", "", 0 if written is None else int(written[0]) // 1000, shown)


def _rule(sql: sqlite3.Connection, rule: str, severity: str, about: str, series_max: int) -> RuleChart:
    # Bare columns beside max() are those of the row that has the maximum: SQLite promises it.
    groups = sql.execute(
        "SELECT labels, firing, value, max(end_us) FROM points WHERE rule = ? GROUP BY labels", (rule,)
    ).fetchall()
    groups.sort(key=lambda each: (each[1], each[3], each[2] or 0.0), reverse=True)
    return RuleChart(rule, severity, about, len(groups), [_series(sql, rule, each[0]) for each in groups[:series_max]])


def _series(sql: sqlite3.Connection, rule: str, labels: str) -> Series:
    found = sql.execute(
        "SELECT end_us, value, low, high, firing FROM points WHERE rule = ? AND labels = ? ORDER BY end_us",
        (rule, labels),
    )
    points: list[Point] = [(end // 1000, value, low, high, bool(firing)) for end, value, low, high, firing in found]
    marks = sql.execute(
        "SELECT end_us / 1000, state, message FROM marks WHERE rule = ? AND labels = ? AND state != 'still_firing' "
        "ORDER BY end_us DESC, rowid DESC LIMIT ?",
        (rule, labels, MARKS_SHOWN),
    ).fetchall()
    return Series(json.loads(labels), thinned(points), marks[::-1])


def thinned(points: Sequence[Point]) -> list[Point]:
    """Return at most POINTS_SHOWN points, the newest included; of those that fall together one that fires, or the
    one that is farthest from the middle: a short peak or drop is not lost.
    """
    step = -(-len(points) // POINTS_SHOWN) or 1
    if step == 1:
        return list(points)
    known = sorted(each[1] for each in points if each[1] is not None)
    middle = known[len(known) // 2] if known else 0.0
    groups = [points[max(0, end - step) : end] for end in range(len(points) - 1, 0, -step)]
    kept = [max(group, key=lambda each: (each[4], abs((each[1] or 0.0) - middle))) for group in reversed(groups)]
    return [*kept[-(POINTS_SHOWN - 1) :], points[-1]]
