"""Small archives in memory, written by the production code: what tests of reading, checking and listing stand on."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from headrace.archiver.commit_log import CommitLog, Committed
from headrace.archiver.flush_buffer import FileContext, FlushBuffer
from headrace.archiver.log_entries import Entry, FileEntry, Gap, PartEntry, Span
from headrace.archiver.log_removals import counted, dates_of
from headrace.archiver.memory_store import MemoryStore
from headrace.archiver.object_store import ObjectStore
from headrace.archiver.records import Headers, record_batch
from headrace.archiver.topic_decoder import SchemaSource, TopicSettings
from headrace.schemas.catalog import builtin
from headrace.schemas.event import Envelope
from headrace.schemas.events import Pin

NOV_23_MS = 1_795_392_000_000  # 2026-11-23T00:00:00Z
DAY_MS = 86_400_000
TOPIC_ID = "topic-id-1"
CLUSTER_ID = "cluster-1"


@dataclass(frozen=True, slots=True)
class Rec:
    """One record as a test writes it down."""

    partition: int
    offset: int
    value: bytes | None = b"{}"
    key: bytes | None = None
    timestamp: int = NOV_23_MS
    headers: Headers = field(default_factory=list)
    timestamp_type: int = 0


def batch_of(records: Sequence[Rec]) -> pa.RecordBatch:
    """The records as one batch."""
    return record_batch(
        [r.partition for r in records],
        [r.offset for r in records],
        [r.timestamp for r in records],
        [r.timestamp_type for r in records],
        [r.key for r in records],
        [r.value for r in records],
        [r.headers for r in records],
    )


def rows(batches: Iterator[pa.RecordBatch] | Sequence[pa.RecordBatch]) -> list[Rec]:
    """Batches back as records."""
    found: list[Rec] = []
    for batch in batches:
        for row in batch.to_pylist():
            headers = [(each["name"], each["value"]) for each in row["headers"]]
            found.append(
                Rec(
                    *(row["partition"], row["offset"], row["value"], row["key"], row["timestamp"]),
                    headers,
                    row["timestamp_type"],
                )
            )
    return found


def pin_value(user_id: int, *, at_ms: int = NOV_23_MS) -> bytes:
    """The value of a pin event, the same for the same arguments."""
    envelope = Envelope(service="web", host="h1", session_id=b"s" * 16)
    event = Pin(user_id=user_id, pin_id=user_id * 7, action="SAVE")
    return event.kafka_value(envelope, user_id.to_bytes(16, "big"), user_id + 1, at_ms * 1000, None)


class _Schemas:
    def text_by_fingerprint(self, fingerprint: bytes) -> str | None:
        return builtin().text_by_fingerprint(fingerprint)

    def text_by_registry_id(self, _schema_id: int) -> str | None:
        return None


class SmallArchive:
    """An archive of one topic. `commit()` appends one flush; offsets must go on where the last commit ended."""

    def __init__(
        self,
        topic: str = "pin",
        *,
        form: str = "avro",
        store: ObjectStore | None = None,
        cluster_id: str = CLUSTER_ID,
        schemas: SchemaSource | None = None,
    ) -> None:
        self.topic = topic
        self.schemas = schemas or _Schemas()
        self.cluster_id = cluster_id
        self.memory = MemoryStore()
        self.store: ObjectStore = self.memory if store is None else store
        self.log = CommitLog(self.store, topic, pause=_no_pause)
        ids = itertools.count(1)
        self.new_id: Callable[[], str] = lambda: f"id{next(ids):06}"
        self._settings = TopicSettings(topic, format="raw" if form == "raw" else "avro")

    def commit(
        self,
        records: Sequence[Rec],
        *,
        ends: dict[int, int] | None = None,
        gaps: dict[int, Sequence[Gap]] | None = None,
        topic_id: str = TOPIC_ID,
        lineages: dict[int, int] | None = None,
        late_dates: Sequence[str] = (),
    ) -> Entry:
        """Archive records as one commit. `ends`: how far a partition's span reaches, by default just past its rows.

        `late_dates`: the dates whose rows are marked late.
        """
        buffer = FlushBuffer(self._settings, self.schemas, new_id=self.new_id)
        if records:
            buffer.add(batch_of(records))
        state = self.log.refresh()
        partitions = sorted({r.partition for r in records} | set(ends or {}) | set(gaps or {}))
        spans = []
        for partition in partitions:
            lineage = (lineages or {}).get(partition, 0)
            before = state.newest(partition, topic_id)
            own = [r.offset for r in records if r.partition == partition]
            goes_on = before is not None and before.identity.lineage == lineage
            start = before.next if goes_on and before is not None else min(own, default=0)
            quarantined = buffer.quarantined.get(partition, 0)
            spans.append(
                Span(
                    partition=partition,
                    lineage=lineage,
                    start=start,
                    end=(ends or {}).get(partition, max(own, default=start - 1) + 1),
                    rows=len(own) - quarantined,
                    quarantined=quarantined,
                    max_timestamp=max((r.timestamp for r in records if r.partition == partition), default=-1),
                    gaps=tuple((gaps or {}).get(partition, ())),
                )
            )
        context = FileContext(
            self.topic,
            topic_id,
            self.cluster_id,
            "test:1:0",
            tuple({"partition": s.partition, "lineage": s.lineage, "from": s.start} for s in spans),
            sealed=late_dates,
        )
        files = []
        for built in buffer.build(context) if records else []:
            self.store.put_if_absent(built.key, built.body)
            parts = tuple(PartEntry(p.partition, p.row_start, p.rows, p.first, p.last, p.digest) for p in built.parts)
            files.append(
                FileEntry(built.kind, built.key, built.dt, built.bytes, built.sha256, built.rows, built.late, parts)
            )
        return self.append(
            Entry(
                kind="commit",
                topic=self.topic,
                cluster_id=self.cluster_id,
                entry_id=self.new_id(),
                writer="test:1:0",
                at="2026-11-23T12:00:00.000000Z",
                topic_id=topic_id,
                spans=tuple(spans),
                files=tuple(files),
            )
        )

    def expire(self, *keys: str, before: str = "2026-12-01") -> Entry:
        """Let files expire, and leave their objects where they are."""
        files = [self.log.state.files[key] for key in keys]
        details = {
            "before": before,
            "removes": list(keys),
            "rows": [list(each) for each in counted(files)],
            "dates": {dt: list(rows) for dt, rows in dates_of(files).items()},
        }
        at = "2026-12-01T00:00:00Z"
        return self.append(Entry("expire", self.topic, self.cluster_id, self.new_id(), "test", at, details=details))

    def append(self, entry: Entry) -> Entry:
        """Append any entry; it must fit."""
        outcome = self.log.append(entry)
        if not isinstance(outcome, Committed):
            raise TypeError(f"the test's commit does not fit: {outcome}")
        return outcome.entry


def _no_pause(_seconds: float) -> None:
    pass
