"""What the charts show: the last hours of each rule's windows and alerts, in a small SQLite file. Derived, disposable.

The monitor writes it, the dashboard reads it. Nothing depends on it: what cannot be written is counted, and the next
window is tried again. Bounded by hours, by series of a rule, and by rows.
"""

import json
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from .alerts_event import Told, finite
from .alerts_numbers import MonitorNumbers
from .alerts_sqlite import opened
from .transition import WindowPoint

log = logging.getLogger("headrace.monitor")

HOURS = 6
SERIES_MAX = 20
"""So many groups of a rule are kept for one window: those that fire, then those that were, then the largest."""
ROWS_MAX = 200_000
PRUNE_EACH = 50
VERSION = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS points (
  rule TEXT, labels TEXT, end_us INTEGER, start_us INTEGER, value REAL, low REAL, high REAL, firing INTEGER,
  PRIMARY KEY (rule, labels, end_us)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (
  alert_id BLOB PRIMARY KEY, rule TEXT, labels TEXT, state TEXT, end_us INTEGER, severity TEXT, message TEXT);
CREATE TABLE IF NOT EXISTS rules (rule TEXT PRIMARY KEY, severity TEXT, about TEXT);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER)
"""


class PointStore:
    """The writing side; one thread uses it. Raises OSError where there can be no file."""

    def __init__(self, path: Path, numbers: MonitorNumbers, *, now_us: Callable[[], int], hours: float = HOURS) -> None:
        self._connection = opened(path, VERSION, _TABLES)
        self._path, self._numbers, self._now_us = path, numbers, now_us
        self._hours_us = int(hours * 3600e6)
        self._shown: dict[str, set[str]] = {}
        self._writes = 0
        self._failing = False

    def rules(self, rules: Mapping[str, tuple[str, str]]) -> None:
        """Say which rules there are now: severity and what it is about, by name. Others are not shown any more."""
        rows = [(name, severity, about) for name, (severity, about) in rules.items()]

        def write(sql: sqlite3.Connection) -> None:
            sql.execute("DELETE FROM rules")
            sql.executemany("INSERT INTO rules VALUES (?, ?, ?)", rows)

        self._written(write)

    def points(self, points: Sequence[WindowPoint]) -> None:
        """Keep windows: what the runner calls with those that have just closed."""
        ordered = sorted(points, key=lambda each: (each.rule, each.end_us))
        groups = groupby(ordered, key=lambda each: (each.rule, each.end_us))
        rows = [row for (rule, _), group in groups for row in self._chosen(rule, group)]
        self._written(lambda sql: sql.executemany("INSERT OR REPLACE INTO points VALUES (?,?,?,?,?,?,?,?)", rows))

    def marks(self, news: Sequence[Told]) -> None:
        """Keep what was told: where a chart is marked."""
        rows = []
        for each in news:
            found = each.transition
            row = (each.alert_id, found.rule, _labels(found.labels), found.state, found.window_end_us, found.severity)
            rows.append((*row, found.message))
        self._written(lambda sql: sql.executemany("INSERT OR REPLACE INTO marks VALUES (?,?,?,?,?,?,?)", rows))

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _chosen(self, rule: str, group: Iterable[WindowPoint]) -> list[tuple[object, ...]]:
        before = self._shown.get(rule, set())
        named = [(_labels(each.labels), each) for each in group]
        named.sort(key=lambda each: (each[1].firing, each[0] in before, finite(each[1].value) or 0.0), reverse=True)
        chosen = named[:SERIES_MAX]
        self._shown[rule] = {labels for labels, _ in chosen}
        rows: list[tuple[object, ...]] = []
        for labels, each in chosen:
            low, high = each.expected or (None, None)
            rows.append((rule, labels, each.end_us, each.start_us, each.value, low, high, int(each.firing)))
        return rows

    def _written(self, write: Callable[[sqlite3.Connection], object]) -> None:
        try:
            with self._connection as sql:
                sql.execute("BEGIN IMMEDIATE")
                write(sql)
                sql.execute("INSERT OR REPLACE INTO meta VALUES ('written_us', ?)", (self._now_us(),))
                if self._writes % PRUNE_EACH == 0:
                    self._prune(sql)
            self._writes += 1
            self._failing = False
        except sqlite3.Error as error:
            self._numbers.points_lost()
            if not self._failing:
                log.warning("the charts' points cannot be written to %s: %s", self._path, error)
            self._failing = True

    def _prune(self, sql: sqlite3.Connection) -> None:
        newest = sql.execute("SELECT max(end_us) FROM points").fetchone()[0]
        if newest is None:
            return
        for table in ("points", "marks"):
            sql.execute(f"DELETE FROM {table} WHERE end_us < ?", (newest - self._hours_us,))  # noqa: S608 - two names
        over = sql.execute("SELECT count(*) FROM points").fetchone()[0] - ROWS_MAX
        if over > 0:
            last = sql.execute("SELECT end_us FROM points ORDER BY end_us LIMIT 1 OFFSET ?", (over,)).fetchone()[0]
            sql.execute("DELETE FROM points WHERE end_us < ?", (last,))


def _labels(labels: Mapping[str, str]) -> str:
    return json.dumps(dict(sorted(labels.items())), separators=(",", ":"))
