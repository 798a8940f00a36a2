"""Which rows an erasure takes: the conditions that choose records for a replay, judged row by row in each file.

All that the archive has is looked at, of every identity of the topic unless one is named. Quarantined rows have no
columns of their own: of them only what every record has is judged (`_key`, `_partition`, `_offset`, ...).
"""

import hashlib
import hmac
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.archiver.log_state import CommittedFile
from headrace.archiver.object_store import ObjectStore

from .columns import Columns, Condition, files_schema
from .errors import RequestRefused
from .selection import Selection

_EQUALS = re.compile(r"""([A-Za-z_]\w*)=([^\s'"()=<>]+)""")
_LITERAL = re.compile(r"'((?:[^']|'')+)'|\b(\d{3,})\b")
LITERAL_LENGTH_MIN = 3


def condition_of(text: str | None) -> str | None:
    """Return a condition in SQL of what people type: `user_id=7` and `email=a@b.org` mean the equality."""
    found = None if text is None else _EQUALS.fullmatch(text.strip())
    if found is None:
        return text
    value = found[2].replace("'", "''")
    return f"\"{found[1]}\" = '{value}'"


def refuse_vague(selection: Selection) -> None:
    """Refuse what names no particular rows. Raises RequestRefused."""
    by_offset = selection.start is not None or selection.end is not None
    if selection.where is None and not selection.keys and not by_offset:
        raise RequestRefused(
            "name the rows to erase: --where CONDITION, --key TEXT, or --partition P with --from and --to; whole dates "
            "go by `headrace expire`"
        )
    if by_offset and len(selection.partitions) != 1:
        raise RequestRefused("offsets mean something in one partition only: name it by --partition")


def refuse_telling(why: str, selection: Selection) -> None:
    """Refuse a reason that repeats the value that is to be forgotten: the log keeps it. Raises RequestRefused."""
    literals = [first.replace("''", "'") or second for first, second in _LITERAL.findall(selection.where or "")]
    literals += [key.decode(errors="replace") for key in selection.keys]
    for literal in literals:
        if len(literal) >= LITERAL_LENGTH_MIN and literal in why:
            raise RequestRefused(
                "--why repeats a value of the condition, and the log keeps it for ever: name the ticket, not the person"
            )


def condition_hmac(selection: Selection, key: bytes) -> str:
    """Return the keyed hash of a condition: it proves what was asked for to who has the key, and tells nobody else."""
    return hmac.new(key, selection.describe().encode(), hashlib.sha256).hexdigest()


class RowJudge:
    """Says which rows of a file are to go; see archiver.erasing.Judge. Raises RequestRefused for a bad condition."""

    def __init__(self, store: ObjectStore, topic: str, selection: Selection, files: Sequence[CommittedFile]) -> None:
        self._store = store
        self._topic = topic
        self._selection = selection
        self._condition = None if selection.where is None else Condition(selection.where)
        self._keys = pa.array(selection.keys, pa.binary()) if selection.keys else None
        self._known: set[str] = set()
        self._columns = self._of(files)

    def _of(self, files: Sequence[CommittedFile]) -> Columns | None:
        if self._condition is None or not files:
            return None
        schema = files_schema(self._store, self._topic, files)
        self._known = set(schema.names)
        return Columns(schema)

    def wanted(self, committed: CommittedFile) -> bool:
        """Whether a file may hold such rows, by what the log says of it."""
        chosen = self._selection
        if chosen.topic_id is not None and committed.topic_id != chosen.topic_id:
            return False
        return any(
            (not chosen.partitions or part.partition in chosen.partitions)
            and (chosen.lineage is None or committed.lineages.get(part.partition) == chosen.lineage)
            and (chosen.start is None or part.last >= chosen.start)
            and (chosen.end is None or part.first < chosen.end)
            for part in committed.file.parts
        )

    def __call__(self, table: pa.Table, committed: CommittedFile) -> np.ndarray:
        """Return which rows of a file are to go."""
        chosen = self._selection
        partitions, offsets = table.column("_partition").to_numpy(), table.column("_offset").to_numpy()
        mask: np.ndarray = np.ones(table.num_rows, bool)
        if chosen.partitions:
            mask &= np.isin(partitions, chosen.partitions)
        if chosen.lineage is not None:
            mask &= np.isin(partitions, [p for p, of in committed.lineages.items() if of == chosen.lineage])
        if chosen.start is not None:
            mask &= offsets >= chosen.start
        if chosen.end is not None:
            mask &= offsets < chosen.end
        if chosen.by_time:
            stamps = table.column("_timestamp").to_numpy()
            mask &= stamps >= (chosen.since_ms if chosen.since_ms is not None else stamps.min())
            mask &= stamps < chosen.until_ms if chosen.until_ms is not None else True
        if self._keys is not None:
            mask &= pc.is_in(table.column("_key"), value_set=self._keys).to_numpy()
        if self._condition is not None and mask.any():
            mask &= self._condition.mask(self._conformed(table, committed))
        return mask

    def _conformed(self, table: pa.Table, committed: CommittedFile) -> pa.Table:
        """Return a file's rows in the columns of all files, so that a column that this one lacks is null here."""
        own = {name for name in table.schema.names if not name.startswith("_")}
        if self._columns is None or not own <= self._known:
            # It came after the others were looked at, with a column that they lack.
            columns = Columns(files_schema(self._store, self._topic, [committed]))
            missing = (
                [] if self._columns is None else [f for f in self._columns.schema if f.name not in columns.schema.names]
            )
            columns = Columns(pa.schema([*columns.schema, *missing]))
            return columns.conform(table, committed.file.dt)
        return self._columns.conform(table, committed.file.dt)
