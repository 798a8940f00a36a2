"""Record batches as brokers send them become the records that are in them: all codecs, all shapes, nothing invented."""

import random
import struct
import zlib
from collections.abc import Sequence

import pyarrow as pa
import pytest
from batch_bytes import BY_APPEND, CODECS, TRANSACTIONAL, Made, marker
from kafka.record.legacy_records import LegacyRecordBatchBuilder
from kafka.record.util import calc_crc32c
from kafka_wire import WireRecord

from headrace.archiver.batch_columns import BatchColumns, Fetched
from headrace.archiver.crc32c import crc32c_of
from headrace.archiver.record_batches import BatchDamaged, Split, split
from headrace.archiver.source import Unreadable

AT = 1_700_000_000_000
Row = tuple[int, int, int, int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]


def plain(
    count: int,
    key: bytes | None = b"k%d",
    value: bytes | None = b"value %d",
    headers: Sequence[tuple[bytes, bytes | None]] = (),
) -> list[WireRecord]:
    def numbered(text: bytes | None, n: int) -> bytes | None:
        return text % n if text else text

    return [WireRecord(numbered(key, n), numbered(value, n), headers, AT + n * 7 % 5) for n in range(count)]


def split_all(data: bytes, position: int = 0, aborted: Sequence[tuple[int, int]] = ()) -> Split:
    return split(memoryview(data), position, -1, aborted)


def decoded(
    columns: BatchColumns, data: bytes, floor: int = 0, partition: int = 3
) -> tuple[list[Row], list[Unreadable]]:
    found = split_all(data, floor)
    fetched = [Fetched(partition, floor, each, each.decompressed()) for each in found.batches]
    records, unreadable = columns.decode("t", fetched)
    records.batch.validate(full=True)
    return rows_of(records.batch), unreadable


def rows_of(batch: pa.RecordBatch) -> list[Row]:
    rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
    return [(*row, [(pair["name"], pair["value"]) for pair in pairs]) for *row, pairs in rows]


def expected(made: Made, partition: int = 3) -> list[Row]:
    deltas = range(len(made.records)) if made.deltas is None else made.deltas
    by_append = bool(made.flags & BY_APPEND)
    return [
        (
            *(partition, made.base + delta, made.newest_ms if by_append else each.timestamp, int(by_append)),
            *(each.key, each.value, [(name.decode(), value) for name, value in each.headers]),
        )
        for delta, each in zip(deltas, made.records, strict=True)
    ]


