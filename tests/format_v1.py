"""What the tests of archive format v1 share: schemas, records of every odd shape, and a digest written out plainly.

Nothing here uses the code under test, except to make batches.
"""

import hashlib
import io
import json
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import count
from typing import Any, TypeAlias

import fastavro
import pyarrow as pa
from hypothesis import strategies as st

from headrace.archiver.flush_buffer import BuiltFile, FileContext, FlushBuffer
from headrace.archiver.parquet_file import ArchiveFile, read_file
from headrace.archiver.records import record_batch
from headrace.archiver.restore import check_part, restore_records
from headrace.archiver.topic_decoder import TopicSettings

Record: TypeAlias = dict[str, Any]
"""A record as RECORD_SCHEMA's to_pylist() gives it, headers as a list of (name, value)."""

NOW_MS = 1_763_856_000_000  # 2025-11-23T00:00:00Z
DAY_US = 86_400_000_000


def schema_text(*fields: tuple[str, Any], name: str = "Pin") -> str:
    return json.dumps({"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields]})


INSTANT = {"type": "long", "logicalType": "timestamp-micros"}
ACTION = {"type": "enum", "name": "Action", "symbols": ["UNKNOWN", "SAVE", "LIKE"]}
ACTION_MORE = {"type": "enum", "name": "Action", "symbols": ["UNKNOWN", "SAVE", "LIKE", "HIDE"]}
EVENT_ID = {"type": "fixed", "name": "EventId", "size": 16}

OLD = schema_text(("event_id", EVENT_ID), ("occurred_at", INSTANT), ("user_id", "long"), ("action", ACTION))
NEW = schema_text(
    ("event_id", EVENT_ID),
    ("occurred_at", INSTANT),
    ("user_id", "long"),
    ("action", ACTION_MORE),
    ("note", ["null", "string"]),
    ("ok", ["null", "boolean"]),
    ("ratio", "double"),
)
WIDE = schema_text(
    ("occurred_at", ["null", INSTANT]),
    ("tags", {"type": "array", "items": "string"}),
    ("counts", {"type": "map", "values": "long"}),
    ("place", {"type": "record", "name": "Place", "fields": [{"name": "x", "type": "int"}]}),
)
WIDER = schema_text(
    ("occurred_at", ["null", INSTANT]),
    (
        "place",
        {
            "type": "record",
            "name": "Place",
            "fields": [{"name": "x", "type": "int"}, {"name": "name", "type": ["null", "string"]}],
        },
    ),
)
CONFLICTING = schema_text(("user_id", "string"))
CASE = schema_text(("User_Id", "long"))
RESERVED = schema_text(("dt", "long"))
UNSUPPORTED = schema_text(("either", ["string", "long"]))

SCHEMAS = {
    b"old-----": OLD,
    b"new-----": NEW,
    b"wide----": WIDE,
    b"wider---": WIDER,
    b"conflict": CONFLICTING,
    b"case----": CASE,
    b"reserved": RESERVED,
    b"unsupp--": UNSUPPORTED,
}
REGISTRY = {7: OLD}


def frame(fingerprint: bytes) -> bytes:
    return b"\xc3\x01" + fingerprint


class Schemas:
    """A schema source over two dicts, which counts what it is asked."""

    def __init__(self, texts: dict[bytes, str] | None = None) -> None:
        self.texts = dict(SCHEMAS if texts is None else texts)
        self.asked = 0

    def text_by_fingerprint(self, fingerprint: bytes) -> str | None:
        self.asked += 1
        return self.texts.get(fingerprint)

    def text_by_registry_id(self, schema_id: int) -> str | None:
        return REGISTRY.get(schema_id)


@lru_cache
def _parsed(text: str) -> Any:
    return fastavro.parse_schema(json.loads(text))


def body(text: str, value: dict[str, Any]) -> bytes:
    sink = io.BytesIO()
    fastavro.schemaless_writer(sink, _parsed(text), value)
    return sink.getvalue()


def old_event(at_us: int = NOW_MS * 1000, *, user_id: int = 7, action: str = "SAVE") -> dict[str, Any]:
    return {"event_id": b"0123456789abcdef", "occurred_at": at_us, "user_id": user_id, "action": action}


def new_event(at_us: int = NOW_MS * 1000, **more: Any) -> dict[str, Any]:
    event = {**old_event(at_us), "note": None, "ok": True, "ratio": 0.5}
    return {**event, **more}


def value_of(fingerprint: bytes, event: dict[str, Any]) -> bytes:
    return frame(fingerprint) + body(SCHEMAS[fingerprint], event)


def record(partition: int, offset: int, value: bytes | None, **more: Any) -> Record:
    made = {"timestamp": NOW_MS, "timestamp_type": 0, "key": b"k", "headers": [], **more}
    return {"partition": partition, "offset": offset, "value": value, **made}


def batch_of(records: Sequence[Record]) -> pa.RecordBatch:
    names = ("partition", "offset", "timestamp", "timestamp_type", "key", "value", "headers")
    return record_batch(*([each[name] for each in records] for name in names))


def records_of(batch: pa.RecordBatch) -> list[Record]:
    rows = batch.to_pylist()
    return [{**row, "headers": [(pair["name"], pair["value"]) for pair in row["headers"]]} for row in rows]


def ids() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"id-{next(numbers):04}"


def buffer(schemas: Schemas | None = None, **settings: Any) -> FlushBuffer:
    return FlushBuffer(TopicSettings("pin", **settings), schemas or Schemas(), new_id=ids())


def context(partitions: Iterable[int] = range(600)) -> FileContext:
    spans = tuple({"partition": partition, "lineage": 0, "from": 0} for partition in partitions)
    return FileContext("pin", "topic-id", "cluster-id", "host:1:0", spans)


def read(file: BuiltFile) -> ArchiveFile:
    return read_file(file.body, sha256=file.sha256, kind=file.kind, where=file.key)


def restored(files: Iterable[BuiltFile]) -> list[Record]:
    """All records of the files, each part checked, in the order of (partition, offset)."""
    records: list[Record] = []
    for file in files:
        table, footer = read(file)
        assert table.num_rows == file.rows == sum(part.rows for part in file.parts)
        for part in file.parts:
            batch = restore_records(table.slice(part.row_start, part.rows), footer)
            check_part(batch, part)
            assert plain_digest(records_of(batch)) == part.digest
            records += records_of(batch)
    return sorted(records, key=place)


def place(each: Record) -> tuple[int, int]:
    return each["partition"], each["offset"]


def plain_digest(records: Sequence[Record]) -> str:
    """The part digest as docs/archive-format.md describes it, record by record."""

    def length(data: bytes | None) -> bytes:
        return struct.pack("<i", -1 if data is None else len(data))

    columns = [b""] * 12
    for each in records:
        columns[0] += struct.pack("<q", each["offset"])
        columns[1] += struct.pack("<q", each["timestamp"])
        columns[2] += struct.pack("<b", each["timestamp_type"])
        columns[3] += length(each["key"])
        columns[4] += each["key"] or b""
        columns[5] += length(each["value"])
        columns[6] += each["value"] or b""
        columns[7] += struct.pack("<i", len(each["headers"]))
        for name, value in each["headers"]:
            columns[8] += length(name.encode())
            columns[9] += name.encode()
            columns[10] += length(value)
            columns[11] += value or b""
    hashes = b"".join(hashlib.sha256(column).digest() for column in columns)
    return hashlib.sha256(b"headrace part digest 1\n" + struct.pack("<Q", len(records)) + hashes).hexdigest()


# -- records of every shape --

times_us = st.one_of(
    st.integers(NOW_MS * 1000 - 40 * DAY_US, NOW_MS * 1000 + 3 * DAY_US),
    st.sampled_from([0, -1, 1, 253_402_300_799_999_999, 253_402_300_800_000_000, -(2**62), 2**62]),
)
timestamps_ms = st.one_of(
    st.integers(NOW_MS - 3 * 86_400_000, NOW_MS + 86_400_000),
    st.sampled_from([-1, 0, 1, -5, 253_402_300_799_999, 253_402_300_800_000, 2**63 - 1, -(2**63)]),
)
old_values = st.builds(
    lambda at, user, action: value_of(b"old-----", old_event(at, user_id=user, action=action)),
    times_us,
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(["UNKNOWN", "SAVE", "LIKE"]),
)
new_values = st.builds(
    lambda at, note, ok, action: value_of(b"new-----", new_event(at, note=note, ok=ok, action=action)),
    times_us,
    st.one_of(st.none(), st.text(max_size=5)),
    st.sampled_from([None, True, False]),
    st.sampled_from(["SAVE", "HIDE"]),
)
wide_values = st.builds(
    lambda at, tags, counts, x: value_of(
        b"wide----", {"occurred_at": at, "tags": tags, "counts": counts, "place": {"x": x}}
    ),
    st.one_of(st.none(), times_us),
    st.lists(st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(-5, 5), max_size=3),
    st.integers(-(2**31), 2**31 - 1),
)
wider_values = st.builds(
    lambda x, name: value_of(b"wider---", {"occurred_at": None, "place": {"x": x, "name": name}}),
    st.integers(-9, 9),
    st.sampled_from([None, "", "here"]),
)
good_values = st.one_of(old_values, new_values, wide_values, wider_values)


def _flipped(value: bytes, at: int, flip: int) -> bytes:
    changed = bytearray(value)
    changed[at % len(changed)] ^= flip
    return bytes(changed)


def long_varint() -> bytes:
    """An event with user_id 0 written in two bytes: decodable, and not canonical."""
    start = frame(b"old-----") + b"0123456789abcdef" + body(schema_text(("t", INSTANT)), {"t": NOW_MS * 1000})
    return start + b"\x80\x00" + b"\x02"


bad_values = st.one_of(
    st.binary(max_size=14),
    st.just(long_varint()),
    good_values.map(lambda value: value[:-1]),
    good_values.map(lambda value: value + b"\x00"),
    st.builds(_flipped, good_values, st.integers(0, 200), st.integers(1, 255)),
    st.sampled_from([b"unknown-", b"unsupp--", b"reserved", b"case----"]).map(lambda name: frame(name) + b"\x02"),
    st.just(value_of(b"conflict", {"user_id": "seven"})),
    st.sampled_from([7, 8]).map(lambda number: b"\x00" + number.to_bytes(4, "big") + body(OLD, old_event())),
)


values = st.one_of(st.none(), good_values, good_values, bad_values)
headers = st.lists(
    st.tuples(st.sampled_from(["", "a", "b", "ü"]), st.one_of(st.none(), st.binary(max_size=3))), max_size=3
)


def record_lists(of_values: st.SearchStrategy[bytes | None] = values) -> st.SearchStrategy[list[Record]]:
    """Records of up to 4 partitions, offsets rising with holes, as a consumer would see them."""
    one = st.tuples(
        st.integers(0, 3),
        st.sampled_from([1, 1, 1, 2, 1000]),
        of_values,
        timestamps_ms,
        st.sampled_from([-1, 0, 1]),
        st.one_of(st.none(), st.binary(max_size=4)),
        headers,
    )
    return st.lists(one, max_size=30).map(_numbered)


def _numbered(drawn: list[tuple[int, int, bytes | None, int, int, bytes | None, Any]]) -> list[Record]:
    last = dict.fromkeys(range(4), -1)
    records: list[Record] = []
    for partition, step, value, timestamp, timestamp_type, key, pairs in drawn:
        last[partition] += step
        more = {"timestamp": timestamp, "timestamp_type": timestamp_type, "key": key, "headers": pairs}
        records.append(record(partition, last[partition], value, **more))
    return records
