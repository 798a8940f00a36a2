"""`python bench/record_batches.py`: what columns would cost if whole record batches were read, not single messages.

A trial, not the product: it fetches from one broker without TLS, knows no transactions, null keys or headers,
and gives up on what it does not know. Kafka's record (KIP-98: length, attributes, timestamp and offset deltas, key,
value, number of headers, in zigzag varints) is, byte for byte, an Avro record of these fields when key and value are
there and headers are not. So the vectorised Avro reader that decodes the events decodes the batches, too.

Both ways read the same topic, in turns; every column of every record is compared. CPU is of all threads.
"""

import argparse
import socket
import statistics
import struct
import sys
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from archive_bare import consumed
from archive_topics import fill
from bench_servers import running

from headrace.archiver.avro import WriterSchema
from headrace.archiver.avro.container import BlockReader
from headrace.archiver.kafka_records import records_of

BATCH = struct.Struct(">qiibIhiqqqhii")  # a record batch's header, 61 bytes
FETCH_BYTES = 4 << 20
DECODED_AT_ONCE = 50_000
CODECS = {0: None, 1: "gzip", 3: "lz4", 4: "zstd"}
RECORD = """{"type": "record", "name": "R", "fields": [
 {"name": "length", "type": "long"},
 {"name": "attributes", "type": {"type": "fixed", "name": "A", "size": 1}},
 {"name": "timestamp", "type": "long"}, {"name": "offset", "type": "long"},
 {"name": "key", "type": "bytes"}, {"name": "value", "type": "bytes"}, {"name": "headers", "type": "long"}]}"""


