"""Which numbers of which sessions an archived topic holds: `session_id` and `seq` of all its rows, as ranges.

Reads file after file; memory goes with the largest file and the number of ranges, not with the number of rows.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.archiver.log_state import CommittedFile, LogState
from headrace.archiver.object_store import ObjectStore

from .fetch_ahead import FetchAhead
from .intervals import NOTHING, Intervals
from .loading import fetch, parse

FETCH_THREADS = 4
COMPARED_MAX = 1_000_000


@dataclass(slots=True)
class SessionRows:
    """One session's rows. `repeats`: rows whose number had come before; `again`: those numbers."""

    numbers: Intervals = NOTHING
    repeats: int = 0
    again: Intervals = NOTHING


@dataclass(slots=True)
class ArchivedNumbers:
    """All sessions of a topic. `foreign`: rows without session and number; `quarantined`: rows that don't decode."""

    sessions: dict[bytes, SessionRows] = field(default_factory=dict)
    rows: int = 0
    foreign: int = 0
    quarantined: int = 0
    clashes: int = 0
    """Rows that have a number of their session that another event, by its event_id, has too."""

    def add(self, table: pa.Table) -> None:
        """Take the rows of a table."""
        self.rows += table.num_rows
        numbered = numbered_rows(table)
        if numbered is None:
            self.foreign += table.num_rows
            return
        names, which, seqs = numbered
        self.foreign += table.num_rows - len(seqs)
        order = np.lexsort((seqs, which))
        which, seqs = which[order], seqs[order]
        bounds = np.searchsorted(which, np.arange(len(names) + 1))
        for index, name in enumerate(names):
            begin, end = bounds[index], bounds[index + 1]
            if begin < end:
                self._add(name, seqs[begin:end])

    def _add(self, name: bytes, ordered: np.ndarray) -> None:
        session = self.sessions.get(name)
        if session is None:
            session = self.sessions[name] = SessionRows()
        twice = np.diff(ordered) == 0
        distinct = ordered if not twice.any() else ordered[np.concatenate(([True], ~twice))]
        come = Intervals.of_sorted(distinct)
        before = len(session.numbers)
        both = session.numbers | come
        if len(both) < before + len(ordered):
            known = Intervals.of_sorted(np.unique(ordered[1:][twice])) | (session.numbers & come)
            session.again |= known
            session.repeats += before + len(ordered) - len(both)
        session.numbers = both

    @property
    def repeats(self) -> int:
        """How many rows repeat a number."""
        return sum(session.repeats for session in self.sessions.values())

    def compare_repeats(self, tables: Iterable[pa.Table]) -> bool:
        """Go through the rows a second time, and count those whose number another event_id has: `clashes`.

        Returns False, and does nothing, when there are too many to remember.
        """
        if sum(len(session.again) for session in self.sessions.values()) > COMPARED_MAX:
            return False
        ids: dict[tuple[bytes, int], bytes] = {}
        for table in tables:
            numbered = numbered_rows(table)
            if numbered is None or "event_id" not in table.column_names:
                continue
            names, which, seqs = numbered
            events = table.column("event_id").filter(_has_number(table)).combine_chunks()
            for index, name in enumerate(names):
                again = self.sessions[name].again
                if not len(again):
                    continue
                rows = np.flatnonzero(which == index)
                rows = rows[again.holds(seqs[rows])]
                for seq, event in zip(seqs[rows].tolist(), events.take(pa.array(rows)).to_pylist(), strict=True):
                    self.clashes += ids.setdefault((name, seq), event) != event
        return True


def numbered_rows(table: pa.Table) -> tuple[list[bytes], np.ndarray, np.ndarray] | None:
    """Return the sessions of a table, and for each row that has session and number: the session's index, the number.

    None when the table has no such columns.
    """
    mask = _has_number(table)
    if mask is None:
        return None
    sessions = table.column("session_id").filter(mask).combine_chunks()
    if isinstance(sessions, pa.ChunkedArray):
        sessions = pa.concat_arrays(sessions.chunks)
    encoded = sessions.dictionary_encode()
    seqs = table.column("seq").filter(mask).to_numpy()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(), seqs


def _has_number(table: pa.Table) -> pa.ChunkedArray | None:
    for name, fits in (("session_id", pa.types.is_fixed_size_binary), ("seq", pa.types.is_int64)):
        at = table.schema.get_field_index(name)
        if at < 0 or not fits(table.schema.field(at).type):
            return None
    return pc.and_(table.column("session_id").is_valid(), table.column("seq").is_valid())


def data_tables(store: ObjectStore, state: LogState, *, fetch_threads: int = FETCH_THREADS) -> Iterator[pa.Table]:
    """Yield the rows of each data file of a snapshot, checked against the log. Raises ArchiveDamaged, StoreError."""
    files = [each for each in state.files.values() if each.file.kind == "data"]

    def get(committed: CommittedFile) -> bytes:
        return fetch(store, committed)

    bodies = FetchAhead(get, fetch_threads).each(files, size=lambda each: each.file.bytes)
    for committed, body in zip(files, bodies, strict=True):
        yield parse(store, state.topic, committed, body).table


def quarantined_rows(state: LogState) -> int:
    """Return how many rows of a snapshot don't decode: whose they are is not known."""
    return sum(each.file.rows for each in state.files.values() if each.file.kind == "quarantine")
