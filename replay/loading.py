"""Loads files of the archive and restores their records, so that nothing unchecked leaves: size and SHA-256 of the
object, the footer against the log, and each part's digest. Both the reader and the full check stand on this.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from headrace.archiver.log_entries import PartEntry
from headrace.archiver.log_state import CommittedFile
from headrace.archiver.object_store import ObjectNotFound, ObjectStore
from headrace.archiver.parquet_file import ArchiveFile, FileCorrupt, read_file
from headrace.archiver.part_digest import DigestColumns, PartDigest
from headrace.archiver.records import RECORD_SCHEMA
from headrace.archiver.restore import restore_records

from .errors import ArchiveDamaged

PLACE_SCHEMA = pa.schema([field for field in RECORD_SCHEMA if field.name not in ("value", "headers")])
RUN_ROWS_MAX = 65_536
RESTORE = "restore the object from a backup or an older object version"


@dataclass(frozen=True, slots=True)
class FileContext:
    """What a file says of its records beyond the records themselves.

    `schemas`: frame -> text of the writer schema. `errors`: for a quarantine file, (partition, offset) -> what was
    wrong.
    """

    quarantine: bool
    schemas: Mapping[bytes, str]
    errors: Mapping[tuple[int, int], str]


@dataclass(frozen=True, slots=True)
class LoadedPart:
    """One part's records in RECORD_SCHEMA, and their digest, which is the one in the log."""

    part: PartEntry
    records: pa.RecordBatch
    digest: str


def object_url(store: ObjectStore, key: str) -> str:
    """Return an object's full address, for people and for other tools."""
    return f"{store.url}/{key}"


def fetch(store: ObjectStore, committed: CommittedFile) -> bytes:
    """Get a file's bytes, checked against the size and hash in the log. Raises ArchiveDamaged, StoreError."""
    file = committed.file
    where = f"{object_url(store, file.key)} (entry {committed.seq})"
    try:
        body = store.get(file.key)
    except ObjectNotFound as error:
        raise ArchiveDamaged(f"{where}: the object does not exist, and the log names it; {RESTORE}") from error
    if len(body) != file.bytes:
        raise ArchiveDamaged(f"{where}: has {len(body)} bytes, the log says {file.bytes}; {RESTORE}")
    found = hashlib.sha256(body).hexdigest()
    if found != file.sha256:
        raise ArchiveDamaged(f"{where}: its SHA-256 is {found}, the log says {file.sha256}; {RESTORE}")
    return body


def parse(store: ObjectStore, topic: str, committed: CommittedFile, body: bytes) -> ArchiveFile:
    """Read a fetched file, and hold its footer against the log. Raises ArchiveDamaged."""
    file = committed.file
    where = f"{object_url(store, file.key)} (entry {committed.seq})"
    try:
        found = read_file(body, sha256=None, kind=file.kind, where=where)
    except FileCorrupt as error:
        raise ArchiveDamaged(f"{error}; {RESTORE}") from error
    footer = found.footer
    for name, said, expected in (
        ("topic", footer.topic, topic),
        ("topic id", footer.topic_id, committed.topic_id),
        ("dt", footer.dt, file.dt),
        ("number of rows", found.table.num_rows, file.rows),
    ):
        if said != expected:
            raise ArchiveDamaged(f"{where}: its {name} is {said!r}, the log says {expected!r}; {RESTORE}")
    return found


