"""Files that a replay writes: JSON lines, Avro container files, Parquet. Each appears whole or not at all.

All but decoded JSON lines hold every record exactly; docs/replay.md says in which columns and fields. A file of the
same plan has the same bytes each time.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, cast

import pyarrow as pa
import pyarrow.parquet as pq
from fastavro.write import Writer

from headrace.archiver.records import RECORD_SCHEMA

from .errors import RequestRefused
from .json_lines import JsonLines, LineFormat
from .line_file import LineFile
from .pieces import pieces
from .reader import Chunk
from .replay_plan import PlannedTarget

AVRO_BLOCK_BYTES = 1 << 20
AVRO_PIECE_ROWS = 5_000
AVRO_PIECE_BYTES = 4 << 20
PARQUET_GROUP_ROWS = 65_536
PARQUET_GROUP_BYTES = 64 << 20

AVRO_SCHEMA: Mapping[str, Any] = {
    "type": "record",
    "name": "Record",
    "namespace": "headrace",
    "fields": [
        {"name": "topic", "type": "string"},
        {"name": "partition", "type": "int"},
        {"name": "offset", "type": "long"},
        {"name": "timestamp", "type": "long"},
        {"name": "timestamp_type", "type": "int"},
        {"name": "key", "type": ["null", "bytes"]},
        {"name": "value", "type": ["null", "bytes"]},
        {
            "name": "headers",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Header",
                    "fields": [{"name": "name", "type": "string"}, {"name": "value", "type": ["null", "bytes"]}],
                },
            },
        },
    ],
}


class RecordFile(Protocol):
    """A file that takes a reading's chunks; a context manager, like the LineFile that it writes to."""

    def write(self, chunk: Chunk) -> None:
        """Append a chunk's records."""
        ...

    def finish(self) -> None:
        """Write what must stand at the end. The last call."""
        ...

    def abandon(self) -> None:
        """Let go of what is held; the file is given up."""
        ...


class LinesFile:
    """JSON lines, a record each."""

    def __init__(self, topic: str, form: LineFormat, write: Callable[[bytes], object]) -> None:
        self._lines = JsonLines(topic, form)
        self._write = write

    def write(self, chunk: Chunk) -> None:
        """Append."""
        for piece in self._lines.lines(chunk):
            self._write(piece)

    def finish(self) -> None:
        """Nothing is left."""

    def abandon(self) -> None:
        """Nothing is held."""


class AvroFile:
    """An Avro container file of records as Kafka has them, values as bytes: AVRO_SCHEMA, deflate."""

    def __init__(self, topic: str, file: LineFile, sync_marker: bytes) -> None:
        self._topic = topic
        self._writer = Writer(
            cast("Any", file),  # it writes and flushes, and that is all that is asked of it
            dict(AVRO_SCHEMA),
            codec="deflate",
            sync_interval=AVRO_BLOCK_BYTES,
            sync_marker=sync_marker,
            compression_level=1,
        )

    def write(self, chunk: Chunk) -> None:
        """Append."""
        for _, piece in pieces(chunk.records, rows_max=AVRO_PIECE_ROWS, bytes_max=AVRO_PIECE_BYTES):
            for record in piece.to_pylist():
                self._writer.write({"topic": self._topic, **record})

    def finish(self) -> None:
        """Write the last block."""
        self._writer.flush()

    def abandon(self) -> None:
        """Nothing is held but memory."""


class ParquetFile:
    """Parquet: the records' columns under the archive's names, `_value` always whole, and the decoded columns.

    `schema` is that of the decoded columns, None for records alone.
    """

    def __init__(self, file: LineFile, schema: pa.Schema | None) -> None:
        own = [pa.field(f"_{field.name}", field.type) for field in RECORD_SCHEMA]
        self._decoded = (
            []
            if schema is None
            else [n for n in schema.names if n.removeprefix("_") == n or n[1:] not in RECORD_SCHEMA.names]
        )
        decoded = [] if schema is None else [schema.field(name) for name in self._decoded]
        self._schema = pa.schema([*decoded, *own])
        self._waiting: list[pa.Table] = []
        self._rows = self._bytes = 0
        self._writer = pq.ParquetWriter(
            pa.PythonFile(file, "w"), self._schema, compression="zstd", write_page_checksum=True, version="2.6"
        )

    def write(self, chunk: Chunk) -> None:
        """Append; a row group is written when enough rows wait."""
        decoded = [] if chunk.table is None else [chunk.table.column(name) for name in self._decoded]
        table = pa.Table.from_arrays([*decoded, *chunk.records.columns], schema=self._schema)
        self._waiting.append(table)
        self._rows += table.num_rows
        self._bytes += table.nbytes
        if self._rows >= PARQUET_GROUP_ROWS or self._bytes >= PARQUET_GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=PARQUET_GROUP_ROWS)
        self._waiting, self._rows, self._bytes = [], 0, 0

    def finish(self) -> None:
        """Write the last rows and the footer."""
        self._write_group()
        self._writer.close()

    def abandon(self) -> None:
        """Close the writer, into nothing."""
        self._waiting = []
        self._writer.close()


class FileTarget:
    """One topic's file: opened under a temporary name, in its place when the block ends without an exception."""

    def __init__(
        self, topic: str, target: PlannedTarget, *, schema: pa.Schema | None, marker: bytes, overwrite: bool
    ) -> None:
        self.file = LineFile(Path(target.name), overwrite=overwrite)
        try:
            self.records: RecordFile = _record_file(topic, target, self.file, schema, marker)
        except BaseException as error:
            self.file.__exit__(type(error), error, error.__traceback__)
            raise

    def __enter__(self) -> Self:
        self.file.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self.file.__exit__(kind, error, at)
            self.records.abandon()
            return
        try:
            self.records.finish()
        except BaseException as problem:
            self.file.__exit__(type(problem), problem, problem.__traceback__)
            raise
        self.file.__exit__(None, None, None)


def _record_file(
    topic: str, target: PlannedTarget, file: LineFile, schema: pa.Schema | None, marker: bytes
) -> RecordFile:
    match target.kind:
        case "jsonl":
            return LinesFile(topic, cast("LineFormat", target.form), file.write)
        case "avro":
            return AvroFile(topic, file, marker)
        case "parquet":
            return ParquetFile(file, schema)
    raise RequestRefused(f"a target of kind {target.kind} is no file")
