"""The entries of a topic's commit log: their shapes and their JSON form (docs/archive-format.md, "Commit log").

An entry is written once and never changed. Its bytes are canonical JSON (sorted keys, no spaces, UTF-8, one newline at
the end); `prev_sha256` is the SHA-256 of the bytes of the entry before it. Reading is strict: a field that is missing
or of the wrong type, an unknown kind, or a `min_reader` above READER_VERSION is an error, never a guess.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from headrace import __version__

from .object_key import stays_below

FORMAT_VERSION = 1
READER_VERSION = 2
READER_OF_KIND = {"erase": 2, "expire": 2, "moved": 2}
"""The reader version that a kind of entry needs: an older one would take rows that are gone for never written."""
RELEASE_OF_READER = {2: "0.1.0"}
"""The first release with a reader version above 1, for the message of a reader that is too old."""
NO_SHA256 = "0" * 64  # prev_sha256 of a log's first entry

EntryKind = Literal["commit", "seal", "rewrite", "intent", "expire", "moved", "erase"]
FileKind = Literal["data", "quarantine"]
KINDS: tuple[EntryKind, ...] = ("commit", "seal", "rewrite", "intent", "expire", "moved", "erase")


class LogCorrupt(Exception):
    """A log object does not hold what the format says. The message names the object and the field."""


class LogTooNew(Exception):
    """A log object needs a newer headrace than this one."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Offsets [start, end) that are not in the archive, and why. `end` None: not known, and the identity ends here."""

    start: int
    end: int | None
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"from": self.start, "to": self.end, "reason": self.reason, "evidence": dict(self.evidence)}


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets [start, end) of one partition that a commit covers; `rows` and `quarantined` count what it holds."""

    partition: int
    lineage: int
    start: int
    end: int
    rows: int = 0
    quarantined: int = 0
    leader_epoch: int = -1
    max_timestamp: int = -1
    gaps: tuple[Gap, ...] = ()

    @property
    def closes(self) -> bool:
        """Whether the identity ends with this span, since what followed is not known."""
        return any(gap.end is None for gap in self.gaps)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "partition": self.partition,
            "lineage": self.lineage,
            "from": self.start,
            "to": self.end,
            "rows": self.rows,
            "quarantined": self.quarantined,
            "leader_epoch": self.leader_epoch,
            "max_timestamp": self.max_timestamp,
            "gaps": [gap.as_json() for gap in self.gaps],
        }


@dataclass(frozen=True, slots=True)
class PartEntry:
    """The rows of one partition in one file: where they begin, how many, first and last offset, their digest."""

    partition: int
    row_start: int
    rows: int
    first: int
    last: int
    digest: str

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "partition": self.partition,
            "row_start": self.row_start,
            "rows": self.rows,
            "first": self.first,
            "last": self.last,
            "digest": self.digest,
        }


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One committed object: `bytes` is its size, `sha256` of its bytes, `rows` of all its parts together."""

    kind: FileKind
    key: str
    dt: str
    bytes: int
    sha256: str
    rows: int
    late: int
    parts: tuple[PartEntry, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "kind": self.kind,
            "key": self.key,
            "dt": self.dt,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "rows": self.rows,
            "late": self.late,
            "parts": [part.as_json() for part in self.parts],
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """One log entry. `details` holds what only some kinds have: see the format document.

    commit: topic_id, spans, files, settings.  seal: dt, ends.  intent: adds (keys).
    rewrite: intent (its entry_id), removes (keys), files, decodes.  expire: removes (keys), rows, dates, before.
    erase: intent, removes, files, erased, erasure, condition_hmac, why, who.  moved: spans, from_cluster_id, why.
    """

    kind: EntryKind
    topic: str
    cluster_id: str
    entry_id: str
    writer: str
    at: str
    topic_id: str = ""
    spans: tuple[Span, ...] = ()
    files: tuple[FileEntry, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    seq: int = 0
    prev_sha256: str = NO_SHA256
    min_reader: int = 1
    min_headrace: str = ""

    @property
    def quarantined(self) -> int:
        """How many records its spans hold that could not be decoded."""
        return sum(span.quarantined for span in self.spans)

    @property
    def records(self) -> int:
        """How many records its spans hold, decoded and not."""
        return sum(span.rows for span in self.spans) + self.quarantined

    @property
    def size(self) -> int:
        """The bytes of its files together."""
        return sum(file.bytes for file in self.files)

    def at_slot(self, seq: int, prev_sha256: str) -> "Entry":
        """Return this entry placed in a slot of the log, with the reader that its kind needs."""
        needs = max(self.min_reader, READER_OF_KIND.get(self.kind, 1))
        release = self.min_headrace or RELEASE_OF_READER.get(needs, "")
        return replace(self, seq=seq, prev_sha256=prev_sha256, min_reader=needs, min_headrace=release)

    def encode(self) -> bytes:
        """Return the object's bytes."""
        value = {
            "format": FORMAT_VERSION,
            "min_reader": self.min_reader,
            "seq": self.seq,
            "prev_sha256": self.prev_sha256,
            "kind": self.kind,
            "entry_id": self.entry_id,
            "writer": self.writer,
            "at": self.at,
            "topic": self.topic,
            "topic_id": self.topic_id,
            "cluster_id": self.cluster_id,
            "spans": [span.as_json() for span in self.spans],
            "files": [file.as_json() for file in self.files],
            "details": dict(self.details),
        }
        if self.min_headrace:
            value["min_headrace"] = self.min_headrace
        return (json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n").encode()


def sha256_of(body: bytes) -> str:
    """Return the hex SHA-256 that the next entry names as `prev_sha256`."""
    return hashlib.sha256(body).hexdigest()


def log_key(topic: str, seq: int) -> str:
    """Return the key of a log slot."""
    return f"log/topic={topic}/{seq:020}.json"


def decode(body: bytes, where: str) -> Entry:
    """Read one entry. `where` names the object in errors. Raises LogCorrupt or LogTooNew."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise LogCorrupt(f"{where}: not JSON ({error}). {_ADVICE}") from error
    row = _Fields(value, where)
    if (needs := row.integer("min_reader")) > READER_VERSION or row.integer("format") > FORMAT_VERSION:
        release = f"headrace >= {value['min_headrace']} (" if value.get("min_headrace") else "("
        raise LogTooNew(
            f"{where} needs {release}reader version {needs}); this is headrace {__version__}, which has "
            f"{READER_VERSION}: upgrade headrace"
        )
    kind = row.text("kind")
    if kind not in KINDS:
        raise LogTooNew(f"{where} is of the unknown kind {kind!r}: upgrade headrace")
    return Entry(
        kind=kind,
        topic=row.text("topic"),
        cluster_id=row.text("cluster_id"),
        entry_id=row.text("entry_id"),
        writer=row.text("writer"),
        at=row.text("at"),
        topic_id=row.text("topic_id"),
        spans=tuple(_span(item) for item in row.items("spans")),
        files=tuple(_file(item) for item in row.items("files")),
        details=row.mapping("details"),
        seq=row.integer("seq"),
        prev_sha256=row.text("prev_sha256"),
        min_reader=needs,
        min_headrace=row.text("min_headrace") if "min_headrace" in row.value else "",
    )


_DT = re.compile(r"[0-9-]{1,16}")
"""Dates become names of folders: they hold nothing that could lead elsewhere."""
_ADVICE = "The object was changed after it was written; restore it from a backup or an older object version"


class _Fields:
    """Typed access to a JSON object; every miss names the object and the field."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise LogCorrupt(f"{where}: expected a JSON object, found {type(value).__name__}. {_ADVICE}")
        self.value: dict[str, Any] = value
        self.where = where

    def _of(self, name: str, kind: type | tuple[type, ...]) -> Any:
        value = self.value.get(name)
        if name not in self.value or not isinstance(value, kind) or isinstance(value, bool):
            raise LogCorrupt(f"{self.where}: field {name!r} is missing or of the wrong type. {_ADVICE}")
        return value

    def text(self, name: str) -> str:
        return str(self._of(name, str))

    def integer(self, name: str) -> int:
        return int(self._of(name, int))

    def integer_or_none(self, name: str) -> int | None:
        value = self._of(name, (int, type(None)))
        return None if value is None else int(value)

    def mapping(self, name: str) -> dict[str, Any]:
        value: dict[str, Any] = self._of(name, dict)
        return value

    def items(self, name: str) -> Sequence["_Fields"]:
        return [_Fields(item, f"{self.where}, {name}[{index}]") for index, item in enumerate(self._of(name, list))]


def _span(row: _Fields) -> Span:
    gaps = tuple(
        Gap(gap.integer("from"), gap.integer_or_none("to"), gap.text("reason"), gap.mapping("evidence"))
        for gap in row.items("gaps")
    )
    return Span(
        partition=row.integer("partition"),
        lineage=row.integer("lineage"),
        start=row.integer("from"),
        end=row.integer("to"),
        rows=row.integer("rows"),
        quarantined=row.integer("quarantined"),
        leader_epoch=row.integer("leader_epoch"),
        max_timestamp=row.integer("max_timestamp"),
        gaps=gaps,
    )


def file_from_json(value: object, where: str) -> FileEntry:
    """Return the file that as_json() gave; `where` names its source in errors. Raises LogCorrupt."""
    return _file(_Fields(value, where))


def _file(row: _Fields) -> FileEntry:
    stated = row.text("kind")
    kinds: dict[str, FileKind] = {"data": "data", "quarantine": "quarantine"}
    kind = kinds.get(stated)
    if kind is None:
        raise LogCorrupt(f"{row.where}: unknown file kind {stated!r}. {_ADVICE}")
    key, dt = row.text("key"), row.text("dt")
    if not stays_below(key) or not key.isprintable() or _DT.fullmatch(dt) is None:
        raise LogCorrupt(f"{row.where}: key {key!r} or dt {dt!r} is none that headrace gives to a file. {_ADVICE}")
    parts = tuple(
        PartEntry(
            partition=part.integer("partition"),
            row_start=part.integer("row_start"),
            rows=part.integer("rows"),
            first=part.integer("first"),
            last=part.integer("last"),
            digest=part.text("digest"),
        )
        for part in row.items("parts")
    )
    return FileEntry(
        kind=kind,
        key=key,
        dt=dt,
        bytes=row.integer("bytes"),
        sha256=row.text("sha256"),
        rows=row.integer("rows"),
        late=row.integer("late"),
        parts=parts,
    )