class Fetcher:
    """Fetches a topic's partitions from one broker, in turns. Kafka's protocol: Fetch v4."""

    def __init__(self, address: str, topic: str, partitions: int) -> None:
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)))
        self._topic = topic.encode()
        self.next = dict.fromkeys(range(partitions), 0)

    def batches(self) -> Iterator[tuple[int, memoryview]]:
        """Fetch once; yield (partition, its record batches)."""
        body = struct.pack(">iiiibi", -1, 500, 1, FETCH_BYTES, 1, 1)
        body += struct.pack(">h", len(self._topic)) + self._topic + struct.pack(">i", len(self.next))
        body += b"".join(struct.pack(">iqi", at, offset, FETCH_BYTES // 2) for at, offset in self.next.items())
        request = struct.pack(">hhih", 1, 4, 0, -1) + body
        self._socket.sendall(struct.pack(">i", len(request)) + request)
        answer = self._exactly(struct.unpack(">i", self._exactly(4))[0])
        at = 4 + 4 + 4 + 2 + len(self._topic)  # correlation, throttle, topics, the name
        (count,) = struct.unpack_from(">i", answer, at)
        at += 4
        for _ in range(count):
            partition, error, _, _, aborted = struct.unpack_from(">ihqqi", answer, at)
            if error or aborted > 0:
                raise RuntimeError(f"partition {partition}: error {error}, {aborted} aborted transactions")
            (size,) = struct.unpack_from(">i", answer, at + 26)
            at += 30
            yield partition, answer[at : at + size]
            at += size
        # The next answer starts at the partition that had no room in this one.
        first = next(iter(self.next))
        self.next[first] = self.next.pop(first)

    def _exactly(self, size: int) -> memoryview:
        view = memoryview(bytearray(size))
        got = 0
        while got < size:
            got += self._socket.recv_into(view[got:])
        return view


class Columns:
    """Turns record batches into columns, so many batches at once as make DECODED_AT_ONCE records."""

    def __init__(self) -> None:
        self._reader = BlockReader(WriterSchema(RECORD).root, b"")
        self._pieces: list[bytes] = []
        self._heads: list[tuple[int, int, int, int]] = []
        self.rows = 0

    def take(self, partition: int, data: memoryview) -> int | None:
        """Hold the whole batches; return the offset after the last one."""
        at, after = 0, None
        while at + BATCH.size <= len(data):
            base, length, _, magic, _, flags, last, first_ms, _, _, _, _, count = BATCH.unpack_from(data, at)
            end = at + 12 + length
            if end > len(data):
                break
            if magic != 2 or flags & 0x20:
                raise RuntimeError("an old or a control batch")
            body, codec = data[at + BATCH.size : end], CODECS[flags & 7]
            self._pieces.append(pa.input_stream(pa.py_buffer(body), codec).read() if codec else bytes(body))
            self._heads.append((partition, base, first_ms, count))
            self.rows += count
            at, after = end, base + last + 1
        return after

    def columns(self) -> list[pa.Array]:
        """Return partition, offset, timestamp, key, value of what is held, and forget it."""
        lengths = [len(piece) for piece in self._pieces]
        data = b"".join(self._pieces)
        # The block reader takes values; where they end does not matter to it, only how many there are.
        cuts = np.zeros(self.rows + 1, np.int32)
        cuts[1:] = np.linspace(0, len(data), self.rows + 1)[1:]
        read = self._reader.read(
            pa.BinaryArray.from_buffers(pa.binary(), self.rows, [None, pa.py_buffer(cuts), pa.py_buffer(data)])
        )
        heads = np.array(self._heads, np.int64)
        of = np.repeat(np.arange(len(heads)), heads[:, 3])
        if read.column("headers").to_numpy().any() or sum(lengths) != len(data):
            raise RuntimeError("records with headers")
        offsets = read.column("offset").to_numpy() + heads[of, 1]
        stamps = read.column("timestamp").to_numpy() + heads[of, 2]
        self._pieces, self._heads, self.rows = [], [], 0
        return [
            pa.array(heads[of, 0].astype(np.int32)),
            pa.array(offsets),
            pa.array(stamps),
            read.column("key"),
            read.column("value"),
        ]


def by_batches(kafka: str, topic: str, events: int, partitions: int) -> Iterator[list[pa.Array]]:
    """Yield columns made of whole record batches."""
    fetcher, columns, rows = Fetcher(kafka, topic, partitions), Columns(), 0
    while rows < events:
        for partition, data in fetcher.batches():
            before = columns.rows
            after = columns.take(partition, data)
            rows += columns.rows - before
            if after is not None:
                fetcher.next[partition] = after
        if columns.rows >= DECODED_AT_ONCE or rows >= events:
            yield columns.columns()


def by_messages(kafka: str, topic: str, events: int, partitions: int) -> Iterator[list[pa.Array]]:
    """Yield columns made of librdkafka's messages, as the product does."""
    for messages in consumed(kafka, topic, events, partitions):
        batch = records_of(topic, messages)[0].batch
        yield [batch.column(at) for at in (0, 1, 2, 4, 5)]


def sorted_table(found: list[list[pa.Array]]) -> pa.Table:
    """Put columns into the order of partition and offset."""
    names = ["partition", "offset", "timestamp", "key", "value"]
    table = pa.concat_tables([pa.table(each, names=names) for each in found])
    return table.sort_by([("partition", "ascending"), ("offset", "ascending")]).combine_chunks()


def main() -> int:
    """Read both ways in turns, compare, print."""
    parser = argparse.ArgumentParser(prog="bench/record_batches.py", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    ways = {"messages": by_messages, "record batches": by_batches}
    costs: dict[str, list[float]] = {name: [] for name in ways}
    with running() as instance:
        kafka = instance.kafka.bootstrap
        fill(kafka, "batches", arguments.events)
        for number in range(arguments.rounds):
            tables = []
            for name, way in ways.items():
                begun, cpu = time.perf_counter(), time.process_time()
                found = list(way(kafka, "batches", arguments.events, 4))
                cpu = (time.process_time() - cpu) * 1e6 / arguments.events
                wall = (time.perf_counter() - begun) * 1e6 / arguments.events
                costs[name].append(cpu)
                print(f"{name}: {cpu:.3f} us of CPU a record, {wall:.3f} by the clock", flush=True)
                if not number:
                    tables.append(sorted_table(found))
            if not number and not tables[0].equals(tables[1]):
                raise RuntimeError("the two ways do not give the same columns")
    ratios = [new / old for old, new in zip(*costs.values(), strict=True)]
    print(f"record batches cost {statistics.median(ratios):.2f} of messages ({min(ratios):.2f} to {max(ratios):.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
