"""Reads a replay's target topic back and compares it with what was sent: the proof, and the same again later.

It stands on RangeReader, a consumer of its own with read_committed, so that what counts is what readers see.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from confluent_kafka import KafkaException

from headrace.archiver.kafka_admin import KafkaAdmin, LogEnds
from headrace.archiver.source import TopicPartition

from .errors import KafkaUnusable, ReplayDiffers
from .kafka_range import RangeReader, read_ranges
from .kafka_target import Clock
from .target_digest import ContentDigest, PartitionResult, Runs, offset_map

READ_BACK_SILENCE_S_MAX = 20.0
DIFFERENCES_SHOWN = 5

OnProgress = Callable[[int], None]


class Sent:
    """What was sent to one target partition, by this run and earlier ones: digest, and where it came from."""

    def __init__(self, *, timestamps_kept: bool) -> None:
        self.digest = ContentDigest(timestamps_kept=timestamps_kept)
        self.runs = Runs()


class ReadBack:
    """Reads partitions of a topic back. `bases`: partition -> the offset where the replay began to write."""

    def __init__(
        self, kafka: Mapping[str, Any], topic: str, bases: Mapping[int, int], *, clock: Clock, timestamps_kept: bool
    ) -> None:
        self._kafka = kafka
        self._topic = topic
        self._bases = bases
        self._clock = clock
        self._timestamps_kept = timestamps_kept

    def prove(self, sent: Mapping[int, Sent], on_progress: OnProgress) -> list[PartitionResult]:
        """Compare all that lies above the bases with what was sent; return what each partition holds.

        Raises ReplayDiffers with the differences, KafkaUnusable, SourceError.
        """
        undated = {partition: each.digest.undated_places() for partition, each in sent.items()}
        found = {partition: ContentDigest(timestamps_kept=self._timestamps_kept) for partition in sent}
        runs = {partition: Runs() for partition in sent}
        ends = dict(self._bases)
        try:
            with RangeReader(
                self._kafka,
                self._topic,
                {partition: self._bases[partition] for partition in sent},
                monotonic=self._clock.monotonic,
                silence_s_max=READ_BACK_SILENCE_S_MAX,
            ) as reader:
                for partition, batch in self._batches(reader, sent, found, on_progress):
                    found[partition].add_target(batch, undated[partition])
                    offsets = batch.column("offset").to_numpy()
                    runs[partition].add(partition, offsets)
                    ends[partition] = int(offsets[-1]) + 1
        except KafkaException as error:
            raise KafkaUnusable(f"reading {self._topic} back: {error}; everything was sent") from error
        self._refuse_differences(sent, found)
        return [
            PartitionResult(
                partition=partition,
                records=each.digest.records,
                digest=each.digest.hexdigest(),
                base=self._bases[partition],
                end=ends[partition],
                map=offset_map(each.runs, runs[partition], f"{self._topic}/{partition}"),
                undated=undated[partition].tolist(),
            )
            for partition, each in sorted(sent.items())
        ]

    def _batches(
        self,
        reader: RangeReader,
        sent: Mapping[int, Sent],
        found: Mapping[int, ContentDigest],
        on_progress: OnProgress,
    ) -> Any:
        """Yield what comes, until every partition has as many records as were sent, and no more come."""
        admin = KafkaAdmin(self._kafka, pause=self._clock.pause, monotonic=self._clock.monotonic)
        partitions = [TopicPartition(self._topic, partition) for partition in sent]
        while not reader.silent:
            yield from reader.poll()
            on_progress(sum(each.records for each in found.values()))
            if any(found[partition].records < each.digest.records for partition, each in sent.items()):
                continue  # also because a commit's markers take a moment
            positions = reader.positions()
            ends = admin.log_ends(partitions).items()
            if all(isinstance(end, LogEnds) and positions[where.partition] >= end.last_stable for where, end in ends):
                return
        admin.log_ends(partitions)  # raises when it is Kafka that has gone silent, and nothing is missing

    def _refuse_differences(self, sent: Mapping[int, Sent], found: Mapping[int, ContentDigest]) -> None:
        differences = []
        for partition, each in sorted(sent.items()):
            own, back = each.digest, found[partition]
            if back.records != own.records:
                what = f"{own.records:,} records were sent, {back.records:,} are there"
                differences.append(f"{self._topic}/{partition}: {what}")
            elif back.hexdigest() != own.hexdigest():
                differences.append(f"{self._topic}/{partition}: {own.records:,} records, but not the same ones")
        if differences:
            shown = "; ".join(differences[:DIFFERENCES_SHOWN])
            raise ReplayDiffers(
                f"{len(differences)} partitions of {self._topic} differ from what was sent: {shown}. Did another "
                "program write there, or retention delete?"
            )

    def count(self, ends: Mapping[int, int]) -> dict[int, int]:
        """Return how many records lie between the bases and `ends`. Raises KafkaUnusable."""
        counts = dict.fromkeys(ends, 0)
        for partition, batch in self._ranges(ends):
            counts[partition] += batch.num_rows
        return counts

    def content(
        self, ends: Mapping[int, int], undated: Mapping[int, np.ndarray]
    ) -> dict[int, tuple[ContentDigest, Runs]]:
        """Return what lies between the bases and `ends`, whatever came after. Raises KafkaUnusable."""
        found = {partition: (ContentDigest(timestamps_kept=self._timestamps_kept), Runs()) for partition in ends}
        for partition, batch in self._ranges(ends):
            digest, runs = found[partition]
            digest.add_target(batch, undated.get(partition))
            runs.add(partition, batch.column("offset").to_numpy())
        return found

    def _ranges(self, ends: Mapping[int, int]) -> Any:
        ranges = {partition: (self._bases[partition], end) for partition, end in ends.items()}
        return read_ranges(self._kafka, self._topic, ranges, monotonic=self._clock.monotonic)
