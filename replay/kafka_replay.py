"""A replay of one topic into a Kafka topic from beginning to end: fit, progress, sending, and the proof at the end.

Every run goes through the whole plan: records that an earlier run has sent are only digested, so that the proof always
covers the whole replay.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import pyarrow as pa

from .ahead import ahead
from .errors import TargetUnfit
from .kafka_progress import PLAN_DIGITS, Progress, group_of, read_progress
from .kafka_read_back import ReadBack, Sent
from .kafka_sender import KafkaSender
from .kafka_target import Allowances, Clock, Target, check_records, check_target, read_target
from .pieces import pieces
from .reader import Reading
from .replay_plan import ReplayPlan, TopicReplay
from .target_digest import ContentDigest, PartitionResult

PIECE_RECORDS_MAX = 10_000
PIECE_BYTES_MAX = 8 << 20


@dataclass(slots=True)
class SendCounts:
    """What was done. `sent` by this run, `earlier` by others; `reasons`: what is not as it was in the archive."""

    sent: int = 0
    earlier: int = 0
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Records to send to a target partition, `earlier` others before them that are there already."""

    partition: int
    records: pa.RecordBatch
    earlier: int
    rows_read: int


class Pace:
    """Holds a replay to so many records a second; None is as fast as it goes."""

    def __init__(self, records_per_s: float | None, clock: Clock) -> None:
        self._rate = records_per_s
        self._clock = clock
        self._started_s = clock.monotonic()
        self._done = 0

    @property
    def piece_rows_max(self) -> int:
        """How many records to send at once, so that a pause is never long."""
        return PIECE_RECORDS_MAX if self._rate is None else max(1, min(PIECE_RECORDS_MAX, int(self._rate)))

    def wait(self, records: int) -> None:
        """Count records that were sent, and wait until so many may have been."""
        self._done += records
        if self._rate is not None:
            due_s = self._started_s + self._done / self._rate
            if (ahead_s := due_s - self._clock.monotonic()) > 0:
                self._clock.pause(ahead_s)


