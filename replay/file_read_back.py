"""Reads files that a replay wrote back into records, for comparing them with their receipt."""

import itertools
import json
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.archiver.records import RECORD_SCHEMA, record_batch

BATCH_ROWS = 5_000


def records_of(kind: str, path: Path) -> Iterator[pa.RecordBatch]:
    """Yield a file's records in RECORD_SCHEMA, in their order.

    `kind`: jsonl (raw), avro or parquet. Raises ValueError, KeyError, OSError and ArrowException for what is not such a
    file.
    """
    if kind == "parquet":
        columns = [f"_{name}" for name in RECORD_SCHEMA.names]
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=columns, use_threads=False):
                arrays = [batch.column(f"_{field.name}").cast(field.type) for field in RECORD_SCHEMA]
                yield pa.RecordBatch.from_arrays(arrays, schema=RECORD_SCHEMA)
        return
    with path.open("rb") as stream:
        rows: Iterable[Any] = fastavro.reader(stream) if kind == "avro" else (_line(line) for line in stream)
        iterator = iter(rows)
        while some := list(itertools.islice(iterator, BATCH_ROWS)):
            yield _batch(some)


def _line(line: bytes) -> Mapping[str, Any]:
    value: dict[str, Any] = json.loads(line)
    value["key"], value["value"] = _bytes(value["key"]), _bytes(value["value"])
    value["headers"] = [{"name": name, "value": _bytes(text)} for name, text in value["headers"]]
    return value


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text, validate=True)


def _batch(rows: list[Mapping[str, Any]]) -> pa.RecordBatch:
    headers = [[(each["name"], each["value"]) for each in row["headers"]] for row in rows]
    return record_batch(
        [row["partition"] for row in rows],
        [row["offset"] for row in rows],
        [row["timestamp"] for row in rows],
        [row["timestamp_type"] for row in rows],
        [row["key"] for row in rows],
        [row["value"] for row in rows],
        headers,
    )


def by_partition(records: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the runs of rows that are of one partition."""
    partitions = records.column("partition").to_pylist()
    start = 0
    for partition, run in itertools.groupby(partitions):
        count = sum(1 for _ in run)
        yield partition, records.slice(start, count)
        start += count
