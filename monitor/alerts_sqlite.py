"""Opens the small SQLite files that a monitor keeps beside its state: derived or passing, made anew when broken."""

import logging
import sqlite3
from pathlib import Path

log = logging.getLogger("headrace.monitor")

BUSY_S = 2.0
"""So long a reader of the file (the dashboard) is waited for."""


def opened(path: Path | None, version: int, tables: str) -> sqlite3.Connection:
    """Open a file, or memory without one, with these tables; a file that cannot be used is put aside as `.broken`.

    The connection may be used by several threads, by one at a time. Raises OSError when there can be no such file.
    """
    if path is None:
        return _made(":memory:", version, tables)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _made(str(path), version, tables)
    except sqlite3.OperationalError as error:
        raise OSError(f"{path} cannot be opened: {error}") from error
    except sqlite3.DatabaseError as error:
        aside = path.with_name(f"{path.name}.broken")
        log.warning("%s cannot be used (%s): it is kept as %s, and begun anew", path, error, aside.name)
        path.replace(aside)
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
        return _made(str(path), version, tables)


def _made(path: str, version: int, tables: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
    try:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, version):
            raise sqlite3.DatabaseError(f"it has version {found}, and this program knows {version}")
        # What dies with the machine is made again or told again; what a kill leaves is whole all the same.
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript(f"BEGIN; {tables}; PRAGMA user_version = {version}; COMMIT;")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection
