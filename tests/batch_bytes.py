"""Record batches as bytes, as brokers send them: made by hand, with kafka-python's CRC-32C as the independent one."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
from kafka.record.util import calc_crc32c
from kafka_wire import WireRecord, _record

CODECS = {None: 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
BY_APPEND, TRANSACTIONAL, CONTROL = 8, 16, 32


@dataclass(frozen=True)
class Made:
    """A batch to be. `deltas`: the offsets of its records, relative; `slots`: how many offsets it takes up."""

    base: int
    records: Sequence[WireRecord]
    codec: str | None = None
    flags: int = 0
    epoch: int = 0
    producer: int = -1
    first_ms: int = 1_700_000_000_000
    newest_ms: int = 1_700_000_009_999
    deltas: Sequence[int] | None = None
    slots: int | None = None

    def encode(self) -> bytes:
        """Return the batch."""
        deltas = range(len(self.records)) if self.deltas is None else self.deltas
        last = (self.slots or len(self.records)) - 1
        body = b"".join(_record(delta, each, self.first_ms) for delta, each in zip(deltas, self.records, strict=True))
        head = struct.pack(
            ">hiqqqhi", CODECS[self.codec] | self.flags, last, self.first_ms, self.newest_ms, self.producer, 0, 0
        )
        counted = head + struct.pack(">i", len(self.records)) + packed(self.codec, body)
        checked = struct.pack(">ib", self.epoch, 2) + struct.pack(">I", calc_crc32c(counted)) + counted
        return struct.pack(">qi", self.base, len(checked)) + checked

    def having(self, **fields: object) -> "Made":
        """Return another with some fields changed."""
        return replace(self, **fields)  # type: ignore[arg-type]


def packed(codec: str | None, body: bytes) -> bytes:
    """Return a text compressed as Kafka's clients do it; snappy in snappy-java's blocks, two of them."""
    if codec is None:
        return body
    if codec == "snappy":
        blocks = [
            pa.compress(part, codec="snappy", asbytes=True) for part in (body[: len(body) // 2], body[len(body) // 2 :])
        ]
        return b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1) + b"".join(struct.pack(">i", len(b)) + b for b in blocks)
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as out:
        out.write(body)
    return bytes(sink.getvalue())


def marker(base: int, producer: int, *, commit: bool) -> bytes:
    """Return the control batch that ends a transaction."""
    record = WireRecord(struct.pack(">hh", 0, int(commit)), struct.pack(">hi", 0, 0), (), 1_700_000_000_000)
    return Made(base, [record], flags=TRANSACTIONAL | CONTROL, producer=producer).encode()
