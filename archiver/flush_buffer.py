"""What one worker consumed of one topic since its last commit: decoded at once, digested, held as columns, built into
files at a flush.

It never touches Kafka, S3 or the disk. docs/archive-format.md says what the files are.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from .event_date import date_text
from .flush_buffer_rows import HeldRows, compact, runs_of, sorted_by_partition
from .parquet_file import Footer, Kind
from .parquet_file_write import Extent, row_group_bounds, write_file
from .part_digest import DigestColumns, Part, PartDigest
from .topic_decoder import Rows, SchemaSource, TopicDecoder, TopicSettings

__all__ = ["BuiltFile", "FileContext", "FlushBuffer", "OffsetStepBack", "Part"]


PART_BYTES = 3_200
"""What the hashes of one part take (measured); it counts where partitions and dates are many and rows few."""


class OffsetStepBack(Exception):
    """Rows of a partition came with an offset that is not above the last one: the source is not what it must be."""


@dataclass(frozen=True, slots=True)
class BuiltFile:
    """A finished file, to be uploaded under `key`. `bytes`: its size; `late`: rows that came after the seal."""

    kind: Kind
    key: str
    dt: str
    body: bytes
    bytes: int
    sha256: str
    rows: int
    late: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class FileContext:
    """What goes into the footers of a flush's files. `spans`: {partition, lineage, from} of each partition.

    `sealed`: the dates that the log has sealed; rows of these are late.
    """

    topic: str
    topic_id: str
    cluster_id: str
    writer: str
    spans: tuple[Mapping[str, Any], ...]
    sealed: Collection[str] = ()


@dataclass(slots=True)
class _PartStream:
    digest: PartDigest
    first: int
    last: int


class FlushBuffer:
    """Rows of one topic since the last commit, by kind, date and partition.

    add() for each batch; build() when a flush is due, as often as needed; clear() once it is committed, or given up.
    drop() forgets single partitions. Not thread-safe.
    """

    def __init__(self, settings: TopicSettings, schemas: SchemaSource, *, new_id: Callable[[], str]) -> None:
        self._settings = settings
        self._decoder = TopicDecoder(settings, schemas)
        self._new_id = new_id
        self.clear()

    def clear(self) -> None:
        """Forget all rows."""
        self._held: dict[tuple[Kind, int], HeldRows] = {}
        self._parts: dict[tuple[Kind, int, int], _PartStream] = {}
        self._decoder.writers.forget_columns()
        self.rows_by_partition: dict[int, int] = {}
        self.quarantined: dict[int, int] = {}
        self.max_timestamps: dict[int, int] = {}
        self.first_offsets: dict[int, int] = {}
        self.last_offsets: dict[int, int] = {}
        self.dt_exceptions = 0

    @property
    def rows(self) -> int:
        """How many records are held."""
        return sum(self.rows_by_partition.values())

    @property
    def bytes(self) -> int:
        """Memory that the held rows and their digests take, in bytes (an estimate)."""
        return sum(held.bytes for held in self._held.values()) + len(self._parts) * PART_BYTES

    def partitions(self) -> set[int]:
        """Return the partitions of which rows are held."""
        return set(self.rows_by_partition)

    def add(self, batch: pa.RecordBatch) -> None:
        """Decode a batch in RECORD_SCHEMA and hold it. Each partition's rows come in the order of their offsets.

        Raises OffsetStepBack, before anything is changed, where they don't; and what the schema source raises.
        """
        if not batch.num_rows:
            return
        batch = sorted_by_partition(batch)
        runs = runs_of(batch.column(0).to_numpy())
        self._check_offsets(batch.column(1).to_numpy(), runs)
        decoded = self._decoder.decode(batch)
        self._hold("data", decoded.data)
        if decoded.quarantine is not None:
            self._hold("quarantine", decoded.quarantine)
            for partition, start, stop in runs_of(decoded.quarantine.records.column(0).to_numpy()):
                self.quarantined[partition] = self.quarantined.get(partition, 0) + stop - start
        self.dt_exceptions += decoded.dt_exceptions
        self._count(batch, runs)

    def _check_offsets(self, offsets: np.ndarray, runs: list[tuple[int, int, int]]) -> None:
        rises = np.diff(offsets) > 0
        for partition, start, stop in runs:
            last = self.last_offsets.get(partition, -1)
            if offsets[start] <= last:
                raise OffsetStepBack(_step_back(self._settings.topic, partition, last, int(offsets[start])))
            if not rises[start : stop - 1].all():
                at = start + int(np.argmin(rises[start : stop - 1]))
                raise OffsetStepBack(
                    _step_back(self._settings.topic, partition, int(offsets[at]), int(offsets[at + 1]))
                )

    def _count(self, batch: pa.RecordBatch, runs: list[tuple[int, int, int]]) -> None:
        offsets, timestamps = batch.column(1).to_numpy(), batch.column(2).to_numpy()
        for partition, start, stop in runs:
            self.rows_by_partition[partition] = self.rows_by_partition.get(partition, 0) + stop - start
            self.first_offsets.setdefault(partition, int(offsets[start]))
            self.last_offsets[partition] = int(offsets[stop - 1])
            newest = int(timestamps[start:stop].max())
            self.max_timestamps[partition] = max(newest, self.max_timestamps.get(partition, newest))

    def _hold(self, kind: Kind, rows: Rows) -> None:
        """Sort the rows by date, then by partition (which they are), and hand each run to its digest and holder."""
        records, columns, days = rows.records, rows.columns, rows.days
        if not records.num_rows:
            return
        if (days != days[0]).any():
            order = np.argsort(days, kind="stable")
            days = days[order]
            records, columns = records.take(pa.array(order)), columns.take(pa.array(order))
        partitions, offsets = records.column(0).to_numpy(), records.column(1).to_numpy()
        digests = DigestColumns(records)
        held = compact(_held_form(records, columns))
        for day, day_start, day_stop in runs_of(days):
            holder = self._held.setdefault((kind, day), HeldRows())
            holder.add(held.slice(day_start, day_stop - day_start), shared_by=held)
            for partition, start, stop in runs_of(partitions[day_start:day_stop]):
                first, end = day_start + start, day_start + stop
                part = self._parts.get((kind, day, partition))
                if part is None:
                    part = _PartStream(PartDigest(), int(offsets[first]), -1)
                    self._parts[kind, day, partition] = part
                part.digest.update_range(digests, first, end)
                part.last = int(offsets[end - 1])

    def drop(self, partitions: Collection[int]) -> None:
        """Forget the rows of partitions that were revoked or lost."""
        gone = set(partitions) & set(self.rows_by_partition)
        if not gone:
            return
        for counts in (
            self.rows_by_partition,
            self.quarantined,
            self.max_timestamps,
            self.first_offsets,
            self.last_offsets,
        ):
            for partition in gone:
                counts.pop(partition, None)
        affected = {(kind, day) for kind, day, partition in self._parts if partition in gone}
        self._parts = {where: part for where, part in self._parts.items() if where[2] not in gone}
        for where in affected:
            self._held[where].drop(gone)
            if not self._held[where].rows:
                del self._held[where]
        if not self._held:
            self._decoder.writers.forget_columns()

    def build(self, context: FileContext, partitions: Collection[int] | None = None) -> list[BuiltFile]:
        """Build the files of the held rows, or of some partitions: at most one of each kind for each date.

        The rows stay held. Raises FileCorrupt if a file doesn't read back as it was meant (a bug: commit nothing).
        """
        return list(self.each_file(context, partitions))

    def each_file(self, context: FileContext, partitions: Collection[int] | None = None) -> Iterator[BuiltFile]:
        """Like build(), one file at a time, so that only one finished file need be in memory."""
        if context.topic != self._settings.topic:
            raise ValueError(f"files of topic {self._settings.topic!r} can't be built for topic {context.topic!r}")
        wanted = self.partitions() if partitions is None else self.partitions() & set(partitions)
        spans = tuple(span for span in context.spans if partitions is None or span["partition"] in set(partitions))
        missing = wanted - {span["partition"] for span in spans}
        if missing:
            raise ValueError(f"topic {context.topic!r}: rows are held of partitions {sorted(missing)}, without a span")
        for kind, day in sorted(self._held):
            keys = sorted(where for where in self._parts if where[:2] == (kind, day) and where[2] in wanted)
            if keys:
                yield self._build_file(kind, day, keys, context, spans)

    def _build_file(
        self,
        kind: Kind,
        day: int,
        keys: list[tuple[Kind, int, int]],
        context: FileContext,
        spans: tuple[Mapping[str, Any], ...],
    ) -> BuiltFile:
        parts = self._parts_of(keys)
        dt = date_text(day)
        held = self._held[kind, day]
        rows = held.sorted_rows([part.partition for part in parts])
        schemas = rows.writers(self._decoder.writers.all) if kind == "data" else []
        footer = Footer(
            kind=kind,
            topic=context.topic,
            topic_id=context.topic_id,
            cluster_id=context.cluster_id,
            dt=dt,
            spans=spans,
            writer=context.writer,
            schemas={writer.frame: writer.schema.text for writer in schemas},
        )
        extent = Extent.of(parts)
        bounds = row_group_bounds(extent.rows)
        late = kind == "data" and dt in context.sealed
        if kind == "data":
            groups = rows.data_tables(bounds, schemas, self._decoder.writers.union, late=late)
        else:
            groups = rows.quarantine_tables(bounds)
        body = write_file(groups, footer, extent)
        return BuiltFile(
            kind=kind,
            key=f"{kind}/topic={context.topic}/dt={dt}/{self._new_id()}.parquet",
            dt=dt,
            body=body,
            bytes=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
            rows=extent.rows,
            late=extent.rows if late else 0,
            parts=tuple(parts),
        )

    def _parts_of(self, keys: list[tuple[Kind, int, int]]) -> list[Part]:
        parts: list[Part] = []
        row_start = 0
        for key in keys:
            stream = self._parts[key]
            rows = stream.digest.rows
            parts.append(Part(key[2], row_start, rows, stream.first, stream.last, stream.digest.hexdigest()))
            row_start += rows
        return parts


def _held_form(records: pa.RecordBatch, columns: pa.RecordBatch) -> pa.RecordBatch:
    """The record's columns without its value (the columns stand for it, or keep it), then the rest."""
    names = ["_partition", "_offset", "_timestamp", "_timestamp_type", "_key", "_headers"]
    meta = [*records.columns[:5], records.column(6)]
    return pa.RecordBatch.from_arrays([*meta, *columns.columns], names=[*names, *columns.schema.names])


def _step_back(topic: str, partition: int, last: int, offset: int) -> str:
    return (
        f"topic {topic!r}, partition {partition}: offset {offset} came after offset {last}. Rows of a partition must "
        "come in order; after a seek, drop() or clear() first"
    )
