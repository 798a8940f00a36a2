"""What a check reports: findings (something is wrong), gaps (known and recorded), and what was looked at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.archiver.log_entries import Gap
from headrace.archiver.log_state import Identity
from headrace.archiver.object_store import ObjectInfo

from .removed import Removed

REPORT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where, what, and what to do next."""

    where: str
    what: str
    next: str

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"where": self.where, "what": self.what, "next": self.next}


@dataclass(slots=True)
class VerifyReport:
    """The outcome of `headrace verify`. `kafka` is None when Kafka was not asked."""

    topic: str
    url: str
    snapshot: int = 0
    head_sha256: str = ""
    entries: int = 0
    folds: int = 0
    files: int = 0
    parts: int = 0
    rows: int = 0
    bytes: int = 0
    gaps: list[tuple[Identity, Gap]] = field(default_factory=list)
    removed: list[Removed] = field(default_factory=list)
    unreferenced: list[ObjectInfo] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    kafka: "KafkaCompared | None" = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong. Gaps, erasures and expired rows are known and recorded, so they are not wrong."""
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        """Return the documented JSON form, version 1."""
        return {
            "version": REPORT_VERSION,
            "topic": self.topic,
            "archive": self.url,
            "ok": self.ok,
            "snapshot": self.snapshot,
            "head_sha256": self.head_sha256,
            "checked": {
                "entries": self.entries,
                "folds": self.folds,
                "files": self.files,
                "parts": self.parts,
                "rows": self.rows,
                "bytes": self.bytes,
            },
            "kafka": None if self.kafka is None else self.kafka.as_json(),
            "gaps": [gap_json(identity, gap) for identity, gap in self.gaps],
            "removed": [each.as_json() for each in self.removed],
            "unreferenced": [{"key": info.key, "bytes": info.size} for info in self.unreferenced],
            "findings": [finding.as_json() for finding in self.findings],
        }


@dataclass(slots=True)
class KafkaCompared:
    """What was compared with Kafka: records that are equal, and the offsets [start, end) of each partition."""

    records: int = 0
    ranges: dict[int, tuple[int, int]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        ranges = [{"partition": p, "from": start, "to": end} for p, (start, end) in sorted(self.ranges.items())]
        return {"equal_records": self.records, "ranges": ranges}


def gap_json(identity: Identity, gap: Gap) -> Mapping[str, Any]:
    """Return a recorded gap with the identity that it is in."""
    return {
        "topic_id": identity.topic_id,
        "partition": identity.partition,
        "lineage": identity.lineage,
        **gap.as_json(),
    }


def gap_text(topic: str, identity: Identity, gap: Gap) -> str:
    """Return a gap in one line, for people."""
    extent = f"offsets [{gap.start}, {gap.end})" if gap.end is not None else f"everything from offset {gap.start} on"
    lineage = f", lineage {identity.lineage}" if identity.lineage else ""
    return f"gap: {topic}/{identity.partition}{lineage}: {extent} not archived: {gap.reason}"
