"""A replay into a Kafka topic from beginning to end: fit, progress, sending, and the proof by reading the target back.

Every run goes through the whole plan: records that an earlier run has sent are only digested, so that the proof always
covers the whole replay.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pyarrow as pa
from confluent_kafka import KafkaException

from headrace.archiver.kafka_admin import KafkaAdmin, LogEnds
from headrace.archiver.part_digest import PartDigest
from headrace.archiver.source import TopicPartition

from .errors import KafkaUnusable, ReplayDiffers
from .kafka_progress import Progress, read_progress, replay_id
from .kafka_range import RangeReader
from .kafka_sender import KafkaSender
from .kafka_target import Allowances, Clock, Target, check_records, check_target, read_target
from .pieces import pieces
from .plan import Plan
from .reader import Reading

PIECE_RECORDS_MAX = 10_000
PIECE_BYTES_MAX = 8 << 20
READ_BACK_SILENCE_S_MAX = 20.0
DIFFERENCES_SHOWN = 5


@dataclass(slots=True)
class Receipt:
    """What a replay into Kafka did. `sent` by this run, `earlier` by others; `notes`: what could not be kept."""

    target: str
    snapshot: int
    sent: int = 0
    earlier: int = 0
    notes: list[str] = field(default_factory=list)


class TargetDigest:
    """What is compared between source and target: count and digest of key, value, headers, timestamp, in order.

    Offsets are replaced by the record's place in its partition, timestamps by 0 where the target cannot keep them.
    """

    def __init__(self, *, timestamps_kept: bool) -> None:
        self._timestamps_kept = timestamps_kept
        self._digest = PartDigest()
        self._undated: list[np.ndarray] = []
        self.undated = 0

    @property
    def records(self) -> int:
        """How many records were added."""
        return self._digest.rows

    def add_source(self, records: pa.RecordBatch) -> None:
        """Add archived records. Those of timestamp 0 are remembered: the client gives them the time of sending."""
        stamps = records.column("timestamp").to_numpy()
        places = np.flatnonzero(stamps == 0)
        if len(places):
            self._undated.append(places + self.records)
            self.undated += len(places)
        self._add(records, stamps)

    def add_target(self, records: pa.RecordBatch, source: "TargetDigest") -> None:
        """Add records that were read back, in the light of what their source had."""
        stamps = records.column("timestamp").to_numpy()
        if source.undated:
            stamps = stamps.copy()
            places = np.concatenate(source._undated) - self.records
            stamps[places[(places >= 0) & (places < len(stamps))]] = 0
        self._add(records, stamps)

    def _add(self, records: pa.RecordBatch, stamps: np.ndarray) -> None:
        if not self._timestamps_kept:
            stamps = np.zeros_like(stamps)
        rows = records.num_rows
        columns = [
            pa.array(np.zeros(rows, np.int32)),
            pa.array(np.arange(self.records, self.records + rows)),
            pa.array(stamps),
            pa.array(np.zeros(rows, np.int8)),
            *(records.column(name) for name in ("key", "value", "headers")),
        ]
        self._digest.update(pa.RecordBatch.from_arrays(columns, schema=records.schema))

    def same_as(self, other: "TargetDigest") -> bool:
        """Whether both saw equal records in equal order."""
        return self._digest.hexdigest() == other._digest.hexdigest()


class KafkaReplay:
    """Replays into one topic: `begin()`, `send()`, `prove()`, so that what happens can be shown in between.

    Context manager. From begin() on, any other run of the same replay is fenced.
    """

    def __init__(
        self, kafka: Mapping[str, Any], target_topic: str, *, allow: Allowances, clock: Clock, archive_url: str
    ) -> None:
        self._kafka = kafka
        self._allow = allow
        self._clock = clock
        self._archive_url = archive_url
        self.target: Target = read_target(kafka, target_topic, clock)
        self._progress: Progress | None = None
        self._sender: KafkaSender | None = None
        self._sources: dict[int, TargetDigest] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._sender is not None:
            self._sender.close()

    def begin(self, topic: str, selection: str, at: int | None) -> Progress | None:
        """Return what an earlier run of the same replay left, with the snapshot that it is pinned to.

        Raises KafkaUnusable, TargetUnfit.
        """
        name = replay_id(self._archive_url, topic, selection, at, self.target)
        # First the fence: it ends an open transaction of a run that was killed, which the progress would wait for.
        self._sender = KafkaSender(self._kafka, name, self.target)
        self._progress = read_progress(self._kafka, name, self.target)
        return self._progress

    def send(self, reading: Reading, on_progress: Callable[[int], None]) -> Receipt:
        """Send what is not sent yet. `on_progress` gets the number of records done.

        Raises TargetUnfit for a target that does not fit, and what sender and reading raise.
        """
        plan, sender = reading.plan, self._sender
        if sender is None or (self._progress is not None and self._progress.snapshot != plan.snapshot):
            raise ValueError("begin() comes first, and the reading is of the snapshot that it returned")
        check_target(self.target, plan, self._allow, resuming=self._progress is not None)
        receipt = Receipt(self.target.topic, plan.snapshot)
        self._progress = self._progress or self._fresh(plan)
        sender.begin(self._progress)
        self._sources = self._send(reading, sender, self._progress, receipt, on_progress)
        sender.commit()
        receipt.sent = sender.sent
        receipt.notes += self._notes(self._sources)
        return receipt

    def _fresh(self, plan: Plan) -> Progress:
        partitions = [covered.identity.partition for covered in plan.ranges]
        return Progress(
            snapshot=plan.snapshot,
            topic_id=self.target.topic_id,
            next_={covered.identity.partition: covered.start for covered in plan.ranges},
            bases={partition: self.target.ranges[partition][1] for partition in partitions},
        )

    def _send(
        self,
        reading: Reading,
        sender: KafkaSender,
        progress: Progress,
        receipt: Receipt,
        on_progress: Callable[[int], None],
    ) -> dict[int, TargetDigest]:
        sources: dict[int, TargetDigest] = {
            partition: TargetDigest(timestamps_kept=not self.target.log_append_time) for partition in progress.next_
        }
        append_times = done = 0
        for chunk in reading.chunks():
            sources[chunk.partition].add_source(chunk.records)
            append_times += int((chunk.records.column("timestamp_type").to_numpy() == 1).sum())
            sent_before = int(
                np.searchsorted(chunk.records.column("offset").to_numpy(), progress.next_[chunk.partition])
            )
            receipt.earlier += sent_before
            left = chunk.records.slice(sent_before)
            if left.num_rows:
                check_records(self.target, left, self._allow, self._clock.now_ms())
            done += sent_before
            for _, piece in pieces(left, rows_max=PIECE_RECORDS_MAX, bytes_max=PIECE_BYTES_MAX):
                sender.send(chunk.partition, piece)
                done += piece.num_rows
                on_progress(done if reading.plan.exact else reading.counts.rows)
        if append_times:
            receipt.notes.append(
                f"{append_times:,} records have broker timestamps (LogAppendTime); the target shows the same times as "
                "CreateTime"
            )
        return sources

    def _notes(self, sources: Mapping[int, TargetDigest]) -> list[str]:
        notes = []
        if undated := sum(source.undated for source in sources.values()):
            notes.append(
                f"{undated:,} records have timestamp 0, which Kafka clients cannot send: they carry today's time"
            )
        if self.target.log_append_time:
            notes.append(f"{self.target.topic} replaces timestamps (LogAppendTime): they were not compared")
        return notes

    # -- reading back ------------------------------------------------------------------------------------------------

    def prove(self, on_progress: Callable[[int], None]) -> None:
        """Read the target back and compare it with everything that this replay sent, in this run and before.

        Raises ReplayDiffers with the differences, KafkaUnusable, SourceError.
        """
        sources, progress = self._sources, self._progress
        if progress is None or not sources:
            raise ValueError("send() comes first")
        found = {p: TargetDigest(timestamps_kept=not self.target.log_append_time) for p in sources}
        try:
            with RangeReader(
                self._kafka,
                self.target.topic,
                progress.bases,
                monotonic=self._clock.monotonic,
                silence_s_max=READ_BACK_SILENCE_S_MAX,
            ) as reader:
                self._read_back(reader, sources, found, on_progress)
        except KafkaException as error:
            raise KafkaUnusable(f"reading {self.target.topic} back: {error}; everything was sent") from error
        differences = []
        for partition, source in sorted(sources.items()):
            if found[partition].records != source.records:
                what = f"{source.records:,} records were sent, {found[partition].records:,} are there"
                differences.append(f"{self.target.topic}/{partition}: {what}")
            elif not found[partition].same_as(source):
                differences.append(
                    f"{self.target.topic}/{partition}: {source.records:,} records, but not the same ones"
                )
        if differences:
            shown = "; ".join(differences[:DIFFERENCES_SHOWN])
            raise ReplayDiffers(
                f"{len(differences)} partitions of {self.target.topic} differ from what was sent: {shown}. Did another "
                "program write there, or retention delete?"
            )

    def _read_back(
        self,
        reader: RangeReader,
        sources: Mapping[int, TargetDigest],
        found: Mapping[int, TargetDigest],
        on_progress: Callable[[int], None],
    ) -> None:
        """Read until every partition has as many records as were sent, and no more come."""
        admin = KafkaAdmin(self._kafka, pause=self._clock.pause, monotonic=self._clock.monotonic)
        partitions = [TopicPartition(self.target.topic, partition) for partition in sources]
        while not reader.silent:
            for partition, batch in reader.poll():
                found[partition].add_target(batch, sources[partition])
            on_progress(sum(each.records for each in found.values()))
            if any(found[partition].records < source.records for partition, source in sources.items()):
                continue  # also because a commit's markers take a moment
            positions = reader.positions()
            ends = admin.log_ends(partitions).items()
            if all(isinstance(end, LogEnds) and positions[where.partition] >= end.last_stable for where, end in ends):
                return
        admin.log_ends(partitions)  # raises when it is Kafka that has gone silent, and nothing is missing
