"""The limit: the archiver's steps alone, one after the other, each as little Python as does it. CPU of all threads.

Consuming is measured both ways: librdkafka's messages as columns ("consume", "columns"), and record batches as columns
("batches"), which is what the archiver does unless told otherwise.

No group, no log, no limits on memory, nothing held, sorted, or put together from several batches.
"""

import gc
import io
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from archive_topics import DAY_US, Kind
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from headrace.archiver.avro import WriterSchema
from headrace.archiver.avro.container import BlockReader
from headrace.archiver.avro.proof import proves_canonical
from headrace.archiver.batch_columns import BatchColumns, Fetched
from headrace.archiver.batch_source import limits_of
from headrace.archiver.broker_connection import BrokerConnection
from headrace.archiver.fetcher import Fetcher
from headrace.archiver.flush_buffer_rows import runs_of, sorted_by_partition
from headrace.archiver.kafka_records import records_of
from headrace.archiver.part_digest import DigestColumns, PartDigest
from headrace.archiver.s3 import S3Store
from headrace.archiver.source import Start
from headrace.archiver.source import TopicPartition as Place
from headrace.archiver.topic_decoder_frames import group_by_frame

Where = tuple[bytes, int]  # a frame and a day
Step = Callable[[str], AbstractContextManager[None]]
STEPS = ("consume", "columns", "decode", "verify", "Parquet", "upload")
POLL, DECODED_AT_ONCE, GROUP_ROWS = 10_000, 50_000, 131_072
PLAIN = ("event_id", "seq", "user_id", "pin_id", "_key", "stack", "message")
DELTA = ("occurred_at", "_offset", "_timestamp")


def measure_bare(
    kafka: str, topic: str, events: int, kind: Kind, partitions: int, *, dates: int = 1
) -> dict[str, float]:
    """Return microseconds of CPU a record, by step. No more is kept at once than a worker keeps.

    Events of several dates make a file for each: to part them belongs to the work, and counts as Parquet.
    """
    costs = dict.fromkeys(STEPS, 0.0)

    @contextmanager
    def step(name: str) -> Iterator[None]:
        begun = time.process_time()
        yield
        costs[name] += (time.process_time() - begun) * 1e6 / events

    bare = _Bare(kind, step, by_date=dates > 1)
    waiting: list[pa.RecordBatch] = []
    rows = 0
    gc.collect()
    gc.disable()
    for messages in consumed(kafka, topic, events, partitions, step):
        with step("columns"):
            waiting.append(records_of(topic, messages)[0].batch)
        rows += len(messages)
        if rows >= DECODED_AT_ONCE:
            bare.take(pa.concat_batches(waiting))  # not counted: a client could hand out as many at once
            waiting, rows = [], 0
    if waiting:
        bare.take(pa.concat_batches(waiting))
    gc.enable()
    store = S3Store(os.environ["HEADRACE_ARCHIVE"] + "/bare")
    for body in bare.files():
        with step("upload"):
            store.put_if_absent(f"{topic}-{os.urandom(8).hex()}", body)
    return costs


def measure_batches(kafka: str, topic: str, events: int, partitions: int) -> float:
    """Return microseconds of CPU a record for fetching record batches and making columns of them, nothing else."""
    config = {"bootstrap.servers": kafka}
    fetcher = Fetcher(
        kafka,
        lambda broker: BrokerConnection(broker, config, context=None, random_bytes=os.urandom),
        limits_of(config),
        monotonic=time.monotonic,
        warn=print,
        denied=print,
    )
    columns, rows = BatchColumns(), 0
    gc.collect()
    gc.disable()
    begun = time.process_time()
    fetcher.assign({Place(topic, partition): Start(0) for partition in range(partitions)})
    while rows < events:
        waiting: list[Fetched] = []
        held = 0
        while held < DECODED_AT_ONCE and rows + held < events:
            fetcher.work(0.1)
            while (arrived := fetcher.take()) is not None:
                number, floor = arrived.partition.partition, arrived.floor
                waiting += [Fetched(number, floor, each, each.decompressed()) for each in arrived.batches]
                held += sum(each.records for each in arrived.batches)
        rows += columns.decode(topic, waiting)[0].batch.num_rows
    took = time.process_time() - begun
    gc.enable()
    fetcher.close()
    return took * 1e6 / events


