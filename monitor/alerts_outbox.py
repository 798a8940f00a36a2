"""What a webhook has still to be told: a bounded queue in a file, so that a restart neither loses nor repeats it.

What was delivered is remembered by its id for a while. Without a file the queue is in memory and dies with the process.
"""

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

from .alerts_sqlite import opened

WAITING_MAX = 10_000
"""Beyond it the oldest that waits is given up: news of now matter more than those of hours ago."""
DELIVERED_MAX = 50_000
_VERSION = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS outbox (n INTEGER PRIMARY KEY AUTOINCREMENT, alert_id BLOB NOT NULL UNIQUE, body BLOB);
CREATE INDEX IF NOT EXISTS waiting ON outbox (n) WHERE body IS NOT NULL
"""


class Outbox:
    """The queue. One thread puts, another takes."""

    def __init__(
        self, path: Path | None, *, waiting_max: int = WAITING_MAX, delivered_max: int = DELIVERED_MAX
    ) -> None:
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection = opened(path, _VERSION, _TABLES)
        self._waiting_max, self._delivered_max = waiting_max, delivered_max

    def put(self, letters: Sequence[tuple[bytes, bytes]]) -> int:
        """Queue (alert_id, body) pairs but those whose id was queued before; return how many were given up for room."""
        with self._lock, self._connection as sql:
            sql.execute("BEGIN")
            sql.executemany("INSERT OR IGNORE INTO outbox (alert_id, body) VALUES (?, ?)", letters)
            over = max(0, self._count() - self._waiting_max)
            if over:
                sql.execute(
                    "UPDATE outbox SET body = NULL WHERE n IN "
                    "(SELECT n FROM outbox WHERE body IS NOT NULL ORDER BY n LIMIT ?)",
                    (over,),
                )
            return over

    def first(self) -> tuple[int, bytes] | None:
        """Return number and body of what waits longest, or None."""
        with self._lock:
            found = self._connection.execute(
                "SELECT n, body FROM outbox WHERE body IS NOT NULL ORDER BY n LIMIT 1"
            ).fetchone()
        return None if found is None else (int(found[0]), bytes(found[1]))

    def done(self, number: int) -> None:
        """Note that it was delivered, or never will be."""
        with self._lock, self._connection as sql:
            sql.execute("BEGIN")
            sql.execute("UPDATE outbox SET body = NULL WHERE n = ?", (number,))
            sql.execute("DELETE FROM outbox WHERE body IS NULL AND n <= ?", (number - self._delivered_max,))

    def waiting(self) -> int:
        """Return how many wait."""
        with self._lock:
            return self._count()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def _count(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM outbox WHERE body IS NOT NULL").fetchone()[0])
