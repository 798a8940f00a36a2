"""Format v1 files, reading: checked bytes in, table and footer out. Never trusts what it has not verified.

docs/archive-format.md, sections "Data files", "Quarantine files" and "Parquet settings".
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

Kind: TypeAlias = Literal["data", "quarantine"]

FORMAT = 1
FOOTER_KEY = b"headrace"


class FileCorrupt(Exception):
    """A file is not what the commit log says, or not a file of this format. `what` is wrong, in the file `where`."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{where}: {what}")
        self.what = what
        self.where = where


@dataclass(frozen=True, slots=True)
class Footer:
    """The JSON object `headrace` in a file's footer. `schemas`: frame -> exact text of the writer schema."""

    kind: Kind
    topic: str
    topic_id: str
    cluster_id: str
    dt: str
    spans: tuple[Mapping[str, Any], ...]  # {partition, lineage, from}
    writer: str
    schemas: Mapping[bytes, str]

    def to_json(self) -> str:
        """Return the footer's text, the same for the same values."""
        fields = {
            "format": FORMAT,
            "kind": self.kind,
            "topic": self.topic,
            "topic_id": self.topic_id,
            "cluster_id": self.cluster_id,
            "dt": self.dt,
            "writer": self.writer,
            "spans": [dict(span) for span in self.spans],
            "schemas": {frame.hex(): text for frame, text in self.schemas.items()},
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> "Footer":
        """Read a footer's text. Raises FileCorrupt for what is no footer of format 1."""
        try:
            fields = json.loads(text)
            if fields["format"] != FORMAT:
                raise FileCorrupt(
                    f"its format is {fields['format']!r}, and this version reads {FORMAT}: use a newer one", where
                )
            if fields["kind"] not in ("data", "quarantine"):
                raise FileCorrupt(f"its kind is {fields['kind']!r}, neither data nor quarantine", where)
            for name in ("topic", "topic_id", "cluster_id", "dt", "writer"):
                if not isinstance(fields[name], str):
                    raise FileCorrupt(f"the footer's {name} is not a string", where)
            return cls(
                kind=fields["kind"],
                topic=fields["topic"],
                topic_id=fields["topic_id"],
                cluster_id=fields["cluster_id"],
                dt=fields["dt"],
                spans=tuple(
                    {"partition": int(span["partition"]), "lineage": span["lineage"], "from": int(span["from"])}
                    for span in fields["spans"]
                ),
                writer=fields["writer"],
                schemas={bytes.fromhex(frame): str(schema) for frame, schema in fields["schemas"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise FileCorrupt(f"its headrace footer can't be read ({type(error).__name__}: {error})", where) from error


class ArchiveFile(NamedTuple):
    """A file's rows, in the file's order and columns (`_frame` as a dictionary array), and its footer."""

    table: pa.Table
    footer: Footer


def read_file(body: bytes, *, sha256: str | None, kind: Kind, where: str = "the file") -> ArchiveFile:
    """Read a whole file, after comparing its SHA-256 (where the caller knows it) and with page checksums verified.

    `where` names the file in errors: its key. Raises FileCorrupt.
    """
    if sha256 is not None and (found := hashlib.sha256(body).hexdigest()) != sha256:
        raise FileCorrupt(
            f"its SHA-256 is {found}, and the commit says {sha256}: the object was changed or damaged", where
        )
    try:
        with _open(pa.BufferReader(body), len(body)) as file:
            metadata = file.metadata
        footer = _footer(metadata, where)
        if footer.kind != kind:
            raise FileCorrupt(f"it is a {footer.kind} file where a {kind} file was expected", where)
        _check_columns(metadata.schema.to_arrow_schema(), kind, where)
        as_dictionary = ["_frame"] if kind == "data" else []
        with _open(pa.BufferReader(body), len(body), metadata=metadata, read_dictionary=as_dictionary) as file:
            table = file.read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise FileCorrupt(f"it can't be read as Parquet ({type(error).__name__}: {error})", where) from error
    return ArchiveFile(table, footer)


def footer_of(source: bytes | BinaryIO, where: str = "the file") -> Footer:
    """Read only the footer, from a file-like object or from a file's last bytes (see footer_bytes).

    Raises FileCorrupt, also when the bytes do not reach back to where the footer begins.
    """
    tail = source if isinstance(source, bytes) else _tail_of(source, where)
    needed = footer_bytes(tail, where)
    if len(tail) < needed:
        raise FileCorrupt(f"its footer has {needed} bytes, and only the last {len(tail)} were given", where)
    try:
        with _open(pa.BufferReader(tail), len(tail)) as file:
            return _footer(file.metadata, where)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise FileCorrupt(f"its Parquet footer can't be read ({type(error).__name__}: {error})", where) from error


def footer_bytes(tail: bytes, where: str = "the file") -> int:
    """Return how many of a file's last bytes hold its footer. `tail`: at least its last 8 bytes."""
    if len(tail) < 8 or tail[-4:] != b"PAR1":
        raise FileCorrupt("it does not end as a Parquet file does", where)
    return int.from_bytes(tail[-8:-4], "little") + 8


def _tail_of(file: BinaryIO, where: str) -> bytes:
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 8))
    needed = footer_bytes(file.read(8), where)
    file.seek(max(0, size - needed))
    return file.read(needed)


def _open(source: pa.NativeFile, size: int, **options: Any) -> pq.ParquetFile:
    """Open without believing sizes that the bytes can't hold: a forged footer could ask for any amount of memory."""
    return pq.ParquetFile(
        source,
        page_checksum_verification=True,
        thrift_string_size_limit=max(size, 1),
        thrift_container_size_limit=max(size, 1),
        **options,
    )


def _footer(metadata: pq.FileMetaData, where: str) -> Footer:
    text = (metadata.metadata or {}).get(FOOTER_KEY)
    if text is None:
        raise FileCorrupt("it is Parquet, but has no headrace footer: not a file of this archive", where)
    return Footer.from_json(text, where)


RECORD_COLUMNS: tuple[tuple[str, pa.DataType], ...] = (
    ("_partition", pa.int32()),
    ("_offset", pa.int64()),
    ("_timestamp", pa.int64()),
    ("_timestamp_type", pa.int8()),
    ("_key", pa.binary()),
)
KIND_COLUMNS: Mapping[str, tuple[tuple[str, pa.DataType], ...]] = {
    "data": (("_frame", pa.binary()), ("_value", pa.binary()), ("_late", pa.bool_())),
    "quarantine": (("_value", pa.binary()), ("_error_kind", pa.string()), ("_error", pa.string())),
}


def _check_columns(schema: pa.Schema, kind: Kind, where: str) -> None:
    for name, expected in (*RECORD_COLUMNS, *KIND_COLUMNS[kind]):
        at = schema.get_field_index(name)
        if at < 0 or not schema.field(at).type.equals(expected):
            found = "is missing" if at < 0 else f"is {schema.field(at).type}, not {expected}"
            raise FileCorrupt(f"its column {name} {found}", where)
    if schema.get_field_index("_headers") < 0 or not pa.types.is_list(schema.field("_headers").type):
        raise FileCorrupt("its column _headers is missing or is no list", where)