class KafkaReplay:
    """Replays one topic of a plan: `begin()`, `send()`, `prove()`, so that what happens can be shown in between.

    Context manager. From begin() on, any other run of the same replay is fenced. `target` is the target as it is now.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        whole: ReplayPlan,
        topic: TopicReplay,
        target: Target,
        *,
        clock: Clock,
        records_per_s: float | None = None,
    ) -> None:
        self._kafka = kafka
        self._whole = whole
        self._topic = topic
        self._target = target
        self._allow = Allowances.of(whole.allow)
        self._clock = clock
        self._pace = Pace(records_per_s, clock)
        self._progress: Progress | None = None
        self._sender: KafkaSender | None = None
        self._sent: dict[int, Sent] = {}
        self._append_times = 0
        bases = dict(topic.target.bases)
        self._back = ReadBack(kafka, target.topic, bases, clock=clock, timestamps_kept=not target.log_append_time)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._sender is not None:
            self._sender.close()

    def begin(self, reading: Callable[[], Reading]) -> bool:
        """Take up what an earlier run of the same replay left; return whether there was one.

        Kafka forgets progress after offsets.retention.minutes. What the target then holds is compared with the plan's
        first records (by one more `reading()`), and progress made anew from it. Raises KafkaUnusable, TargetUnfit.
        """
        name, plan = self._whole.id, self._topic.plan
        if self._target.topic_id != self._topic.target.topic_id:
            raise TargetUnfit(
                f"{self._target.topic} was deleted and made again since the plan was made: make the plan anew"
            )
        # First the fence: it ends an open transaction of a run that was killed, which the progress would wait for.
        self._sender = KafkaSender(self._kafka, name, self._target, monotonic=self._clock.monotonic)
        found = read_progress(self._kafka, name, self._target, pause=self._clock.pause)
        if found is not None and found.plan_sha256 != self._whole.sha256[:PLAN_DIGITS]:
            raise TargetUnfit(
                f"another plan of this replay into {self._target.topic} is under way: go on with it by --resume "
                f"{name}, or delete the group {group_of(name)} to give it up"
            )
        resumed = found is not None
        if found is None:
            self._target = read_target(self._kafka, self._target.topic, self._clock)  # nobody else sends from now on
            bases = dict(self._topic.target.bases)
            grown = {p: end for p, (_, end) in self._target.ranges.items() if end > bases.get(p, end)}
            done = self._rebuilt(grown, reading) if grown else {}
            resumed = bool(grown)
            used = sorted({self._to(covered.identity.partition) for covered in plan.ranges})
            found = Progress(self._whole.sha256, self._target.topic_id, {p: done.get(p, 0) for p in used}, bases)
        check_target(self._target, plan, self._allow, resuming=resumed, now_ms=self._clock.now_ms())
        self._progress = found
        return resumed

    def _to(self, partition: int) -> int:
        """Return the target's partition for one of the source's: the same, unless fewer were accepted."""
        return partition % len(self._target.ranges)

    def _rebuilt(self, ends: Mapping[int, int], reading: Callable[[], Reading]) -> dict[int, int]:
        """Return how many of the plan's records each partition holds. Raises TargetUnfit when it holds others."""
        counts = self._back.count(ends)
        firsts = {p: ContentDigest(timestamps_kept=not self._target.log_append_time) for p in counts}
        for chunk in reading().chunks():
            partition = self._to(chunk.partition)
            left = counts.get(partition, 0) - (firsts[partition].records if partition in firsts else 0)
            if left > 0:
                records = self._whole.transform.apply(self._topic.plan.topic, chunk.records.slice(0, left))
                firsts[partition].add_source(records)
        undated = {p: each.undated_places() for p, each in firsts.items()}
        for partition, (content, _) in self._back.content(ends, undated).items():
            if content.hexdigest() != firsts[partition].hexdigest():
                raise TargetUnfit(
                    f"Kafka has no progress of this replay (it forgets after offsets.retention.minutes), and "
                    f"{self._target.topic}/{partition} holds {content.records} records since the plan was made that "
                    "are not its first ones: something else wrote there. Replay into an empty topic"
                )
        return counts

    def send(self, reading: Reading, on_progress: Callable[[int], None]) -> SendCounts:
        """Send what is not sent yet. `on_progress` gets the number of records done.

        Raises TargetUnfit for a record that does not fit, and what sender and reading raise.
        """
        sender, progress = self._sender, self._progress
        if sender is None or progress is None:
            raise ValueError("begin() comes first")
        counts = SendCounts()
        sender.begin(progress)
        kept = not self._target.log_append_time
        self._sent = {partition: Sent(timestamps_kept=kept) for partition in progress.done}
        done = 0
        for piece in ahead(self._prepared(reading, progress)):
            counts.earlier += piece.earlier
            if piece.records.num_rows:
                sender.send(piece.partition, piece.records)
                self._pace.wait(piece.records.num_rows)
            done += piece.earlier + piece.records.num_rows
            on_progress(done if reading.plan.counted else piece.rows_read)
        sender.commit()
        counts.sent = sender.sent
        counts.reasons = self._reasons()
        return counts

    def _prepared(self, reading: Reading, progress: Progress) -> "Iterator[_Piece]":
        """Yield what is to be sent, in pieces: digested, checked, without what earlier runs have sent."""
        for chunk in reading.chunks():
            partition = self._to(chunk.partition)
            self._append_times += int((chunk.records.column("timestamp_type").to_numpy() == 1).sum())
            for _, plain in pieces(chunk.records, rows_max=self._pace.piece_rows_max, bytes_max=PIECE_BYTES_MAX):
                before = self._sent[partition].digest.records
                records = self._add(partition, plain)
                earlier = min(records.num_rows, max(0, progress.done[partition] - before))
                left = records.slice(earlier)
                if left.num_rows:
                    check_records(self._target, left, self._allow, self._clock.now_ms())
                yield _Piece(partition, left, earlier, reading.counts.rows)

    def _add(self, partition: int, records: pa.RecordBatch) -> pa.RecordBatch:
        """Note records on their way to a partition; return them as they are to arrive."""
        into = self._sent[partition]
        into.runs.add(int(records.column("partition")[0].as_py()), records.column("offset").to_numpy())
        piece = self._whole.transform.apply(self._topic.plan.topic, records)
        into.digest.add_source(piece)
        return piece

    def _reasons(self) -> list[str]:
        reasons = self._whole.transform.reasons()
        if append_times := self._append_times:
            reasons.append(
                f"{append_times:,} records have broker timestamps (LogAppendTime); the target shows the same times as "
                "CreateTime"
            )
        if self._target.log_append_time:
            reasons.append(f"{self._target.topic} replaces timestamps (LogAppendTime): they were not compared")
        elif undated := sum(each.digest.undated for each in self._sent.values()):
            reasons.append(
                f"{undated:,} records have timestamp 0, which Kafka clients cannot send: they carry the time of sending"
            )
        highest = max((each.identity.partition for each in self._topic.plan.ranges), default=0)
        if highest >= len(self._target.ranges):
            reasons.append(f"records of {highest + 1} partitions went into {len(self._target.ranges)}")
        if self._target.compacted:
            reasons.append(f"{self._target.topic} is compacted: it may drop all but the last record of a key, later")
        return reasons

    def prove(self, on_progress: Callable[[int], None]) -> list[PartitionResult]:
        """Read the target back and compare it with everything that this replay sent, in this run and before.

        Raises ReplayDiffers with the differences, KafkaUnusable, SourceError.
        """
        if not self._sent:
            raise ValueError("send() comes first")
        return self._back.prove(self._sent, on_progress)
