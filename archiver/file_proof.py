"""Committed files as rewrites take them, held against the log; the proof that a new file has the records it must."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from .log_entries import PartEntry
from .log_state import CommittedFile
from .object_store import ObjectNotFound, ObjectStore
from .parquet_file import ArchiveFile, FileCorrupt, Kind, read_file
from .part_digest import Part, PartDigest
from .restore import restore_records

RESTORE_ROWS = 131_072
"""So many rows are restored to records at once."""


def read_committed(store: ObjectStore, committed: CommittedFile) -> tuple[ArchiveFile, str]:
    """Return a file that has its entry's hash, and what errors call it. Raises FileCorrupt, StoreError."""
    where = f"{store.url}/{committed.file.key} (entry {committed.seq})"
    try:
        body = store.get(committed.file.key)
    except ObjectNotFound as error:
        raise FileCorrupt("the object does not exist, and the log names it", where) from error
    return read_file(body, sha256=committed.file.sha256, kind=committed.file.kind, where=where), where


def check_rows(committed: CommittedFile, found: ArchiveFile, where: str) -> None:
    """Raise FileCorrupt unless a file has as many rows, of that topic id, as the log says."""
    if found.table.num_rows != committed.file.rows or found.footer.topic_id != committed.topic_id:
        raise FileCorrupt("its rows or its topic id are not those that the log says", where)


def pieces(found: ArchiveFile, part: Part | PartEntry, where: str) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield a part's records with the row that they begin at, a bounded number at a time. Raises FileCorrupt."""
    for begin in range(part.row_start, part.row_start + part.rows, RESTORE_ROWS):
        length = min(RESTORE_ROWS, part.row_start + part.rows - begin)
        records = restore_records(found.table.slice(begin, length), found.footer, where)
        if (records.column("partition").to_numpy() != part.partition).any():
            raise FileCorrupt(f"rows of the part of partition {part.partition} are of another one", where)
        yield begin, records


def check_digest(digest: PartDigest, part: PartEntry, where: str) -> None:
    """Raise FileCorrupt unless this is the digest of a part as the log has it."""
    if digest.hexdigest() != part.digest or digest.rows != part.rows:
        raise FileCorrupt(f"the records of partition {part.partition} are not those that were archived", where)


def prove(body: bytes, kind: Kind, parts: Sequence[Part], late: int, where: str) -> None:
    """Open a new file as if it were somebody else's: each part's records, and how many are late. Raises FileCorrupt."""
    found = read_file(body, sha256=None, kind=kind, where=where)
    for part in parts:
        digest = PartDigest()
        for _, records in pieces(found, part, where):
            digest.update(records)
        if digest.hexdigest() != part.digest:
            raise FileCorrupt(f"the records of partition {part.partition} are not those of the old files", where)
    if kind == "data" and int(pc.sum(found.table.column("_late")).as_py() or 0) != late:
        raise FileCorrupt("not as many rows are late as must be", where)
