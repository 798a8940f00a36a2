"""The few requests of Kafka's protocol that fetching takes, as bytes: ApiVersions, Metadata, Fetch, and SASL's two.

Versions: Fetch 12 (Kafka 2.7 and later) is the first that compares leader epochs in the fetch itself (KIP-595), and
names topics, not ids. Metadata 8 tells leader epochs without being written in the newer, compact way. Source:
https://kafka.apache.org/protocol.html.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .source import TopicPartition

FETCH, METADATA, SASL_HANDSHAKE, API_VERSIONS, SASL_AUTHENTICATE = 1, 3, 17, 18, 36
VERSIONS = {FETCH: 12, METADATA: 8, SASL_HANDSHAKE: 1, API_VERSIONS: 0, SASL_AUTHENTICATE: 0}
"""The version of each request that is sent."""
READ_COMMITTED = 1
_CONSUMER = -1


class ProtocolError(Exception):
    """An answer is not what the protocol says, or the broker refuses. The message says what."""


class Broker(NamedTuple):
    """Where a broker listens."""

    host: str
    port: int


class Leader(NamedTuple):
    """Who leads a partition, and since which epoch; node -1: nobody."""

    node: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the metadata say: `errors` by topic, where it has one."""

    brokers: Mapping[int, Broker]
    leaders: Mapping[TopicPartition, Leader]
    errors: Mapping[str, int]


class Wanted(NamedTuple):
    """What to fetch of a partition. Epochs -1: not known, not compared."""

    partition: TopicPartition
    offset: int
    leader_epoch: int
    fetched_epoch: int


class Limits(NamedTuple):
    """How long a broker waits for a first byte, and how much it sends at most, in all and of each partition."""

    wait_ms: int
    bytes_max: int
    partition_bytes_max: int


class Diverged(NamedTuple):
    """Where the log's history parts from the one that was fetched."""

    epoch: int
    end: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a broker says of one partition. `aborted`: (producer id, first offset)."""

    partition: TopicPartition
    error: int
    last_stable: int
    aborted: Sequence[tuple[int, int]]
    diverged: Diverged | None
    records: memoryview


def framed(api: int, correlation: int, client: str, body: bytes) -> bytes:
    """Return a request with its size in front."""
    head = struct.pack(">hhi", api, VERSIONS[api], correlation) + text16(client)
    if api == FETCH:
        head += b"\0"  # no tagged fields: the newer header
    return struct.pack(">i", len(head) + len(body)) + head + body


def text16(text: str) -> bytes:
    """Return a text with its size in two bytes."""
    data = text.encode()
    return struct.pack(">h", len(data)) + data


def bytes32(data: bytes) -> bytes:
    """Return bytes with their size in four bytes."""
    return struct.pack(">i", len(data)) + data


def _compact(text: str) -> bytes:
    data = text.encode()
    return _unsigned(len(data) + 1) + data


def _unsigned(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


_PARTITION = struct.Struct(">iiqiqi")


def fetch_request(wanted: Sequence[Wanted], limits: Limits) -> bytes:
    """Return the body of a Fetch request, without a session; partitions of a topic together, in the order given."""
    by_topic: dict[str, list[bytes]] = {}
    for (topic, number), offset, epoch, fetched in wanted:
        packed = _PARTITION.pack(number, epoch, offset, fetched, -1, limits.partition_bytes_max) + b"\0"
        by_topic.setdefault(topic, []).append(packed)
    head = struct.pack(">iiiibii", _CONSUMER, limits.wait_ms, 1, limits.bytes_max, READ_COMMITTED, 0, -1)
    topics = [
        _compact(topic) + _unsigned(len(partitions) + 1) + b"".join(partitions) + b"\0"
        for topic, partitions in by_topic.items()
    ]
    # Nothing is forgotten of a session, no rack, no tagged fields.
    return head + _unsigned(len(topics) + 1) + b"".join(topics) + b"\1\1\0"


def metadata_request(topics: Sequence[str]) -> bytes:
    """Return the body of a Metadata request that makes no topic."""
    return struct.pack(">i", len(topics)) + b"".join(map(text16, topics)) + b"\0\0\0"


class Reader:
    """Reads an answer from its start. Raises ProtocolError where it ends too early."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def numbers(self, layout: str) -> tuple[int, ...]:
        """Return numbers of a struct's layout, big-endian."""
        try:
            found = struct.unpack_from(">" + layout, self._data, self._at)
        except struct.error as error:
            raise ProtocolError(f"an answer of {len(self._data)} bytes ends too early") from error
        self._at += struct.calcsize(">" + layout)
        return found

    def raw(self, size: int) -> memoryview:
        """Return so many bytes."""
        if size < 0 or self._at + size > len(self._data):
            raise ProtocolError(f"an answer of {len(self._data)} bytes ends too early")
        self._at += size
        return self._data[self._at - size : self._at]

    def unsigned(self) -> int:
        """Return a variable-length number."""
        number = shift = 0
        while True:
            (byte,) = self.numbers("B")
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number
            if shift > 63:
                raise ProtocolError("a number in an answer has no end")

    def text(self) -> str:
        """Return a text whose size has two bytes; empty for null."""
        return bytes(self.raw(max(0, self.numbers("h")[0]))).decode()

    def sized(self) -> bytes:
        """Return bytes whose size has four bytes; empty for null."""
        return bytes(self.raw(max(0, self.numbers("i")[0])))

    def compact(self) -> memoryview:
        """Return bytes whose size is a variable-length number; empty for null."""
        return self.raw(max(0, self.unsigned() - 1))

    def skip_tags(self) -> None:
        """Pass tagged fields."""
        for _, _ in self.tags():
            pass

    def tags(self) -> list[tuple[int, memoryview]]:
        """Return tagged fields."""
        return [(self.unsigned(), self.raw(self.unsigned())) for _ in range(self.unsigned())]