class _Bare:
    """Decodes, verifies, and writes a Parquet file for each schema and date, a row group as soon as it is full."""

    def __init__(self, kind: Kind, step: Step, *, by_date: bool) -> None:
        self._step = step
        self._by_date = by_date
        self._readers = {frame: WriterSchema(text).root for frame, text in kind.schemas.items()}
        self._blocks = {frame: BlockReader(root, frame) for frame, root in self._readers.items()}
        self._digests: dict[int, PartDigest] = defaultdict(PartDigest)
        self._groups: dict[Where, list[pa.RecordBatch]] = defaultdict(list)
        self._waiting: dict[bytes, int] = defaultdict(int)
        self._files: dict[Where, tuple[io.BytesIO, pq.ParquetWriter]] = {}

    def take(self, batch: pa.RecordBatch) -> None:
        """Take the records of a batch through the steps."""
        with self._step("verify"):
            ordered = sorted_by_partition(batch)
        values = ordered.column(5)
        with self._step("decode"):
            groups = group_by_frame(values).groups
        for group in groups:
            with self._step("decode"):
                mine = values if group.positions is None else values.take(pa.array(group.positions))
                columns = self._blocks[group.frame].read(mine)
            with self._step("verify"):
                if not proves_canonical(self._readers[group.frame], group.frame, columns, mine):
                    raise RuntimeError("what was read is not what would be written")
            meta = ordered if group.positions is None else ordered.take(pa.array(group.positions))
            named = [*columns.schema.names, "_partition", "_offset", "_timestamp", "_key", "_headers"]
            extra = [meta.column(n) for n in (0, 1, 2, 4, 6)]
            with self._step("Parquet"):
                for day, rows in self._parted(pa.RecordBatch.from_arrays([*columns.columns, *extra], names=named)):
                    self._groups[group.frame, day].append(rows)
            self._waiting[group.frame] += len(mine)
            if self._waiting[group.frame] >= GROUP_ROWS:
                self._write(group.frame)
        with self._step("verify"):
            laid_out = DigestColumns(ordered)
            for partition, start, stop in runs_of(ordered.column(0).to_numpy()):
                self._digests[partition].update_range(laid_out, start, stop)

    def _parted(self, rows: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield (day, its rows)."""
        if not self._by_date:
            yield 0, rows
            return
        days = rows.column("occurred_at").cast(pa.int64()).to_numpy() // DAY_US
        order = np.argsort(days, kind="stable")
        rows = rows.take(pa.array(order))
        for day, start, stop in runs_of(days[order]):
            yield day, rows.slice(start, stop - start)

    def _write(self, frame: bytes) -> None:
        with self._step("Parquet"):
            for where in [each for each in self._groups if each[0] == frame]:
                table = pa.Table.from_batches(self._groups.pop(where))
                if where not in self._files:
                    sink = io.BytesIO()
                    self._files[where] = (sink, _writer(sink, table.schema))
                self._files[where][1].write_table(table, row_group_size=table.num_rows)
        self._waiting[frame] = 0

    def files(self) -> Iterator[bytes]:
        """Finish and return the files, one after the other."""
        for frame in list(self._waiting):
            self._write(frame)
        for sink, writer in self._files.values():
            with self._step("Parquet"):
                writer.close()
            yield sink.getvalue()


def consumed(
    kafka: str, topic: str, events: int, partitions: int, step: Step = lambda _name: nullcontext()
) -> Iterator[list[Message]]:
    """Yield the topic's messages, read with nothing but the client."""
    consumer = Consumer(
        {"bootstrap.servers": kafka, "group.id": "bench", "enable.partition.eof": True, "fetch.queue.backoff.ms": 20}
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    read = 0
    while read < events:
        with step("consume"):
            messages = consumer.consume(POLL, 1.0)
            if any(map(Message.error, messages)):
                _refuse_errors(messages)
                messages = [message for message in messages if message.error() is None]
        read += len(messages)
        if messages:
            yield messages
        with step("consume"):
            del messages
    consumer.close()


def _refuse_errors(messages: list[Message]) -> None:
    for message in messages:
        problem = message.error()
        if problem is not None and problem.code() != KafkaError._PARTITION_EOF:
            raise RuntimeError(problem.str())


def _writer(sink: io.BytesIO, schema: pa.Schema) -> pq.ParquetWriter:
    delta = [name for name in DELTA if name in schema.names]
    return pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in schema.names if name not in PLAIN and name not in delta],
        column_encoding=dict.fromkeys(delta, "DELTA_BINARY_PACKED"),
        write_statistics=["_partition", "_offset", "occurred_at"],
        write_page_checksum=True,
        store_schema=False,
    )
