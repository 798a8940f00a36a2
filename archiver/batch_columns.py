"""Record batches to columns, by the vectorised Avro reader: no message is touched by itself.

A record in a batch is, byte for byte, an Avro record of its length, a byte of attributes, the deltas of timestamp and
offset, key, value, and its headers one after the other. Whether key and value are there, and how many headers, differs
from record to record in Kafka, not in Avro: batches are read by the schema of their first record's shape. What was read
is proved as events are (avro/proof.py, and a sample encoded again); batches for which it does not hold are read record
by record.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .avro import WriterSchema
from .avro.arrow_parts import offsets_of, rows_of, values_of
from .avro.container import BlockReader, BlockRejected
from .avro.encode import encode_rows
from .avro.proof import proves_canonical
from .avro.varint import varint_lengths, zigzag
from .batch_records import rows_of as single_rows_of
from .record_batches import CURRENT_MAGIC, Batch, BatchDamaged, varint
from .records import HEADERS_TYPE, RECORD_SCHEMA, record_batch
from .source import Records, TopicPartition, Unreadable

HEADERS_MAX = 16
"""Records with more headers than that are read one by one."""
FULL_CHECKS, SAMPLE_EVERY = 3, 64
_NULL = 1  # the byte that says, as a length of -1, that there is no key or no value


@dataclass(frozen=True, slots=True)
class Fetched:
    """A batch of a partition, of which offsets from `floor` on are wanted. `body`: Batch.decompressed()."""

    partition: int
    floor: int
    batch: Batch
    body: memoryview


class Shape(NamedTuple):
    """Which parts a record has."""

    key: bool
    value: bool
    headers: int


class BatchColumns:
    """Decodes batches; keeps what it needs for each shape of records."""

    def __init__(self) -> None:
        self._readers: dict[Shape, ShapeReader] = {}
        self.slow_records = 0  # how many were read one by one

    def decode(self, topic: str, fetched: Sequence[Fetched]) -> tuple[Records, list[Unreadable]]:
        """Return the records of at least one batch of one topic, in offset order by partition. Raises BatchDamaged."""
        groups: dict[Shape | None, list[int]] = defaultdict(list)
        for index, each in enumerate(fetched):
            groups[shape_of(each)].append(index)
        parts: list[pa.RecordBatch] = []
        unreadable: list[Unreadable] = []
        for shape, indices in groups.items():
            mine = [fetched[index] for index in indices]
            part = None if shape is None else self._reader(shape).read(mine)
            if part is not None:
                parts.append(part)
                continue
            parts += [self._one_by_one(topic, each, unreadable) for each in mine]
        epochs = {each.partition: each.batch.leader_epoch for each in fetched}
        if len(parts) == 1:
            return Records(topic, parts[0], epochs), unreadable
        joined = pa.concat_batches(parts)
        order = pc.sort_indices(joined, sort_keys=[("partition", "ascending"), ("offset", "ascending")])
        return Records(topic, joined.take(order), epochs), unreadable

    def _reader(self, shape: Shape) -> "ShapeReader":
        if shape not in self._readers:
            self._readers[shape] = ShapeReader(shape)
        return self._readers[shape]

    def _one_by_one(self, topic: str, each: Fetched, unreadable: list[Unreadable]) -> pa.RecordBatch:
        rows = single_rows_of(each.batch, each.body, each.floor)
        self.slow_records += len(rows.offsets)
        where = TopicPartition(topic, each.partition)
        unreadable += [Unreadable(where, offset, why) for offset, why in rows.faults.items()]
        return record_batch(
            np.full(len(rows.offsets), each.partition, np.int32),
            rows.offsets,
            rows.timestamps,
            rows.types,
            rows.keys,
            rows.values,
            rows.headers,
        )


def shape_of(each: Fetched) -> Shape | None:
    """Return the shape of a batch's first record; None where its records are to be read one by one."""
    if each.batch.magic < CURRENT_MAGIC:
        return None
    # A record is short before its value, so that far fewer bytes than all of a batch are copied here.
    head = bytes(each.body[:64])
    try:
        _, at = varint(head, 0)
        _, at = varint(head, at + 1)
        _, at = varint(head, at)
        key_size, at = varint(head, at)
        at += max(key_size, 0)
        head = bytes(each.body[at : at + 16])
        value_size, at_value = varint(head, 0)
        at += at_value + max(value_size, 0)
        headers, _ = varint(bytes(each.body[at : at + 10]), 0)
    except BatchDamaged:
        return None
    return Shape(key_size >= 0, value_size >= 0, headers) if 0 <= headers <= HEADERS_MAX else None


