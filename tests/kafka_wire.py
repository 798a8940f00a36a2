"""Produces records that no client library lets through: header names that are not UTF-8, timestamps of 0 and -1, and
batches in another producer's name.

Speaks just enough of Kafka's protocol for that: Produce version 7 with one record batch of format v2, to one broker.
Sources: https://kafka.apache.org/protocol.html and https://kafka.apache.org/documentation/#recordbatch.
"""

import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

PRODUCE, PRODUCE_VERSION = 0, 7
ANSWER_TIMEOUT_S = 60.0
NOT_READY = {3, 5, 6}  # unknown topic or partition, no leader, not the leader: a new topic, for some moments
NOT_READY_S_MAX = 15.0


@dataclass(frozen=True)
class WireRecord:
    """A record as bytes; `timestamp` in milliseconds, any 64-bit value that the topic admits."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[bytes, bytes | None]] = ()
    timestamp: int = -1


NOBODY = (-1, -1, -1)
"""Producer id, epoch and first sequence number of a producer that is not idempotent."""


class BrokerRefused(Exception):
    """The broker answered a produce request with an error code."""


def produce_on_the_wire(
    kafka: str, topic: str, partition: int, records: Sequence[WireRecord], *, producer: tuple[int, int, int] = NOBODY
) -> int:
    """Write one batch to the partition, whose leader is at `kafka` (host:port); return its first offset.

    `producer`: id, epoch and the sequence number of the first record.
    """
    deadline = time.monotonic() + NOT_READY_S_MAX
    while True:
        error, offset = _produce(kafka, topic, partition, _batch(records, producer))
        if not error:
            return offset
        if error not in NOT_READY or time.monotonic() > deadline:
            raise BrokerRefused(f"producing to {topic}/{partition}: Kafka's error code {error}")
        time.sleep(0.1)


def _produce(kafka: str, topic: str, partition: int, batch: bytes) -> tuple[int, int]:
    """Send one request; return the error code and the batch's first offset."""
    body = struct.pack(">hhih", PRODUCE, PRODUCE_VERSION, 1, -1)  # the header, without a client id
    body += struct.pack(">hhi", -1, -1, 10_000)  # no transaction, acks from all, time-out
    body += struct.pack(">i", 1) + _string(topic) + struct.pack(">iii", 1, partition, len(batch)) + batch
    host, _, port = kafka.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=ANSWER_TIMEOUT_S) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        answer = _read(connection, struct.unpack(">i", _read(connection, 4))[0])
    start = 4 + 4 + 2 + len(topic.encode()) + 4  # correlation id, one topic, its name, one partition
    _, error, offset = struct.unpack_from(">ihq", answer, start)
    return int(error), int(offset)


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionError(f"the broker closed the connection after {len(data)} of {size} bytes")
        data += piece
    return data


def _batch(records: Sequence[WireRecord], producer: tuple[int, int, int]) -> bytes:
    base = records[0].timestamp
    body = b"".join(_record(index, record, base) for index, record in enumerate(records))
    newest = max(record.timestamp for record in records)
    counted = struct.pack(">hiqqqhii", 0, len(records) - 1, base, newest, *producer, len(records)) + body
    checked = struct.pack(">ib", -1, 2) + struct.pack(">I", _crc32c(counted)) + counted
    return struct.pack(">qi", 0, len(checked)) + checked


def _record(index: int, record: WireRecord, base: int) -> bytes:
    body = b"\0" + _varint(record.timestamp - base) + _varint(index) + _sized(record.key) + _sized(record.value)
    body += _varint(len(record.headers))
    for name, value in record.headers:
        body += _sized(name) + _sized(value)
    return _varint(len(body)) + body


def _sized(data: bytes | None) -> bytes:
    return _varint(-1) if data is None else _varint(len(data)) + data


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text.encode())) + text.encode()


def _varint(number: int) -> bytes:
    left = (number << 1 ^ number >> 63) & 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*out, left])


def _crc32c(data: bytes) -> int:
    crc = 0xFFFF_FFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F6_3B78 if crc & 1 else 0)
    return crc ^ 0xFFFF_FFFF
