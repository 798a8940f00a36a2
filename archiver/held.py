"""What a worker holds of a topic's partitions, and what of it goes into a commit."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .flush_buffer import BuiltFile, FileContext
from .log_entries import Entry, FileEntry, Gap, PartEntry, Span
from .log_state import PartitionState
from .topic_decoder import TopicSettings


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes: `name` goes into entries and footers; `cluster_id` is Kafka's."""

    name: str
    cluster_id: str


@dataclass
class Held:
    """One partition as this worker has it: offsets [start, end) are taken but not committed.

    `unseen`: the log has nothing of it yet. Its first span, be it an empty one, says where the archive begins: without
    it nobody would miss what Kafka deletes before the first record is archived. `at_end`: all that came was taken.
    `again_from`: offsets from there on, before `end`, are read again, and are known to hold no record. `blind_from`: so
    are those from there to `start`, and there is no epoch that Kafka could compare: with whatever is read again, they
    are too. `took`: records are among what was taken.
    """

    lineage: int
    start: int
    end: int
    epoch: int
    gaps: list[Gap] = field(default_factory=list)
    unseen: bool = False
    at_end: bool = False
    again_from: int | None = None
    blind_from: int | None = None
    took: bool = False

    @property
    def taken(self) -> bool:
        """Whether anything was taken that is not committed."""
        return self.end > self.start or bool(self.gaps)

    @property
    def pending(self) -> bool:
        """Whether there is anything to commit."""
        return self.taken or (self.unseen and self.at_end)

    def take(self, end: int, epoch: int) -> None:
        """Note that records before `end`, the last one of a leader epoch, were taken."""
        self.end, self.epoch, self.took = end, max(self.epoch, epoch), True

    def skip(self, start: int, end: int, reason: str, evidence: Mapping[str, Any]) -> None:
        """Note offsets [start, end) that cannot be archived, as a gap."""
        self.gaps.append(Gap(start, end, reason, evidence))
        self.end = max(self.end, end)

    def read_again(self, offset: int) -> None:
        """Forget what was taken, for reading goes on at `reads_from`: at `offset`, or before it where that is blind."""
        self.end, self.gaps, self.took = self.start, [], False
        offset = offset if self.blind_from is None else min(offset, self.blind_from)
        self.again_from = offset if offset < self.start else None

    def log_starts_at(self, low: int) -> None:
        """Note where Kafka's log begins now: what is before it cannot be read again."""
        if self.blind_from is not None:
            self.blind_from = max(self.blind_from, low)

    @property
    def reads_from(self) -> int:
        """The next offset to read: behind what was taken, or where offsets are read again."""
        return self.end if self.taken or self.again_from is None else self.again_from

    def committed(self) -> None:
        """Note that all that was taken is in the log."""
        if self.took:
            self.blind_from = None
        self.start, self.unseen, self.again_from, self.took = self.end, False, None, False
        self.gaps.clear()

    def next_lineage(self, begin: int, epoch: int) -> "Held":
        """Return the partition as it goes on in Kafka's other history: at `begin`, right at leader epoch `epoch`."""
        return Held(self.lineage + 1, begin, begin, epoch, blind_from=begin if epoch < 0 else None)


def held_at(newest: PartitionState | None, log_start: int) -> Held:
    """Return a partition as it is taken on: at the log's next offset, or at Kafka's log start when it is unseen."""
    if newest is None:
        return Held(0, log_start, log_start, -1, unseen=True, blind_from=log_start)
    held = Held(newest.identity.lineage, newest.next, newest.next, newest.leader_epoch)
    if newest.blind:
        held.blind_from = max(newest.origin, log_start)
        held.read_again(held.start)
    return held


def rows_held(batch: pa.RecordBatch, held: Mapping[int, Held]) -> pa.RecordBatch:
    """Return the rows of partitions that are held."""
    if set(pc.unique(batch.column("partition")).to_pylist()) <= held.keys():
        return batch
    return batch.filter(pc.is_in(batch.column("partition"), value_set=pa.array(list(held), pa.int32())))