def load_parts(
    store: ObjectStore, topic: str, committed: CommittedFile, found: ArchiveFile, parts: Sequence[PartEntry]
) -> Iterator[LoadedPart]:
    """Yield parts of a parsed file, restored, the digest of each checked before it comes.

    Parts that lie side by side are restored together up to RUN_ROWS_MAX, which is what makes files of many small parts
    fast. Raises ArchiveDamaged, naming partition and offsets.
    """
    for run in _runs(parts):
        start = run[0].row_start
        rows = sum(part.rows for part in run)
        where = f"{object_url(store, committed.file.key)} (entry {committed.seq})"
        try:
            records = restore_records(found.table.slice(start, rows), found.footer, where)
        except FileCorrupt as error:
            raise ArchiveDamaged(f"{error}; {RESTORE}") from error
        columns = DigestColumns(records)
        for part in run:
            digest = _checked_digest(columns, part, start, f"{where}, {topic}/{part.partition}")
            own = records.slice(part.row_start - start, part.rows)
            if (own.column("partition").to_numpy() != part.partition).any():
                raise ArchiveDamaged(f"{where}: rows of part {topic}/{part.partition} are of another one; {RESTORE}")
            yield LoadedPart(part, own, digest)


def load_places(
    store: ObjectStore, topic: str, committed: CommittedFile, found: ArchiveFile, parts: Sequence[PartEntry]
) -> list[LoadedPart]:
    """Return where the rows of parts come from (PLACE_SCHEMA), without restoring records: no digest is checked.

    Raises ArchiveDamaged when the rows are not at the offsets that the log says.
    """
    columns = [found.table.column(f"_{name}").combine_chunks() for name in PLACE_SCHEMA.names]
    places = pa.RecordBatch.from_arrays(columns, schema=PLACE_SCHEMA)
    loaded = []
    for part in parts:
        own = places.slice(part.row_start, part.rows)
        where = f"{object_url(store, committed.file.key)} (entry {committed.seq}), {topic}/{part.partition}"
        offsets = own.column("offset").to_numpy()
        ends = (int(offsets[0]), int(offsets[-1])) if len(offsets) == part.rows else None
        if ends != (part.first, part.last) or (own.column("partition").to_numpy() != part.partition).any():
            raise ArchiveDamaged(f"{where}: the rows from {part.row_start} on are not the ones in the log; {RESTORE}")
        loaded.append(LoadedPart(part, own, ""))
    return loaded


def _checked_digest(columns: DigestColumns, part: PartEntry, start: int, where: str) -> str:
    """Return the digest of a part's rows, `start` being the first row's number. Raises ArchiveDamaged for others."""
    begin, end = part.row_start - start, part.row_start - start + part.rows
    if part.rows < 1 or end > columns.rows:
        raise ArchiveDamaged(
            f"{where}: the file has no rows {part.row_start} to {part.row_start + part.rows}; {RESTORE}"
        )
    digest = PartDigest()
    digest.update_range(columns, begin, end)
    first, last = int(columns.offsets[begin]), int(columns.offsets[end - 1])
    found = digest.hexdigest()
    if found != part.digest or (first, last) != (part.first, part.last):
        message = f"{where}: the restored records (offsets {first} to {last}, digest {found}) are not "
        message += f"the archived ones (offsets {part.first} to {part.last}, digest {part.digest})"
        raise ArchiveDamaged(f"{message}; either the log entry was changed, or this version cannot restore them")
    return found


def _runs(parts: Sequence[PartEntry]) -> list[list[PartEntry]]:
    """Group parts whose rows follow each other without a space between them, up to so many rows."""
    runs: list[list[PartEntry]] = []
    for part in sorted(parts, key=lambda each: each.row_start):
        last = runs[-1][-1] if runs else None
        follows = last is not None and last.row_start + last.rows == part.row_start
        if follows and part.row_start + part.rows - runs[-1][0].row_start <= RUN_ROWS_MAX:
            runs[-1].append(part)
        else:
            runs.append([part])
    return runs


def context_of(found: ArchiveFile) -> FileContext:
    """Return what a parsed file says of its records, for showing them decoded."""
    if found.footer.kind == "data":
        return FileContext(quarantine=False, schemas=found.footer.schemas, errors={})
    names = ["_partition", "_offset", "_error_kind", "_error"]
    columns = (found.table.column(name).to_pylist() for name in names)
    errors = {(partition, offset): f"{kind}: {text}" for partition, offset, kind, text in zip(*columns, strict=True)}
    return FileContext(quarantine=True, schemas={}, errors=errors)
