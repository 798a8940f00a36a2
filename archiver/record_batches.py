"""Record batches as brokers keep and send them: where each begins, whether it arrived whole, and which of them count.

Of a read_committed reader's batches three kinds do not: control batches (markers of transactions), those of aborted
transactions, and the last one where the answer ended in the middle of it. What is in a batch is looked at in
batch_columns.py. Sources: https://kafka.apache.org/documentation/#recordbatch and, for which transactions are aborted
where, the Java consumer's CompletedFetch.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from .crc32c import crc32c_of
from .snappy_java import unframed

# Base offset, length, leader epoch, magic, CRC, attributes, last offset delta, first and newest timestamp, producer id
# and epoch, first sequence number, number of records.
_HEADER = struct.Struct(">qiibIhiqqqhii")
_OLD_HEADER = struct.Struct(">qiib")  # offset, size, CRC, magic: what messages before format v2 begin with
HEADER_BYTES = _HEADER.size
LENGTH_COUNTS_FROM = 12
CHECKED_FROM = 21
CURRENT_MAGIC = 2
_CODEC, _APPEND_TIME, _TRANSACTIONAL, _CONTROL = 7, 8, 16, 32
_CODECS = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
_ABORT = 0


class BatchDamaged(Exception):
    """What a broker sent is not what it must be. The message says in what way."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of format v2, or a message (set) of an older one, whose `magic` is 0 or 1 and whose `data` is all of it.

    `body`: the records, compressed as `codec` says; `after`: the next offset behind the batch.
    """

    base: int
    after: int
    leader_epoch: int
    magic: int
    codec: str | None
    timestamp: int
    timestamp_type: int
    records: int
    data: memoryview

    @property
    def body(self) -> memoryview:
        """The records."""
        return self.data[HEADER_BYTES:]

    def decompressed(self) -> memoryview:
        """Return the records; of older formats the batch as it is. Raises BatchDamaged."""
        if self.magic < CURRENT_MAGIC:
            return self.data
        try:
            return decompressed(self.codec, self.body)
        except BatchDamaged as error:
            raise BatchDamaged(f"the batch at offset {self.base}: {error}") from error


def decompressed(codec: str | None, body: memoryview) -> memoryview:
    """Return what was compressed. Raises BatchDamaged."""
    if codec is None:
        return body
    try:
        if codec == "snappy":
            return memoryview(unframed(body))
        return memoryview(pa.input_stream(pa.py_buffer(body), codec).read())
    except (OSError, pa.ArrowException, ValueError) as error:
        raise BatchDamaged(f"its records are not what {codec} makes: {error}") from error


@dataclass(frozen=True, slots=True)
class Split:
    """The batches of one answer about one partition that are to be handed out, and where the next one begins.

    `leader_epoch`: of the last batch that was passed, handed out or not; `cut`: bytes of a batch that did not fit.
    """

    batches: tuple[Batch, ...]
    after: int
    leader_epoch: int
    cut: int


def split(data: memoryview, position: int, leader_epoch: int, aborted: Sequence[tuple[int, int]]) -> Split:
    """Take an answer apart. `aborted`: (producer id, first offset) of the aborted transactions in it.

    Raises BatchDamaged.
    """
    batches: list[Batch] = []
    checked: list[tuple[int, int]] = []  # the CRC that a batch has, and the index of the bytes that it is of
    pieces: list[memoryview] = []
    transactions = _Aborted(aborted)
    at = 0
    while at + _OLD_HEADER.size <= len(data):
        _, length, epoch, magic = _OLD_HEADER.unpack_from(data, at)
        end = at + LENGTH_COUNTS_FROM + length
        if length < 0 or end > len(data):
            break
        if magic < CURRENT_MAGIC:
            batch = _old_batch(data[at:end], magic)
        else:
            if magic > CURRENT_MAGIC or length + LENGTH_COUNTS_FROM < HEADER_BYTES:
                raise BatchDamaged(f"a record batch of format {magic} and {length} bytes, behind offset {position}")
            header = _HEADER.unpack_from(data, at)
            pieces.append(data[at + CHECKED_FROM : end])
            checked.append((header[4], header[0]))
            batch = _batch(header, data[at:end])
            leader_epoch = epoch
            if transactions.hide(header, batch) or not batch.records:
                position, at = max(position, batch.after), end
                continue
        if batch.after > position:
            batches.append(batch)
        position, at = max(position, batch.after), end
    for found, (said, base) in zip(crc32c_of(pieces).tolist(), checked, strict=True):
        if found != said:
            raise BatchDamaged(f"the batch at offset {base} is damaged: its CRC-32C is {found:08x}, not {said:08x}")
    return Split(tuple(batches), position, leader_epoch, len(data) - at)


def _batch(header: tuple[int, ...], data: memoryview) -> Batch:
    base, _, epoch, magic, _, attributes, last, first_ms, newest_ms, _, _, _, records = header
    number = attributes & _CODEC
    if number and number not in _CODECS:
        raise BatchDamaged(f"the batch at offset {base} is compressed by codec {number}, which is not known")
    by_append = bool(attributes & _APPEND_TIME)
    return Batch(
        base=base,
        after=base + last + 1,
        leader_epoch=epoch,
        magic=magic,
        codec=_CODECS.get(number),
        timestamp=newest_ms if by_append else first_ms,
        timestamp_type=int(by_append),
        records=records,
        data=data,
    )


def _old_batch(data: memoryview, magic: int) -> Batch:
    (offset,) = struct.unpack_from(">q", data)
    # A message that holds compressed ones has the offset of the last of them.
    return Batch(offset, offset + 1, -1, magic, None, -1, -1, 0, data)


class _Aborted:
    """Which producers' transactions are aborted, batch after batch of an answer."""

    def __init__(self, aborted: Sequence[tuple[int, int]]) -> None:
        self._begins = sorted((first, producer) for producer, first in aborted)
        self._open: set[int] = set()

    def hide(self, header: tuple[int, ...], batch: Batch) -> bool:
        """Whether a batch is not to be handed out."""
        attributes, producer = header[5], header[9]
        while self._begins and self._begins[0][0] < batch.after:
            self._open.add(self._begins.pop(0)[1])
        if attributes & _CONTROL:
            if _is_abort(batch):
                self._open.discard(producer)
            return True
        return bool(attributes & _TRANSACTIONAL) and producer in self._open


def _is_abort(batch: Batch) -> bool:
    """Whether a control batch ends a transaction as aborted. Its one record's key is a version and a type."""
    key = first_key(bytes(batch.body))
    return key is not None and len(key) >= 4 and struct.unpack_from(">hh", key)[1] == _ABORT


def first_key(body: bytes) -> bytes | None:
    """Return the key of the first record: behind its length, a byte of attributes, and two deltas. Or BatchDamaged."""
    _, at = varint(body, 0)
    _, at = varint(body, at + 1)
    _, at = varint(body, at)
    size, at = varint(body, at)
    return None if size < 0 else body[at : at + size]


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at `at`, and where the next byte is. Raises BatchDamaged."""
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise BatchDamaged("a number in a record has no end")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
        shift += 7