SHAPES = {
    "key and value": plain(200),
    "no keys": plain(200, key=None),
    "no values": plain(200, value=None),
    "nothing": plain(200, key=None, value=None),
    "headers": plain(200, headers=((b"trace", b"1"), (b"tenant", b"22"), (b"trace", b"again"))),
}
MIXED = {
    "some keys": [*plain(50), *plain(50, key=None)],
    "tombstones": [*plain(50), *plain(50, value=None)],
    "empty and null": [*plain(2), *plain(2, value=b""), *plain(2, value=None), *plain(2, key=b""), *plain(2, key=None)],
    "null headers": plain(50, headers=((b"a", None), (b"", b""))),
    "some headers": [*plain(50), *plain(50, headers=((b"a", b"1"),))],
    "many headers": plain(5, headers=tuple((b"%d" % n, b"x") for n in range(40))),
}
EMPTY = {
    "empty values": plain(50, value=b""),
    "empty keys": plain(50, key=b""),
    "empty headers": plain(50, headers=((b"", b""),)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_whole_columns_do_for_records_of_one_shape(name: str) -> None:
    """Each column of each record is what was written, and none is read by itself."""
    columns, made = BatchColumns(), Made(40, SHAPES[name])
    assert decoded(columns, made.encode()) == (expected(made), [])
    assert columns.slow_records == 0


@pytest.mark.parametrize("name", [*MIXED, *EMPTY])
def test_other_records_come_out_the_same(name: str) -> None:
    """Null and empty are told apart wherever they stand; what whole columns can't do is read one by one."""
    columns, made = BatchColumns(), Made(40, (MIXED | EMPTY)[name])
    assert decoded(columns, made.encode()) == (expected(made), [])
    assert (columns.slow_records > 0) is (name in MIXED)


@pytest.mark.parametrize("codec", CODECS)
def test_each_codec(codec: str | None) -> None:
    """Batches of each codec, small and larger than a buffer, one after the other."""
    batches = [Made(0, plain(3), codec), Made(3, plain(5000), codec)]
    got, _ = decoded(BatchColumns(), b"".join(each.encode() for each in batches))
    assert got == [row for each in batches for row in expected(each)]


def test_the_brokers_time_stands_for_all_of_a_batch() -> None:
    """With log append time it is the batch's newest one, whatever the records say."""
    made = Made(0, plain(5), flags=BY_APPEND)
    assert decoded(BatchColumns(), made.encode()) == (expected(made), [])


def test_holes_of_compaction_keep_their_offsets() -> None:
    """A batch with fewer records than offsets gives the offsets that its records say, and ends where it says."""
    made = Made(100, plain(3), deltas=[0, 4, 7], slots=11)
    assert [row[1] for row in decoded(BatchColumns(), made.encode())[0]] == [100, 104, 107]
    assert split_all(made.encode()).after == 111
    emptied = Made(111, [], slots=5).encode()
    assert (split_all(emptied).batches, split_all(emptied).after) == ((), 116)


def test_batches_of_several_shapes_and_partitions_stay_in_order() -> None:
    """Whole columns, single records and whole columns again, of two partitions: in the order of their offsets."""
    batches = [Made(0, plain(5)), Made(5, MIXED["some keys"]), Made(105, plain(5, key=None)), Made(110, plain(5))]
    found = split_all(b"".join(each.encode() for each in batches)).batches
    fetched = [Fetched(p, 0, each, each.decompressed()) for each in found for p in (1, 0)]
    records, _ = BatchColumns().decode("t", fetched)
    assert rows_of(records.batch) == [row for p in (0, 1) for each in batches for row in expected(each, p)]


def test_nothing_before_the_wanted_offset_comes() -> None:
    """A broker sends the whole batch that the offset lies in; and batches before it, if it likes."""
    batches = [Made(0, plain(5)), Made(5, plain(10)), Made(15, MIXED["tombstones"])]
    data = b"".join(each.encode() for each in batches)
    for floor in (0, 4, 5, 9, 14, 20, 114):
        rows = [row for each in batches for row in expected(each) if row[1] >= floor]
        assert decoded(BatchColumns(), data, floor)[0] == rows


def test_a_header_that_is_no_text_costs_its_record_only() -> None:
    """It is told with its bytes; names end at a NUL, as they do in the C client."""
    records = [
        *plain(2),
        WireRecord(b"k", b"v", ((b"\xff\xfe", b"1"),), AT),
        WireRecord(b"k", b"v", ((b"n\0x", b"1"),), AT),
    ]
    rows, unreadable = decoded(BatchColumns(), Made(0, records).encode())
    assert [row[1] for row in rows] == [0, 1, 3]
    assert rows[-1][6] == [("n", b"1")]
    assert [(each.offset, "fffe" in each.detail) for each in unreadable] == [(2, True)]


def test_aborted_transactions_and_markers_are_passed_over() -> None:
    """Two producers' transactions, one aborted, interleaved with plain records; the end lies behind the last marker."""
    a, b = {"flags": TRANSACTIONAL, "producer": 7}, {"flags": TRANSACTIONAL, "producer": 8}
    data = b"".join(
        [
            Made(0, plain(1)).having(**a).encode(),
            Made(1, plain(2)).having(**b).encode(),
            Made(3, plain(1), producer=7).encode(),  # not in a transaction
            marker(4, 7, commit=False),
            Made(5, plain(1)).having(**a).encode(),  # the next transaction of the same producer
            marker(6, 8, commit=True),
            marker(7, 7, commit=True),
        ]
    )
    found = split_all(data, aborted=[(7, 0)])
    assert [(each.base, each.records) for each in found.batches] == [(1, 2), (3, 1), (5, 1)]
    assert found.after == 8


def test_what_did_not_fit_into_an_answer_is_asked_for_again() -> None:
    """The last batch may be cut anywhere: nothing of it comes, and the next offset is its first."""
    first, second = Made(0, plain(5), epoch=4).encode(), Made(5, plain(50), epoch=6).encode()
    for size in (0, 5, 12, 40, 61, len(second) - 1):
        found = split_all(first + second[:size])
        assert ([each.base for each in found.batches], found.after, found.leader_epoch, found.cut) == ([0], 5, 4, size)


@pytest.mark.parametrize("codec", CODECS)
def test_each_flipped_bit_is_noticed(codec: str | None) -> None:
    """Behind what says where a batch ends and of which format it is, any changed bit is refused by its CRC."""
    data, rng = Made(0, plain(20), codec).encode(), random.Random(1)
    for _ in range(100):
        damaged = bytearray(data)
        damaged[rng.randrange(17, len(data))] ^= 1 << rng.randrange(8)
        with pytest.raises(BatchDamaged, match="CRC-32C"):
            split_all(bytes(damaged))


def test_random_bytes_with_a_right_crc_never_make_records_up() -> None:
    """Records that are not what the lengths say are refused, by whole columns and one by one."""
    rng, refused = random.Random(2), 0
    for number in range(60):
        data = bytearray(Made(0, plain(20)).encode())
        data[rng.randrange(61, len(data))] = rng.randrange(256)
        struct.pack_into(">I", data, 17, calc_crc32c(bytes(data[21:])))
        try:
            rows, _ = decoded(BatchColumns(), bytes(data))
        except BatchDamaged:
            refused += 1
            continue
        assert [row[1] for row in rows] == list(range(20)), number
    assert refused > 5


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [0, 1])
def test_formats_of_old_brokers(magic: int, codec: int) -> None:
    """Messages before format v2, alone and compressed within another, as kafka-python writes them."""
    builder = LegacyRecordBatchBuilder(magic=magic, compression_type=codec, batch_size=1 << 20)
    for n in range(4):
        builder.append(n, AT + n, key=None if n == 1 else b"k%d" % n, value=None if n == 2 else b"v%d" % n)
    data = bytearray(builder.build())
    if codec and magic:
        struct.pack_into(">q", data, 0, 23)  # what a broker does: the last one's offset, the others' are relative
    rows, _ = decoded(BatchColumns(), bytes(data))
    base = 20 if codec and magic else 0
    assert [row[1] for row in rows] == [base + n for n in range(4)]
    assert [row[2:4] for row in rows] == [((AT + n, 0) if magic else (-1, -1)) for n in range(4)]
    assert [row[4:6] for row in rows] == [(b"k0", b"v0"), (None, b"v1"), (b"k2", None), (b"k3", b"v3")]
    damaged = bytearray(data)
    damaged[-1] ^= 1
    assert zlib.crc32(damaged[16:]) != zlib.crc32(data[16:])
    with pytest.raises(BatchDamaged, match="CRC-32"):
        decoded(BatchColumns(), bytes(damaged))


def test_the_crc_is_the_one_of_the_definition() -> None:
    """The published check value, and kafka-python's for pieces of many sizes, around the sizes of chunks, at once."""
    assert crc32c_of([memoryview(b"123456789")]).tolist() == [0xE3069283]
    rng = random.Random(3)
    pieces = [rng.randbytes(n) for n in (4, 5, 511, 512, 513, 1024, 1025, 3000, 70_001)]
    assert crc32c_of([memoryview(each) for each in pieces]).tolist() == [calc_crc32c(each) for each in pieces]
    assert crc32c_of([]).tolist() == []
