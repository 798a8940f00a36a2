"""The codec's own decisions: what it proves, whom it believes, and that a bad value hits only itself."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.archiver.avro import AvroCodec, EncodeError, WriterSchema
from headrace.archiver.avro.columns import ForeignArray, adopt
from headrace.archiver.avro.container import BlockReader
from headrace.archiver.avro.proof import proves_canonical
from headrace.archiver.avro.rows import RowReader

FRAME = b"\xc3\x01abcdefgh"
ROWS = 3_000


def record(**types: Any) -> str:
    fields = [{"name": name, "type": kind} for name, kind in types.items()]
    return json.dumps({"type": "record", "name": "R", "fields": fields})


EVENT = record(
    id={"type": "fixed", "name": "Id", "size": 16},
    at={"type": "long", "logicalType": "timestamp-micros"},
    host="string",
    seen="boolean",
    board=["null", "long"],
    action={"type": "enum", "name": "Action", "symbols": ["UNKNOWN", "SAVE", "LIKE"]},
)
LISTS = record(tags={"type": "array", "items": "string"}, n="long")


def number(value: int) -> bytes:
    value = (value << 1) ^ (value >> 63)
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def event(index: int) -> bytes:
    host = b"host-%d" % (index % 20)
    board = b"\x00" if index % 3 else b"\x02" + number(index * 10**6)
    at = number(1_790_000_000_000_000 + index)
    return FRAME + b"%016d" % index + at + number(len(host)) + host + b"\x01" + board + number(index % 3)


def binary(values: list[bytes]) -> pa.BinaryArray:
    return pa.array(values, pa.binary())


@pytest.fixture(scope="module")
def events() -> list[bytes]:
    return [event(index) for index in range(ROWS)]


@pytest.fixture
def codec() -> AvroCodec:
    """A codec that has its full checks behind it."""
    return AvroCodec(WriterSchema(EVENT), frame=FRAME, full_check_batches=0, sample_every=10**6)


def past_the_first(codec: AvroCodec) -> AvroCodec:
    codec.decode(binary([]))
    return codec


def test_columns_hold_the_values_and_encode_to_them(events: list[bytes], codec: AvroCodec) -> None:
    """Types and values of an event's columns, and the way back."""
    found = codec.decode(binary(events))
    assert found.ok.all()
    assert found.canonical.all()
    assert found.columns.schema.equals(WriterSchema(EVENT).arrow_schema)
    third = found.columns.slice(3, 1).to_pylist()[0]
    assert third["id"] == b"%016d" % 3
    assert third["host"] == "host-3"
    assert third["board"] == 3_000_000
    assert third["action"] == "UNKNOWN"
    assert found.columns.column("at").cast(pa.int64())[3].as_py() == 1_790_000_000_000_003
    assert codec.encode(found.columns).to_pylist() == events


@pytest.mark.parametrize("frame", [FRAME, b"\x00\x00\x00\x00\x07", b""])
def test_any_frame_does(events: list[bytes], frame: bytes) -> None:
    """Single-object, Confluent and no frame at all."""
    values = binary([frame + value[len(FRAME) :] for value in events])
    codec = AvroCodec(WriterSchema(EVENT), frame=frame)
    for _ in range(5):
        found = codec.decode(values)
        assert found.canonical.all()
        assert codec.encode(found.columns).equals(values)


def test_slices_decode_as_what_they_show(events: list[bytes], codec: AvroCodec) -> None:
    """Neither the values before nor those after a slice are read."""
    whole = binary([b"junk", *events, b"junk"])
    found = codec.decode(whole.slice(101, 500))
    assert found.canonical.all()
    assert codec.encode(found.columns).to_pylist() == events[100:600]
    assert codec.encode(found.columns.slice(7, 90)).to_pylist() == events[107:197]


