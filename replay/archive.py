"""The data engineers' Python: `headrace.replay.open("s3://bucket/prefix").read("pin", from_=..., to=...)`.

A read is pinned to the snapshot that was newest when it was made, so that it gives the same each time it is iterated.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import pyarrow as pa

from headrace.archiver.commit_log import topics_of
from headrace.archiver.object_store import ObjectStore
from headrace.archiver.records import Headers

from .checkpoint_range import checkpoint_name
from .columns import Columns, plan_schema
from .fsspec_store import FsspecStore
from .pieces import pieces
from .plan import Plan
from .reader import Chunk, Reading, open_reading
from .selection import parse_selection

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

RECORDS_AT_ONCE = 5_000
BYTES_AT_ONCE = 8 << 20
BATCH_ROWS_MAX = 131_072

Bound: TypeAlias = int | str | datetime | None
"""An offset, a time with a zone ("2026-11-23T10:00:00Z" or a datetime), "checkpoint:NAME", or no limit."""


class Record(NamedTuple):
    """A record as Kafka gave it. `timestamp`: milliseconds since 1970, -1 none; `timestamp_type`: Kafka's ids."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Records:
    """What a read gives, as often as it is asked: whole records, Arrow, DuckDB or pandas; always in the plan's order.

    Every part is checked against its digest, and every way raises at the end unless all of the plan was read:
    ArchiveDamaged, NothingChecked, StoreError. `digests` False checks only the objects' SHA-256 and page checksums,
    which is enough unless the log itself was changed, and costs less than half; then there are no whole records.
    """

    def __init__(self, store: ObjectStore, plan: Plan, *, digests: bool, allow_empty: bool) -> None:
        self._store = store
        self._digests = digests
        self._allow_empty = allow_empty
        self._columns: Columns | None = None
        self.plan = plan

    @property
    def snapshot(self) -> int:
        """The log entry after which this reads: `at=` of a later read gives the same records."""
        return self.plan.snapshot

    def __iter__(self) -> Iterator[Record]:
        """Yield each record as it was, with its key, value and headers as bytes."""
        if not self._digests:
            raise ValueError("whole records are checked against their digests: read() them without digests=False")
        topic = self.plan.topic
        for chunk in Reading(self._store, self.plan, allow_empty=self._allow_empty).chunks():
            for _, piece in pieces(chunk.records, rows_max=RECORDS_AT_ONCE, bytes_max=BYTES_AT_ONCE):
                *plain, headers = (column.to_pylist() for column in piece.columns)
                for *row, pairs in zip(*plain, headers, strict=True):
                    yield Record._make((topic, *row, [(each["name"], each["value"]) for each in pairs]))

    @property
    def schema(self) -> pa.Schema:
        """The decoded columns, `_partition`, `_offset`, `_timestamp`..., and `dt`: the union over all files."""
        return self._wanted().schema

    def _wanted(self) -> Columns:
        if self._columns is None:
            self._columns = Columns(plan_schema(self._store, self.plan))
        return self._columns

    def _chunks(self) -> Iterator[Chunk]:
        columns = self._wanted()
        yield from Reading(
            self._store, self.plan, columns=columns, digests=self._digests, allow_empty=self._allow_empty
        ).chunks()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the decoded columns, record by record in rows, batch after batch; memory stays flat."""
        for chunk in self._chunks():
            if chunk.table is not None:
                yield from chunk.table.to_batches(BATCH_ROWS_MAX)

    def reader(self) -> pa.RecordBatchReader:
        """Return the batches for whoever takes Arrow streams; it can be read once."""
        return pa.RecordBatchReader.from_batches(self.schema, self.batches())

    def arrow(self) -> pa.Table:
        """Return everything in memory."""
        return pa.Table.from_batches(self.batches(), schema=self.schema)

    def duckdb(self, connection: "duckdb.DuckDBPyConnection | None" = None) -> "duckdb.DuckDBPyRelation":
        """Return a DuckDB relation over everything, in memory; it can be queried again and again."""
        import duckdb  # noqa: PLC0415 - only who asks for it needs it

        return (connection or duckdb.connect()).from_arrow(self.arrow())

    def pandas(self) -> "pd.DataFrame":
        """Return a pandas frame with Arrow's types, so that whole numbers with nulls stay whole numbers."""
        import pandas as pd  # noqa: PLC0415 - only who asks for it needs it

        frame: pd.DataFrame = self.arrow().to_pandas(types_mapper=pd.ArrowDtype)
        return frame


class Archive:
    """An archive opened for reading."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def topics(self) -> list[str]:
        """Return the topics that are archived. Raises StoreError."""
        return topics_of(self.store)

    def read(
        self,
        topic: str,
        *,
        from_: Bound = None,
        to: Bound = None,
        tz: str | None = None,
        partitions: Sequence[int] = (),
        dt: str | Sequence[str] = (),
        keys: Sequence[bytes] = (),
        where: str | None = None,
        at: int | None = None,
        digests: bool = True,
        allow_empty: bool = False,
    ) -> Records:
        """Choose records of a topic; nothing but the log is read yet.

        The arguments mean what `headrace replay` means by its options. Raises RequestRefused, TopicUnknown,
        RangeMissing, StoreError, LogCorrupt, LogTooNew, LogViolation.
        """
        checkpoints = checkpoint_name(_text(from_)), checkpoint_name(_text(to))
        selection = parse_selection(
            from_=None if checkpoints[0] else _text(from_),
            to=None if checkpoints[1] else _text(to),
            tz=tz,
            partitions=partitions,
            dates=[dt] if isinstance(dt, str) else dt,
            keys=keys,
            where=where,
        )
        plan = open_reading(self.store, topic, selection, at=at, checkpoints=checkpoints).plan
        return Records(self.store, plan, digests=digests, allow_empty=allow_empty)


def _text(bound: Bound) -> str | None:
    if isinstance(bound, datetime):
        return bound.isoformat()
    return None if bound is None else str(bound)


def open_archive(archive: str | ObjectStore, **options: Any) -> Archive:
    """Open an archive: its URL (s3://bucket/prefix, a folder, any URL of fsspec), or an object store.

    S3's endpoint and credentials come from the usual AWS_... variables; `options` go to fsspec's filesystem.
    """
    return Archive(FsspecStore(archive, **options) if isinstance(archive, str) else archive)
