"""One file without some of its rows: proved to hold the records that stay, byte for byte, and nothing else.

The file is held against its entry and the digest of each part before a row of it is believed. The digest of what stays
is made from the old file's records; the new file is opened again, its records are restored, and must have that digest.
It is written from the rows that stay alone, so that nothing of the others is left in a dictionary or a statistic.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from .file_proof import check_digest, check_rows, pieces, prove, read_committed
from .flush_buffer import BuiltFile
from .log_entries import PartEntry
from .log_removals import ErasedPart
from .log_state import CommittedFile
from .object_store import ObjectStore
from .parquet_file import ArchiveFile
from .parquet_file_write import Extent, row_group_bounds, write_file
from .part_digest import Part, PartDigest

Judge = Callable[[pa.Table, CommittedFile], np.ndarray]
"""Returns which rows of a file's table are to go, as a mask."""


@dataclass(frozen=True, slots=True)
class Trimmed:
    """A file's rows that are to go, and the file that takes its place; None where no row is left."""

    committed: CommittedFile
    file: BuiltFile | None
    erased: tuple[ErasedPart, ...]

    @property
    def rows(self) -> int:
        """How many rows are to go."""
        return sum(part.rows for part in self.erased)

    @property
    def ranges(self) -> int:
        """How many ranges of offsets an entry must name for it."""
        return sum(len(part.offsets) for part in self.erased)


def trim_file(
    store: ObjectStore,
    committed: CommittedFile,
    judge: Judge,
    *,
    topic: str,
    writer: str,
    new_id: Callable[[], str],
) -> Trimmed | None:
    """Return a file without the rows that are to go, None where all stay. Writes nothing.

    Raises FileCorrupt when a file is not what its entry says, StoreError.
    """
    file = committed.file
    found, where = read_committed(store, committed)
    check_rows(committed, found, where)
    gone = judge(found.table, committed)
    if not gone.any():
        return None
    kept = _kept_parts(committed, found, ~gone, where)
    erased = tuple(_erased_parts(committed, found.table, gone))
    if not kept:
        return Trimmed(committed, None, erased)
    key = f"{file.kind}/topic={topic}/dt={file.dt}/{new_id()}.parquet"
    late = file.late - sum(part.late for part in erased)
    return Trimmed(committed, _built(committed, found, ~gone, kept, late=late, key=key, writer=writer), erased)


def ranges_of(offsets: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Return rising offsets as ranges [from, to) without a hole."""
    cuts = np.flatnonzero(np.diff(offsets) != 1) + 1
    return tuple((int(piece[0]), int(piece[-1]) + 1) for piece in np.split(offsets, cuts))


def _kept_parts(committed: CommittedFile, found: ArchiveFile, keep: np.ndarray, where: str) -> list[Part]:
    """Return the parts of the rows that stay, their digests made from the old file's checked records."""
    parts: list[Part] = []
    row = 0
    for part in committed.file.parts:
        old, kept = PartDigest(), PartDigest()
        for begin, records in pieces(found, part, where):
            old.update(records)
            mask = keep[begin : begin + records.num_rows]
            if mask.any():
                kept.update(records if mask.all() else records.filter(pa.array(mask)))
        check_digest(old, part, where)
        if kept.rows:
            offsets = _slice(found.table, "_offset", part.row_start, part.rows)[_of(part, keep)]
            first, last = int(offsets[0]), int(offsets[-1])
            parts.append(Part(part.partition, row, kept.rows, first, last, kept.hexdigest()))
            row += kept.rows
    return parts


def _erased_parts(committed: CommittedFile, table: pa.Table, gone: np.ndarray) -> Iterator[ErasedPart]:
    file = committed.file
    for part in file.parts:
        own = _of(part, gone)
        if not own.any():
            continue
        offsets = _slice(table, "_offset", part.row_start, part.rows)[own]
        late = int(_slice(table, "_late", part.row_start, part.rows)[own].sum()) if file.kind == "data" else 0
        lineage = committed.lineages[part.partition]
        yield ErasedPart(file.kind, file.dt, part.partition, lineage, len(offsets), late, ranges_of(offsets))


def _of(part: PartEntry, mask: np.ndarray) -> np.ndarray:
    return mask[part.row_start : part.row_start + part.rows]


def _slice(table: pa.Table, name: str, start: int, rows: int) -> np.ndarray:
    column: np.ndarray = table.column(name).slice(start, rows).to_numpy()
    return column


def _built(
    committed: CommittedFile,
    found: ArchiveFile,
    keep: np.ndarray,
    parts: Sequence[Part],
    *,
    late: int,
    key: str,
    writer: str,
) -> BuiltFile:
    """Write the new file to memory, and check it as if it were somebody else's."""
    old, file = found.footer, committed.file
    spans = tuple(
        {"partition": part.partition, "lineage": committed.lineages[part.partition], "from": part.first}
        for part in parts
    )
    footer = replace(old, spans=spans, writer=writer)
    extent = Extent.of(parts)
    table = _without_leftovers(found.table.filter(pa.array(keep)))
    body = write_file((table.slice(a, b - a) for a, b in row_group_bounds(extent.rows)), footer, extent)
    prove(body, footer.kind, parts, late, f"the new {key}")
    sha256 = hashlib.sha256(body).hexdigest()
    return BuiltFile(file.kind, key, file.dt, body, len(body), sha256, extent.rows, late, tuple(parts))


def _without_leftovers(table: pa.Table) -> pa.Table:
    """Encode dictionaries anew: a filtered one still has the values of the rows that went."""
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            plain = table.column(index).cast(field.type.value_type)
            column = plain.dictionary_encode().unify_dictionaries().combine_chunks()
            table = table.set_column(index, field.name, column)
    return table.combine_chunks()