def read_versions(reader: Reader) -> dict[int, tuple[int, int]]:
    """Return the least and the greatest version of each request that a broker takes."""
    error, count = reader.numbers("hi")
    if error:
        raise ProtocolError(f"asked for its versions the broker answered with error {error}")
    return {api: (least, most) for api, least, most in (reader.numbers("hhh") for _ in range(count))}


def read_metadata(reader: Reader) -> Cluster:
    """Read the answer to a Metadata request."""
    _, count = reader.numbers("ii")
    brokers: dict[int, Broker] = {}
    for _ in range(count):
        (node,) = reader.numbers("i")
        host = reader.text()
        brokers[node] = Broker(host, reader.numbers("i")[0])
        reader.text()
    reader.text()
    _, count = reader.numbers("ii")
    leaders: dict[TopicPartition, Leader] = {}
    errors: dict[str, int] = {}
    for _ in range(count):
        (error,) = reader.numbers("h")
        topic = reader.text()
        _, partitions = reader.numbers("?i")
        if error:
            errors[topic] = error
        for _ in range(partitions):
            _, number, leader, epoch = reader.numbers("hiii")
            leaders[TopicPartition(topic, number)] = Leader(leader, epoch)
            for _ in range(3):  # replicas, those in sync, those that are offline
                reader.raw(4 * reader.numbers("i")[0])
        reader.numbers("i")
    return Cluster(brokers, leaders, errors)


def read_fetch(reader: Reader) -> list[Answer]:
    """Read the answer to a Fetch request. Raises ProtocolError also where the request as a whole was refused."""
    reader.skip_tags()  # the header's
    _, error, _ = reader.numbers("ihi")
    if error:
        raise ProtocolError(f"the broker refuses to be fetched from: error {error}")
    found: list[Answer] = []
    for _ in range(reader.unsigned() - 1):
        topic = bytes(reader.compact()).decode()
        found += [_read_partition(reader, topic) for _ in range(reader.unsigned() - 1)]
        reader.skip_tags()
    return found


def _read_partition(reader: Reader, topic: str) -> Answer:
    number, error, _, last_stable, _ = reader.numbers("ihqqq")
    aborted: list[tuple[int, int]] = []
    for _ in range(reader.unsigned() - 1):
        producer, first = reader.numbers("qq")
        aborted.append((producer, first))
        reader.skip_tags()
    reader.numbers("i")
    records = reader.compact()
    diverged = None
    for tag, data in reader.tags():
        if tag == 0:
            epoch, end = struct.unpack_from(">iq", data)
            diverged = Diverged(epoch, end) if epoch >= 0 or end >= 0 else None
    return Answer(TopicPartition(topic, number), error, last_stable, aborted, diverged, records)