def test_a_system_without_files_in_memory_uses_temporary_ones(
    events: list[bytes], codec: AvroCodec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where memfd_create is missing (macOS) blocks go through a temporary file, and none stays behind."""
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    named: list[str] = []
    read = BlockReader._read

    def noted(self: BlockReader, path: str, rows: int) -> list[pa.RecordBatch]:
        named.append(path)
        return read(self, path, rows)

    monkeypatch.setattr(BlockReader, "_read", noted)
    assert codec.decode(binary(events)).canonical.all()
    assert [Path(name).parent for name in named] == [tmp_path]
    assert not list(tmp_path.iterdir())


def test_no_values_make_no_rows(codec: AvroCodec) -> None:
    """An empty batch has the schema's columns."""
    found = codec.decode(binary([]))
    assert found.columns.num_rows == 0
    assert found.columns.schema.equals(WriterSchema(EVENT).arrow_schema)
    assert len(found.ok) == len(found.canonical) == 0
    assert codec.encode(found.columns).to_pylist() == []


Damage = Callable[[bytes], bytes]
DAMAGE: dict[str, tuple[Damage, str | None]] = {
    "trailing byte": (lambda value: value + b"\x00", "trailing bytes"),
    "cut": (lambda value: value[:-1], "field"),
    "two in one": (lambda value: value + event(7), "trailing bytes"),
    "frame only": (lambda _: FRAME, "field id"),
    "boolean 2": (lambda value: value.replace(b"\x01\x00", b"\x02\x00", 1), "neither 0 nor 1"),
    "boolean 127": (lambda value: value.replace(b"\x01\x00", b"\x7f\x00", 1), "neither 0 nor 1"),
    "union index 2": (lambda value: value[:-2] + b"\x04" + value[-1:], "union index"),
    "union index -1": (lambda value: value[:-2] + b"\x01" + value[-1:], "union index"),
    "enum index 3": (lambda value: value[:-1] + b"\x06", "enum index"),
    "enum index -1": (lambda value: value[:-1] + b"\x01", "enum index"),
    "length in a length": (lambda value: value.replace(b"\x0chost", b"\xfe\xff\x03host"), "exceeds the bytes"),
    "not UTF-8": (lambda value: value.replace(b"host", b"ho\xfft"), "not UTF-8"),
    "long enum index": (lambda value: value[:-1] + bytes([value[-1] | 0x80, 0]), None),
    "long union index": (lambda value: value[:-2] + b"\x80\x00" + value[-1:], None),
    "long length": (lambda value: value.replace(b"\x0chost", b"\x8c\x00host"), None),
    "swallows a frame": (
        # Its host takes in the frame and the body that follow in the block, where the next value would begin.
        lambda value: value.replace(b"\x0chost-1", number(len(event(4)) + 20) + b"host-1"),
        "exceeds the bytes",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("places", [[0], [ROWS - 1], [1_001], [10, 11, 12, 500, 2_000, 2_999], list(range(0, ROWS, 4))])
def test_a_damaged_value_hits_only_itself(events: list[bytes], name: str, full: bool, places: list[int]) -> None:
    """It is an error or not canonical, as its damage is; every other value is canonical and unharmed."""
    damage, error = DAMAGE[name]
    hit = {place - place % 3 + 1 if place - place % 3 + 1 < ROWS else place for place in places}
    values = [damage(event(1)) if at in hit else value for at, value in enumerate(events)]
    codec = AvroCodec(WriterSchema(EVENT), frame=FRAME, full_check_batches=2 * full, sample_every=10**6)
    found = past_the_first(codec).decode(binary(values))
    where = np.isin(np.arange(ROWS), list(hit))
    if error is None:
        assert not found.errors
        assert found.canonical.tolist() == (~where).tolist()
        assert found.columns.slice(min(hit), 1).to_pylist()[0]["host"] == "host-1"
    else:
        assert sorted(found.errors) == sorted(hit)
        assert all(error in text for text in found.errors.values())
        assert found.ok.tolist() == (~where).tolist()
        assert found.canonical.all()
        good = [value for at, value in enumerate(values) if at not in hit]
        assert codec.encode(found.columns).to_pylist() == good
    assert codec.decoder_disagreements == 0
    assert codec.vectorised


def test_values_that_swallow_others_and_make_up_rows_are_found() -> None:
    """Rows that are right in number, frames and total length, but lie across values, are not taken for the values."""
    schema = WriterSchema(record(s="bytes"))
    inner = FRAME + number(2) + b"zz"
    # The first value's string runs over the second's frame and text; what is left of that looks like a row.
    first = FRAME + number(len(FRAME) + 4) + b"a"
    second = FRAME + number(2 + len(inner)) + b"bc" + inner
    good = FRAME + number(3) + b"abc"
    values = [good] * 30 + [first, second] + [good] * 30
    codec = past_the_first(AvroCodec(schema, frame=FRAME, full_check_batches=0, sample_every=10**6))
    found = codec.decode(binary(values))
    assert list(found.errors) == [30]
    assert codec.encode(found.columns).to_pylist() == values[:30] + values[31:]
    assert found.canonical.all()


def test_another_frame_among_the_values_is_an_error(events: list[bytes], codec: AvroCodec) -> None:
    """A value of another schema does not pass, however alike the bodies are, also where only lengths are checked."""
    stray = b"\xc3\x01ABCDEFGH" + events[5][len(FRAME) :]
    found = past_the_first(codec).decode(binary([*events[:90], stray, *events[90:200]]))
    assert list(found.errors) == [90]
    assert "frame" in found.errors[90]
    assert codec.encode(found.columns).to_pylist() == events[:200]


@pytest.mark.parametrize("size", [None, 16, 20])
@pytest.mark.parametrize("digits", [1, 18, 19, 20, 38])
def test_decimals_beyond_their_precision_are_errors(size: int | None, digits: int) -> None:
    """The greatest and least numbers of so many digits are read, those beyond them are not, down to the last bit."""
    kind: dict[str, Any] = {"type": "bytes"} if size is None else {"type": "fixed", "name": "F", "size": size}
    codec = AvroCodec(WriterSchema(record(d=kind | {"logicalType": "decimal", "precision": digits})), frame=FRAME)
    most = 10**digits - 1
    numbers = [0, most, -most, most + 1, -most - 1, 2**127 - 1, -(2**127), 2**64, -(2**64), -1]
    bodies = [number_.to_bytes(16 if size is None else size, "big", signed=True) for number_ in numbers]
    values = [FRAME + (b"\x20" if size is None else b"") + body for body in bodies]
    zero = FRAME + (b"\x02\x00" if size is None else bytes(size))
    for value, number_ in zip(values, numbers, strict=True):
        found = codec.decode(binary([zero] * 70 + [value]))
        if abs(number_) <= most:
            assert not found.errors
            assert int(found.columns.column("d")[70].as_py()) == number_
        else:
            assert list(found.errors) == [70]
            assert f"more than {digits} digits" in found.errors[70]
    assert codec.vectorised


def test_the_reader_is_not_tried_again_and_again_on_values_that_no_block_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a batch's values are as a rule not canonical, a block or two show it, and the rest is read strictly."""
    reads = []

    class CountingReader(BlockReader):
        def read(self, values: pa.BinaryArray) -> pa.RecordBatch:
            reads.append(len(values))
            return super().read(values)

    codec = AvroCodec(WriterSchema(LISTS), frame=FRAME)
    monkeypatch.setattr(codec._rows, "_blocks", CountingReader(WriterSchema(LISTS).root, FRAME))
    found = codec.decode(binary([FRAME + b"\x01\x04\x02a\x00\x02"] * 5_000))
    assert found.ok.all()
    assert not found.canonical.any()
    assert reads == [5_000]


def test_indices_beyond_an_enum_are_never_adopted() -> None:
    """Should a reader hand out a dictionary index that no symbol has, its array is refused."""
    (_, node) = WriterSchema(record(e={"type": "enum", "name": "E", "symbols": ["A", "B"]})).root.fields[0]
    for index in (2, -1):
        indices = pa.array([0, index, None], pa.int32())
        array = pa.DictionaryArray.from_arrays(indices, pa.array(["A", "B"]), safe=False)
        with pytest.raises(ForeignArray):
            adopt(node, array)


def test_what_lies_under_nulls_is_not_written() -> None:
    """A null list that spans items, and fields below a null record, may hold anything."""
    items = pa.array(["a", None, "b"])
    lists = pa.Array.from_buffers(
        pa.list_(pa.string()),
        3,
        [pa.py_buffer(b"\x05"), pa.array([0, 1, 2, 3], pa.int32()).buffers()[1]],
        children=[items],
    )
    codec = AvroCodec(WriterSchema(record(tags=["null", {"type": "array", "items": "string"}])), frame=b"")
    assert codec.encode(pa.table({"tags": lists})).to_pylist() == [b"\x02\x02\x02a\x00", b"\x00", b"\x02\x02\x02b\x00"]
    inner = {"type": "record", "name": "S", "fields": [{"name": "x", "type": "string"}]}
    records = pa.StructArray.from_arrays([pa.array(["a", None, "b"])], names=["x"], mask=pa.array([False, True, False]))
    codec = AvroCodec(WriterSchema(record(s=["null", inner])), frame=b"")
    assert codec.encode(pa.table({"s": records})).to_pylist() == [b"\x02\x02a", b"\x00", b"\x02\x02b"]
    full = pa.StructArray.from_arrays([pa.array(["a", "hide", "b"])], names=["x"], mask=pa.array([False, True, False]))
    assert codec.encode(pa.record_batch({"s": full}).slice(1)).to_pylist() == [b"\x00", b"\x02\x02b"]


def test_what_lies_under_nulls_within_nulls_is_neither_written_nor_counted() -> None:
    """A nullable record in a null one, with nulls of its own that its schema lacks; also in a slice."""
    inner = {"type": "record", "name": "I", "fields": [{"name": "x", "type": "string"}, {"name": "n", "type": "long"}]}
    outer = {"type": "record", "name": "O", "fields": [{"name": "i", "type": ["null", inner]}]}
    schema = WriterSchema(record(o=["null", outer]))
    xs = pa.array(["skipped", "a", None, "", "hidden", "b"])
    ns = pa.array([0, 1, None, 2, 2**60, 64], pa.int64())
    within = pa.StructArray.from_arrays([xs, ns], names=["x", "n"], mask=pa.array([False] * 3 + [True] + [False] * 2))
    records = pa.StructArray.from_arrays([within], names=["i"], mask=pa.array([False, False, True, False, True, False]))
    columns = pa.record_batch({"o": records}).slice(1)
    values = [b"\x02\x02\x02a\x02", b"\x00", b"\x02\x00", b"\x00", b"\x02\x02\x02b\x80\x01"]
    assert AvroCodec(schema, frame=b"").encode(columns).to_pylist() == values
    assert proves_canonical(schema.root, b"", columns, binary(values))
    assert not proves_canonical(schema.root, b"", columns, binary([*values[:-1], values[-1] + b"\x00"]))


def test_arrays_in_other_block_forms_decode_without_being_canonical() -> None:
    """Several blocks and blocks with a size are read; their values are to be kept as they came."""
    canonical = FRAME + b"\x04\x02a\x02b\x00" + b"\x02"
    forms = [canonical, FRAME + b"\x02\x02a\x02\x02b\x00" + b"\x02", FRAME + b"\x03\x08\x02a\x02b\x00" + b"\x02"]
    for repeated in (20, 2_000):
        codec = AvroCodec(WriterSchema(LISTS), frame=FRAME)
        found = codec.decode(binary(forms * repeated))
        assert found.ok.all()
        assert found.columns.to_pylist() == [{"tags": ["a", "b"], "n": 1}] * 3 * repeated
        assert found.canonical.tolist() == [True, False, False] * repeated
        assert codec.decoder_disagreements == 0


def test_counts_that_no_value_can_hold_cost_nothing() -> None:
    """A block that counts more items than there are bytes is an error at once, alone and among others."""
    bombs = [FRAME + number(count) + b"\x00" for count in (2**40, 2**62, -(2**62), 2**31, 10**6, -5)]
    good = FRAME + b"\x02\x02a\x00\x02"
    found = AvroCodec(WriterSchema(LISTS), frame=FRAME).decode(binary([good] * 50 + bombs + [good] * 50))
    assert sorted(found.errors) == list(range(50, 56))
    assert found.canonical.all()
    assert found.columns.num_rows == 100


class LyingReader(BlockReader):
    """Reads blocks, and adds one to every number in the last column."""

    def read(self, values: pa.BinaryArray) -> pa.RecordBatch:
        columns = super().read(values)
        wrong = pa.array([value + 1 for value in columns.column("n").to_pylist()], pa.int64())
        return pa.RecordBatch.from_arrays([*columns.columns[:-1], wrong], schema=columns.schema)


@pytest.mark.parametrize(("text", "value"), [(LISTS, b"\x02\x02a\x00\x02"), (record(n="long"), b"\x02")])
def test_a_wrong_decoder_is_found_counted_and_not_used_again(
    text: str, value: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full checks compare bytes, so that a value read wrongly comes from the strict decoder instead, and counts."""
    codec = AvroCodec(WriterSchema(text), frame=FRAME)
    root = WriterSchema(text).root
    rows: RowReader = codec._rows
    monkeypatch.setattr(rows, "_blocks", LyingReader(root, FRAME))
    values = binary([FRAME + value] * 1_000)
    found = codec.decode(values)
    assert found.columns.column("n").to_pylist() == [1] * 1_000
    assert found.canonical.all()
    assert codec.decoder_disagreements > 0
    assert not codec.vectorised
    assert codec.decode(values).columns.column("n").to_pylist() == [1] * 1_000


def test_later_batches_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the first batches one in `sample_every` is checked in full: a decoder that goes wrong late is found."""
    text = record(n="long")
    codec = AvroCodec(WriterSchema(text), frame=FRAME, full_check_batches=1, sample_every=4)
    values = binary([FRAME + b"\x02"] * 100)
    codec.decode(values)
    monkeypatch.setattr(codec._rows, "_blocks", LyingReader(WriterSchema(text).root, FRAME))
    counted = []
    for _ in range(4):
        codec.decode(values)
        counted.append(codec.decoder_disagreements > 0)
    assert counted == [False, False, False, True]


def test_rows_of_no_bytes_and_nested_nulls_go_to_the_strict_decoder() -> None:
    """Schemas that the vectorised reader can't read are known from the start, and decode all the same."""
    nothing = AvroCodec(WriterSchema(record(n="null")), frame=b"")
    assert not nothing.vectorised
    found = nothing.decode(binary([b""] * 100 + [b"x"]))
    assert found.columns.num_rows == 100
    assert list(found.errors) == [100]
    assert nothing.encode(found.columns).to_pylist() == [b""] * 100
    nested = {"type": "record", "name": "S", "fields": [{"name": "n", "type": "null"}, {"name": "i", "type": "int"}]}
    codec = AvroCodec(WriterSchema(record(s=nested)), frame=FRAME)
    assert not codec.vectorised
    assert codec.decode(binary([FRAME + b"\x02"] * 100)).columns.to_pylist() == [{"s": {"n": None, "i": 1}}] * 100


def test_times_beyond_the_calendar_are_exact() -> None:
    """Timestamps before the year 1 and after 9999, and dates at the ends of an int, come back bit for bit."""
    millis = {"type": "long", "logicalType": "timestamp-millis"}
    micros = {"type": "long", "logicalType": "timestamp-micros"}
    text = record(ms=millis, us=micros, day={"type": "int", "logicalType": "date"})
    extremes = [-(2**63), 2**63 - 1, 253_402_300_800_000, 253_402_300_800_000_000, -1, 0]
    values = binary([FRAME + number(at) * 2 + number(at >> 32) for at in extremes] * 10)
    codec = AvroCodec(WriterSchema(text), frame=FRAME)
    found = codec.decode(values)
    assert found.canonical.all()
    assert codec.encode(found.columns).equals(values)
    assert found.columns.column("us").cast(pa.int64()).to_pylist() == extremes * 10


def test_columns_from_a_parquet_file_encode_to_the_values(
    events: list[bytes], codec: AvroCodec, tmp_path: Path
) -> None:
    """What readers make of a file, with columns of their own beside, in chunks, and enums as text, encodes the same."""
    columns = codec.decode(binary(events)).columns
    table = pa.Table.from_batches([columns]).append_column("_offset", pa.array(range(ROWS)))
    pq.write_table(table, tmp_path / "f.parquet", row_group_size=700)
    back = pq.read_table(tmp_path / "f.parquet")
    assert codec.encode(back).to_pylist() == events
    text = back.set_column(5, "action", back.column("action").cast(pa.string()))
    assert codec.encode(text).to_pylist() == events
    large = back.set_column(2, "host", back.column("host").cast(pa.large_string()))
    assert codec.encode(large.slice(900, 1_000)).to_pylist() == events[900:1_900]


def test_records_that_grew_in_a_file_encode_by_name() -> None:
    """A file whose other rows have more fields gives those, too: an older schema's rows don't write them."""
    inner = {"type": "record", "name": "S", "fields": [{"name": "b", "type": "int"}, {"name": "a", "type": "string"}]}
    codec = AvroCodec(WriterSchema(record(s=["null", inner])), frame=FRAME)
    grown = pa.struct([("a", pa.string()), ("new", pa.int64()), ("b", pa.int32())])
    column = pa.array([None, {"a": "x", "new": 7, "b": 1}], grown)
    assert codec.encode(pa.table({"s": column})).to_pylist() == [FRAME + b"\x00", FRAME + b"\x02\x02\x02x"]


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ({"n": pa.array([1])}, "no single column 'tags'"),
        ({"tags": pa.array([["a"]]), "n": pa.array([None], pa.int64())}, "column n is null, .* in row 0"),
        ({"tags": pa.array([None], pa.list_(pa.string())), "n": pa.array([1])}, "column tags is null, .* in row 0"),
        ({"tags": pa.array([["a", None]]), "n": pa.array([1])}, r"column tags.\[\] is null, .* in row 1"),
        ({"tags": pa.array([["a"]]), "n": pa.array(["x"])}, "n is string"),
        ({"tags": pa.array([["a"]]), "n": pa.array([1.0])}, "n is double"),
        ({"tags": pa.array(["a"]), "n": pa.array([1])}, "tags is string"),
    ],
)
def test_columns_that_no_value_can_have_are_refused(columns: dict[str, Any], error: str) -> None:
    """A missing column, a wrong type, a null where the schema has none: an error that names the column."""
    codec = AvroCodec(WriterSchema(LISTS), frame=FRAME)
    with pytest.raises(EncodeError, match=error):
        codec.encode(pa.table(columns))


def test_an_unknown_enum_symbol_is_refused() -> None:
    """Text that is no symbol of the schema's can't be encoded."""
    codec = AvroCodec(WriterSchema(record(e={"type": "enum", "name": "E", "symbols": ["A"]})), frame=FRAME)
    with pytest.raises(EncodeError, match="row 1 holds no symbol"):
        codec.encode(pa.table({"e": ["A", "B"]}))


def test_limits_are_checked() -> None:
    """A codec that never checks, or divides by zero, can't be made."""
    with pytest.raises(ValueError, match="sample_every"):
        AvroCodec(WriterSchema(LISTS), frame=FRAME, sample_every=0)