class ShapeReader:
    """Reads batches all of whose records have one shape."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._root = WriterSchema(_schema(shape)).root
        self._reader = BlockReader(self._root, b"")
        self._reads = 0

    def read(self, fetched: Sequence[Fetched]) -> pa.RecordBatch | None:
        """Return the columns; None where it is not proved that they are what the batches hold."""
        heads = _Heads(fetched)
        data = b"".join([each.body for each in fetched])
        rows = heads.rows
        # The block reader takes values; where they end does not matter to it, only how many there are.
        cuts = np.zeros(rows + 1, np.int32)
        cuts[-1] = len(data)
        try:
            read = self._reader.read(_values(cuts, data))
        except BlockRejected:
            return None
        if not self._proved(read, data, heads):
            return None
        deltas = values_of(read.column("offset"), np.int64)
        offsets = deltas + heads.each(heads.base)
        if not heads.in_order(offsets):
            return None
        headers = self._headers(read)
        if headers is None:
            return None
        types = heads.each(heads.type)
        stamps = heads.each(heads.timestamp)
        stamps += np.where(types == 1, 0, values_of(read.column("timestamp"), np.int64))
        columns = [
            pa.array(heads.each(heads.partition)),
            pa.array(offsets),
            pa.array(stamps),
            pa.array(types),
            read.column("key") if self._shape.key else pa.nulls(rows, pa.binary()),
            read.column("value") if self._shape.value else pa.nulls(rows, pa.binary()),
            headers,
        ]
        batch = pa.RecordBatch.from_arrays(columns, schema=RECORD_SCHEMA)
        if (heads.base < heads.floor).any():
            wanted = offsets >= heads.each(heads.floor)
            batch = batch if wanted.all() else batch.filter(pa.array(wanted))
        return batch

    def _proved(self, read: pa.RecordBatch, data: bytes, heads: "_Heads") -> bool:
        """Whether these rows, and no others, are in the batches, each in its own."""
        lengths = values_of(read.column("length"), np.int64)
        bounds = np.zeros(heads.rows + 1, np.int64)
        np.cumsum(lengths + varint_lengths(zigzag(lengths)), out=bounds[1:])
        if lengths.min() < 0 or not np.array_equal(bounds[heads.ends], heads.body_ends):
            return False
        if (values_of(read.column("header_count"), np.int64) != self._shape.headers).any():
            return False
        absent = [name for name, present in (("key", self._shape.key), ("value", self._shape.value)) if not present]
        if any((rows_of(read.column(name), 1) != _NULL).any() for name in absent):
            return False
        sized = [each for each in read.columns if pa.types.is_binary(each.type)]
        empty = not all(np.diff(offsets_of(each)).all() for each in sized)
        values = _values(bounds.astype(np.int32), data)
        self._reads += 1
        # "Empty" and "null" are one byte each: where there are empty ones, each byte is compared.
        if empty or self._reads <= FULL_CHECKS or self._reads % SAMPLE_EVERY == 0:
            return bool(pc.all(pc.equal(encode_rows(self._root, b"", read), values)).as_py())
        return proves_canonical(self._root, b"", read, values)

    def _headers(self, read: pa.RecordBatch) -> pa.ListArray | None:
        """Return the headers; None where a name cannot be told as it is."""
        rows, count = read.num_rows, self._shape.headers
        names = _interleaved([read.column(f"name_{at}") for at in range(count)], rows)
        given = _interleaved([read.column(f"given_{at}") for at in range(count)], rows)
        try:
            names = names.cast(pa.string())
        except pa.ArrowInvalid:
            return None
        if count and (np.frombuffer(names.buffers()[2] or b"", np.uint8) == 0).any():
            return None
        pairs = pa.StructArray.from_arrays([names, given], fields=list(HEADERS_TYPE.value_type))
        bounds = np.arange(rows + 1, dtype=np.int32) * np.int32(count)
        return pa.ListArray.from_arrays(pa.array(bounds), pairs, type=HEADERS_TYPE)


class _Heads:
    """What the headers of batches say, as columns with one row a batch."""

    def __init__(self, fetched: Sequence[Fetched]) -> None:
        self.partition = np.array([each.partition for each in fetched], np.int32)
        self.floor = np.array([each.floor for each in fetched], np.int64)
        self.base = np.array([each.batch.base for each in fetched], np.int64)
        self._after = np.array([each.batch.after for each in fetched], np.int64)
        self.timestamp = np.array([each.batch.timestamp for each in fetched], np.int64)
        self.type = np.array([each.batch.timestamp_type for each in fetched], np.int8)
        self._counts = np.array([each.batch.records for each in fetched], np.int64)
        self.ends = np.cumsum(self._counts)
        self.body_ends = np.cumsum([len(each.body) for each in fetched])
        self.rows = int(self.ends[-1])

    def each(self, column: np.ndarray) -> np.ndarray:
        """Return one value a record."""
        return np.repeat(column, self._counts)

    def in_order(self, offsets: np.ndarray) -> bool:
        """Whether the offsets rise within each batch, and lie within it."""
        rises = offsets[1:] > offsets[:-1]
        rises[self.ends[:-1] - 1] = True
        first, last = offsets[self.ends - self._counts], offsets[self.ends - 1]
        return bool(rises.all() and (first >= self.base).all() and (last < self._after).all())


def _values(bounds: np.ndarray, data: bytes) -> pa.BinaryArray:
    return pa.BinaryArray.from_buffers(pa.binary(), len(bounds) - 1, [None, pa.py_buffer(bounds), pa.py_buffer(data)])


def _interleaved(arrays: Sequence[pa.Array], rows: int) -> pa.Array:
    """Return the first value of each array, then the second of each, and so on."""
    if not arrays:
        return pa.array([], pa.binary())
    if len(arrays) == 1:
        return arrays[0]
    order = np.arange(len(arrays) * rows).reshape(len(arrays), rows).T.reshape(-1)
    return pa.concat_arrays(arrays).take(pa.array(order))


def _schema(shape: Shape) -> str:
    def part(name: str, present: bool) -> dict[str, object]:
        absent = {"type": "fixed", "name": f"No_{name}", "size": 1}
        return {"name": name, "type": "bytes" if present else absent}

    fields: list[dict[str, object]] = [
        {"name": "length", "type": "long"},
        {"name": "attributes", "type": {"type": "fixed", "name": "Attributes", "size": 1}},
        {"name": "timestamp", "type": "long"},
        {"name": "offset", "type": "long"},
        part("key", shape.key),
        part("value", shape.value),
        {"name": "header_count", "type": "long"},
    ]
    for at in range(shape.headers):
        fields += [{"name": f"name_{at}", "type": "bytes"}, {"name": f"given_{at}", "type": "bytes"}]
    return json.dumps({"type": "record", "name": "Record", "fields": fields})
