"""The limit: the archiver's steps alone, one after the other, each as little Python as does it. CPU of all threads.

No group, no log, no limits on memory, nothing held, sorted, or put together from several batches.
"""

import gc
import io
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
from archive_topics import Kind
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from headrace.archiver.avro import WriterSchema
from headrace.archiver.avro.container import BlockReader
from headrace.archiver.avro.proof import proves_canonical
from headrace.archiver.flush_buffer_rows import runs_of, sorted_by_partition
from headrace.archiver.kafka_records import records_of
from headrace.archiver.part_digest import DigestColumns, PartDigest
from headrace.archiver.s3 import S3Store
from headrace.archiver.topic_decoder_frames import group_by_frame

Step = Callable[[str], AbstractContextManager[None]]
STEPS = ("consume", "columns", "decode", "verify", "Parquet", "upload")
POLL, DECODED_AT_ONCE, GROUP_ROWS = 10_000, 50_000, 131_072
PLAIN = ("event_id", "seq", "user_id", "pin_id", "_key", "stack", "message")
DELTA = ("occurred_at", "_offset", "_timestamp")


def measure_bare(kafka: str, topic: str, events: int, kind: Kind, partitions: int) -> dict[str, float]:
    """Return microseconds of CPU a record, by step."""
    costs = dict.fromkeys(STEPS, 0.0)

    @contextmanager
    def step(name: str) -> Iterator[None]:
        begun = time.process_time()
        yield
        costs[name] += (time.process_time() - begun) * 1e6 / events

    gc.collect()
    gc.disable()
    batches: list[pa.RecordBatch] = []
    for messages in _consumed(kafka, topic, events, partitions, step):
        with step("columns"):
            batches.append(records_of(topic, messages)[0].batch)
    readers = {frame: WriterSchema(text).root for frame, text in kind.schemas.items()}
    blocks = {frame: BlockReader(root, frame) for frame, root in readers.items()}
    digests: dict[int, PartDigest] = defaultdict(PartDigest)
    tables: dict[bytes, list[pa.RecordBatch]] = defaultdict(list)
    for batch in _joined(batches):
        with step("verify"):
            ordered = sorted_by_partition(batch)
        values = ordered.column(5)
        with step("decode"):
            groups = group_by_frame(values).groups
        for group in groups:
            with step("decode"):
                mine = values if group.positions is None else values.take(pa.array(group.positions))
                columns = blocks[group.frame].read(mine)
            with step("verify"):
                if not proves_canonical(readers[group.frame], group.frame, columns, mine):
                    raise RuntimeError("what was read is not what would be written")
            meta = ordered if group.positions is None else ordered.take(pa.array(group.positions))
            named = [*columns.schema.names, "_partition", "_offset", "_timestamp", "_key", "_headers"]
            extra = [meta.column(n) for n in (0, 1, 2, 4, 6)]
            tables[group.frame].append(pa.RecordBatch.from_arrays([*columns.columns, *extra], names=named))
        with step("verify"):
            laid_out = DigestColumns(ordered)
            for partition, start, stop in runs_of(ordered.column(0).to_numpy()):
                digests[partition].update_range(laid_out, start, stop)
    del batches
    bodies: list[bytes] = []
    for several in tables.values():
        with step("Parquet"):
            bodies.append(_parquet(pa.Table.from_batches(several)))
    gc.enable()
    store = S3Store(os.environ["HEADRACE_ARCHIVE"] + "/bare")
    for body in bodies:
        with step("upload"):
            store.put_if_absent(f"{topic}-{os.urandom(8).hex()}", body)
    return costs


def _consumed(kafka: str, topic: str, events: int, partitions: int, step: Step) -> Iterator[list[Message]]:
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


def _joined(batches: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the same rows in batches as large as are good for decoding; not counted, as it could be done before."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= DECODED_AT_ONCE:
            yield pa.concat_batches(waiting)
            waiting, rows = [], 0
    if waiting:
        yield pa.concat_batches(waiting)


def _parquet(table: pa.Table) -> bytes:
    names = table.schema.names
    delta = [name for name in DELTA if name in names]
    sink = io.BytesIO()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in names if name not in PLAIN and name not in delta],
        column_encoding=dict.fromkeys(delta, "DELTA_BINARY_PACKED"),
        write_statistics=["_partition", "_offset", "occurred_at"],
        write_page_checksum=True,
        store_schema=False,
    ) as writer:
        for start in range(0, table.num_rows, GROUP_ROWS):
            writer.write_table(table.slice(start, GROUP_ROWS), row_group_size=GROUP_ROWS)
    return sink.getvalue()
