"""Many files into one: the rows of the first as far as they go together, proved to be the same records.

Each file is held against its entry (size, SHA-256) and the digest of each of its parts before a row of it is taken. The
new file is opened again, its records are restored, and the digest of each new part must be that of the old parts'
records one after the other. What cannot stand in one file by the format's rules (a column of another type, another text
of a schema under the same frame) ends the new file there: the rest makes another one.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from .file_proof import check_digest, check_rows, pieces, prove, read_committed
from .flush_buffer import BuiltFile
from .log_state import CommittedFile
from .object_store import ObjectStore
from .parquet_file import KIND_COLUMNS, RECORD_COLUMNS, ArchiveFile, Footer
from .parquet_file_write import Extent, row_group_bounds, write_file
from .part_digest import DigestColumns, Part, PartDigest


@dataclass(slots=True)
class _Stream:
    """The records of one partition so far."""

    lineage: int
    first: int
    last: int = -1
    digest: PartDigest = field(default_factory=PartDigest)


@dataclass(frozen=True, slots=True)
class Merged:
    """A new file, of how many of the files it was asked to take (the first ones), and the lineages of its rows."""

    file: BuiltFile
    taken: int
    lineages: dict[int, int]


def merge_files(
    store: ObjectStore,
    files: Sequence[CommittedFile],
    *,
    topic: str,
    writer: str,
    new_id: Callable[[], str],
    on_rows: Callable[[int], None] = lambda _rows: None,
) -> Merged | None:
    """Make one file of as many of the files as go together; None when the first two do not. Writes nothing.

    Raises FileCorrupt when a file is not what its entry says, StoreError.
    """
    merge = _Merge(store, topic, on_rows)
    taken = 0
    for committed in files:
        if not merge.take(committed):
            break
        taken += 1
    return None if taken < 2 else Merged(merge.build(writer, new_id), taken, merge.lineages())


class _Merge:
    def __init__(self, store: ObjectStore, topic: str, on_rows: Callable[[int], None]) -> None:
        self._store = store
        self._topic = topic
        self._on_rows = on_rows
        self._tables: list[pa.Table] = []
        self._columns: dict[str, pa.DataType] = {}
        self._schemas: dict[bytes, str] = {}
        self._streams: dict[int, _Stream] = {}
        self._footer: Footer | None = None
        self._late = 0

    # -- taking files in ---------------------------------------------------------------------------------------------

    def take(self, committed: CommittedFile) -> bool:
        """Take a file's rows in; False, and nothing is changed, when they can't stand beside those before."""
        file = committed.file
        found, where = read_committed(self._store, committed)
        if not self._goes_with(committed, found):
            return False
        self._check_and_digest(committed, found, where)
        self._columns.update(_own_columns(found.table))
        self._schemas.update(found.footer.schemas)
        self._tables.append(found.table)
        self._footer = self._footer or found.footer
        self._late += file.late
        self._on_rows(file.rows)
        return True

    def _goes_with(self, committed: CommittedFile, found: ArchiveFile) -> bool:
        own = _own_columns(found.table)
        if any(self._columns.get(name, kind) != kind for name, kind in own.items()):
            return False
        names = {*self._columns, *own}
        if len({name.lower() for name in names}) != len(names):
            return False
        if any(self._schemas.get(frame, text) != text for frame, text in found.footer.schemas.items()):
            return False
        for part in committed.file.parts:
            stream = self._streams.get(part.partition)
            lineage = committed.lineages.get(part.partition)
            if lineage is None or (stream and (stream.lineage != lineage or stream.last >= part.first)):
                return False
        return True

    def _check_and_digest(self, committed: CommittedFile, found: ArchiveFile, where: str) -> None:
        check_rows(committed, found, where)
        for part in committed.file.parts:
            stream = self._streams.setdefault(
                part.partition, _Stream(committed.lineages[part.partition], first=part.first)
            )
            own = PartDigest()
            for _, records in pieces(found, part, where):
                columns = DigestColumns(records)  # laid out once for both
                own.update_range(columns, 0, columns.rows)
                stream.digest.update_range(columns, 0, columns.rows)
            check_digest(own, part, where)
            stream.last = part.last

    # -- the new file ------------------------------------------------------------------------------------------------

    def lineages(self) -> dict[int, int]:
        return {partition: stream.lineage for partition, stream in sorted(self._streams.items())}

    def build(self, writer: str, new_id: Callable[[], str]) -> BuiltFile:
        """Write the new file to memory, and check it as if it were somebody else's."""
        old = self._footer
        if old is None:
            raise ValueError("no file was taken in")
        parts = self._parts()
        footer = Footer(
            kind=old.kind,
            topic=old.topic,
            topic_id=old.topic_id,
            cluster_id=old.cluster_id,
            dt=old.dt,
            spans=tuple(
                {"partition": part.partition, "lineage": self._streams[part.partition].lineage, "from": part.first}
                for part in parts
            ),
            writer=writer,
            schemas=self._schemas,
        )
        extent = Extent.of(parts)
        body = write_file(self._groups(extent.rows, old.kind), footer, extent)
        key = f"{old.kind}/topic={self._topic}/dt={old.dt}/{new_id()}.parquet"
        self._tables.clear()
        prove(body, old.kind, parts, self._late, f"the new {key}")
        sha256 = hashlib.sha256(body).hexdigest()
        return BuiltFile(old.kind, key, old.dt, body, len(body), sha256, extent.rows, self._late, tuple(parts))

    def _parts(self) -> list[Part]:
        parts: list[Part] = []
        row_start = 0
        for partition, stream in sorted(self._streams.items()):
            rows = stream.digest.rows
            parts.append(Part(partition, row_start, rows, stream.first, stream.last, stream.digest.hexdigest()))
            row_start += rows
        return parts

    def _groups(self, total: int, kind: str) -> Iterator[pa.Table]:
        """Yield the row groups, in the file's order and columns."""
        own = [pa.field(name, self._columns[name]) for name in self._columns]
        kept = [pa.field(name, self._tables[0].schema.field(name).type) for name in _record_names(kind)]
        schema = pa.schema([*own, *kept])
        whole = pa.concat_tables([_conform(table, schema) for table in self._tables])
        partitions = whole.column("_partition").to_numpy()
        order = np.lexsort((whole.column("_offset").to_numpy(), partitions))
        for start, stop in row_group_bounds(total):
            yield whole.take(pa.array(order[start:stop])).unify_dictionaries()


def _record_names(kind: str) -> list[str]:
    names = [name for name, _ in RECORD_COLUMNS]
    return [*names, "_headers", *(name for name, _ in KIND_COLUMNS["data" if kind == "data" else "quarantine"])]


def _own_columns(table: pa.Table) -> dict[str, pa.DataType]:
    """Return the event's own columns; none of theirs begins with an underscore at the top level."""
    return {field.name: field.type for field in table.schema if not field.name.startswith("_")}


def _conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table with a schema's columns, null where it has none."""
    present = set(table.schema.names)
    arrays = [
        table.column(each.name) if each.name in present else pa.nulls(table.num_rows, each.type) for each in schema
    ]
    return pa.table(arrays, schema=schema)