def offset_bounds(batch: pa.RecordBatch) -> list[tuple[int, int, int]]:
    """Return (partition, smallest offset, largest offset) of each partition in a batch."""
    table = pa.table({"p": batch.column("partition"), "o": batch.column("offset")})
    bounds = table.group_by("p").aggregate([("o", "min"), ("o", "max")]).to_pydict()
    return list(zip(bounds["p"], bounds["o_min"], bounds["o_max"], strict=True))


def take_rows(
    held: Mapping[int, Held], batch: pa.RecordBatch, leader_epochs: Mapping[int, int]
) -> tuple[int, int] | None:
    """Note that a batch was taken; or note nothing, and return (partition, offset) of a record that came before."""
    bounds = offset_bounds(batch)
    for partition, first, _ in bounds:
        if first < held[partition].end:
            return partition, first
    for partition, _, final in bounds:
        held[partition].take(final + 1, leader_epochs.get(partition, -1))
    return None


def commit_entry(
    settings: TopicSettings,
    writer: Writer,
    topic_id: str,
    spans: tuple[Span, ...],
    files: tuple[FileEntry, ...],
    *,
    at: str,
    entry_id: str,
) -> Entry:
    """Return a commit's entry, which has no place in the log yet."""
    return Entry(
        kind="commit",
        topic=settings.topic,
        cluster_id=writer.cluster_id,
        entry_id=entry_id,
        writer=writer.name,
        at=at,
        topic_id=topic_id,
        spans=spans,
        files=files,
        details={"settings": settings.as_json()},
    )


def spans_of(
    held: Mapping[int, Held], partitions: Sequence[int], files: Sequence[BuiltFile], newest_ms: Mapping[int, int]
) -> tuple[Span, ...]:
    """Return the spans of a commit of these partitions, whose rows are in `files`; `newest_ms` by partition."""
    counts: dict[tuple[str, int], int] = {}
    for file in files:
        for part in file.parts:
            counts[file.kind, part.partition] = counts.get((file.kind, part.partition), 0) + part.rows
    return tuple(
        Span(
            partition=partition,
            lineage=held[partition].lineage,
            start=held[partition].start,
            end=held[partition].end,
            rows=counts.get(("data", partition), 0),
            quarantined=counts.get(("quarantine", partition), 0),
            leader_epoch=held[partition].epoch,
            max_timestamp=newest_ms.get(partition, -1),
            gaps=tuple(held[partition].gaps),
        )
        for partition in partitions
    )


def file_entry(file: BuiltFile) -> FileEntry:
    """Return what the log says of a file."""
    return FileEntry(
        kind=file.kind,
        key=file.key,
        dt=file.dt,
        bytes=file.bytes,
        sha256=file.sha256,
        rows=file.rows,
        late=file.late,
        parts=tuple(
            PartEntry(part.partition, part.row_start, part.rows, part.first, part.last, part.digest)
            for part in file.parts
        ),
    )


def file_context(
    topic: str,
    topic_id: str,
    writer: Writer,
    held: Mapping[int, Held],
    partitions: Sequence[int],
    *,
    sealed: Collection[str] = (),
) -> FileContext:
    """Return what the footers of a commit's files say; rows of `sealed` dates are late."""
    spans = tuple({"partition": p, "lineage": held[p].lineage, "from": held[p].start} for p in partitions)
    return FileContext(
        topic=topic,
        topic_id=topic_id,
        cluster_id=writer.cluster_id,
        writer=writer.name,
        spans=spans,
        sealed=frozenset(sealed),
    )


def summary(entry: Entry) -> str:
    """Say in a few words what a commit holds."""
    text = f"{entry.records} records of {len(entry.spans)} partitions in {len(entry.files)} files, {entry.size} bytes"
    return f"{text}, {entry.quarantined} quarantined" if entry.quarantined else text
