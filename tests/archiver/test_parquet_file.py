"""Format v1 files as Parquet: what any reader finds in them, and what damage does."""

import hashlib
import io
import json
import random
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from format_v1 import (
    NOW_MS,
    OLD,
    batch_of,
    buffer,
    context,
    frame,
    new_event,
    old_event,
    read,
    record,
    records_of,
    value_of,
)

from headrace.archiver.flush_buffer import BuiltFile
from headrace.archiver.parquet_file import FileCorrupt, Footer, footer_bytes, footer_of, read_file
from headrace.archiver.parquet_file_write import Extent, row_group_bounds, write_file
from headrace.archiver.restore import DigestMismatch, check_part, restore_records


def files() -> list[BuiltFile]:
    """A data file with two schemas, and a quarantine file."""
    held = buffer()
    records = [
        record(
            at % 3,
            at,
            value_of(b"new-----", new_event(NOW_MS * 1000 + at, note=f"note {at % 5}"))
            if at % 2
            else value_of(b"old-----", old_event(NOW_MS * 1000 + at, user_id=at * 7919)),
            key=b"%d" % at,
            headers=[("trace", b"%d" % at)] if at % 10 == 0 else [],
        )
        for at in range(300)
    ]
    records += [record(3, at, b"bad %d" % at) for at in range(20)]
    held.add(batch_of(records))
    return held.build(context())


def metadata(file: BuiltFile) -> pq.FileMetaData:
    return pq.read_metadata(pa.BufferReader(file.body))


def test_types_are_plain_parquet() -> None:
    """Stored types are what every engine reads: no UUID annotation, UTC microseconds, strings, and no Arrow schema."""
    file = files()[0]
    schema = metadata(file).schema
    found = {schema.column(at).path: schema.column(at) for at in range(len(schema))}
    stored = {path: (column.physical_type, column.logical_type.type) for path, column in found.items()}
    assert stored == {
        "event_id": ("FIXED_LEN_BYTE_ARRAY", "NONE"),
        "occurred_at": ("INT64", "TIMESTAMP"),
        "user_id": ("INT64", "NONE"),
        "action": ("BYTE_ARRAY", "STRING"),
        "note": ("BYTE_ARRAY", "STRING"),
        "ok": ("BOOLEAN", "NONE"),
        "ratio": ("DOUBLE", "NONE"),
        "_partition": ("INT32", "NONE"),
        "_offset": ("INT64", "NONE"),
        "_timestamp": ("INT64", "NONE"),
        "_timestamp_type": ("INT32", "INT"),
        "_key": ("BYTE_ARRAY", "NONE"),
        "_headers.list.element.name": ("BYTE_ARRAY", "STRING"),
        "_headers.list.element.value": ("BYTE_ARRAY", "NONE"),
        "_frame": ("BYTE_ARRAY", "NONE"),
        "_value": ("BYTE_ARRAY", "NONE"),
        "_late": ("BOOLEAN", "NONE"),
    }
    time = json.loads(found["occurred_at"].logical_type.to_json())
    assert (time["isAdjustedToUTC"], time["timeUnit"]) == (True, "microseconds")
    assert set(metadata(file).metadata) == {b"headrace"}


def test_quarantine_columns() -> None:
    """A quarantine file has the record's columns, the value and the error, and nothing else."""
    table, _ = read(files()[1])
    names = ["_partition", "_offset", "_timestamp", "_timestamp_type", "_key", "_headers"]
    assert table.column_names == [*names, "_value", "_error_kind", "_error"]


def test_statistics_compression_and_encodings() -> None:
    """zstd everywhere, statistics on the three columns that prune, dictionaries only on columns that repeat."""
    group = metadata(files()[0]).row_group(0)
    columns = {group.column(at).path_in_schema: group.column(at) for at in range(group.num_columns)}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert {name for name, column in columns.items() if column.is_stats_set} == {"_partition", "_offset", "occurred_at"}
    dictionaries = {name for name, column in columns.items() if column.has_dictionary_page}
    assert {"action", "_partition", "_frame", "event_id"} <= dictionaries
    assert not {"user_id", "_offset", "_timestamp", "_key", "occurred_at"} & dictionaries
    assert "DELTA_BINARY_PACKED" in columns["_offset"].encodings


def test_the_footer_says_whose_rows_these_are() -> None:
    """The footer holds the context and the exact schema texts, and can be had from the file's last bytes alone."""
    file = files()[0]
    footer = footer_of(file.body)
    assert footer == read(file).footer
    assert (footer.kind, footer.topic, footer.topic_id, footer.cluster_id) == ("data", "pin", "topic-id", "cluster-id")
    assert (footer.dt, footer.writer) == (file.dt, "host:1:0")
    assert footer.spans[2] == {"partition": 2, "lineage": 0, "from": 0}
    assert footer.schemas[frame(b"old-----")] == OLD
    needed = footer_bytes(file.body[-8:])
    assert needed < len(file.body)
    assert footer_of(file.body[-needed:]) == footer
    assert footer_of(io.BytesIO(file.body)) == footer
    with pytest.raises(FileCorrupt, match=f"its footer has {needed} bytes"):
        footer_of(file.body[-needed + 1 :])


def test_a_flipped_bit_never_gives_wrong_rows() -> None:
    """With the hash known, and without it: a damaged file is an error or gives exactly the records it should."""
    seed = 20_261_123
    chance = random.Random(seed)
    for file in files():
        right = read(file)
        records = records_of(restore_records(right.table, right.footer))
        refused = 0
        positions = sorted(chance.sample(range(len(file.body)), 300)) + list(range(len(file.body) - 40, len(file.body)))
        for position in positions:
            damaged = bytearray(file.body)
            damaged[position] ^= 1 << chance.randrange(8)
            with pytest.raises(FileCorrupt, match="SHA-256"):
                read_file(bytes(damaged), sha256=file.sha256, kind=file.kind)
            try:
                table, footer = read_file(bytes(damaged), sha256=None, kind=file.kind)
                restored = restore_records(table, footer)
                for part in file.parts:
                    check_part(restored.slice(part.row_start, part.rows), part)
            except (FileCorrupt, DigestMismatch):
                refused += 1
            else:
                assert records_of(restored) == records, f"seed {seed}, byte {position}"
        assert refused > len(positions) * 0.6


def test_page_checksums_are_written_and_verified() -> None:
    """A flipped bit within a page's data is found by the page's own checksum."""
    file = files()[0]
    column = metadata(file).row_group(0).column(2)
    assert column.path_in_schema == "user_id"
    damaged = bytearray(file.body)
    damaged[column.data_page_offset + column.total_compressed_size - 5] ^= 1
    with pytest.raises(FileCorrupt, match="CRC"):
        read_file(bytes(damaged), sha256=None, kind="data")


@pytest.mark.parametrize("length", [0, 3, 7, 8, 11, 100])
def test_truncated_files_are_refused(length: int) -> None:
    """A file cut short is refused, by its end, whatever is left of it."""
    body = files()[0].body
    for cut in (body[:length], body[: len(body) - 1 - length]):
        with pytest.raises(FileCorrupt):
            read_file(cut, sha256=None, kind="data")
        with pytest.raises(FileCorrupt):
            footer_of(cut)


def test_errors_name_the_file() -> None:
    """What is wrong and which file it is are in the error, and apart in its fields."""
    with pytest.raises(FileCorrupt, match=r"^data/x\.parquet: its SHA-256 is ") as caught:
        read_file(b"", sha256="0" * 64, kind="data", where="data/x.parquet")
    assert caught.value.where == "data/x.parquet"
    assert caught.value.what.startswith("its SHA-256 is")


def parquet(table: pa.Table, footer: str | None) -> bytes:
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema, store_schema=False) as writer:
        writer.write_table(table)
        if footer is not None:
            writer.add_key_value_metadata({"headrace": footer})
    return sink.getvalue()


GOOD_FOOTER = Footer("data", "pin", "t", "c", "2025-11-23", ({"partition": 0, "lineage": 0, "from": 0},), "w", {})


def altered(**changes: object) -> str:
    return json.dumps({**json.loads(GOOD_FOOTER.to_json()), **changes})


@pytest.mark.parametrize(
    ("footer", "message"),
    [
        (None, "no headrace footer"),
        ("{", "can't be read"),
        ("[]", "can't be read"),
        ("[" * 100_000, "can't be read"),
        (altered(format=2), "use a newer one"),
        (altered(kind="other"), "neither data nor quarantine"),
        (altered(topic=7), "topic is not a string"),
        (altered(spans=[{"partition": 0}]), "can't be read"),
        (altered(schemas={"zz": "x"}), "can't be read"),
        (altered(schemas=[]), "can't be read"),
        (GOOD_FOOTER.to_json(), "its column _partition is missing"),
        (altered(kind="quarantine"), "a quarantine file where a data file was expected"),
    ],
    ids=lambda each: str(each)[:30],
)
def test_strangers_are_refused(footer: str | None, message: str) -> None:
    """Parquet that is not a file of this format is refused, with the reason."""
    with pytest.raises(FileCorrupt, match=message):
        read_file(parquet(pa.table({"x": [1]}), footer), sha256=None, kind="data")


def test_a_column_of_another_type_is_refused() -> None:
    """The record's columns have fixed types."""
    table, footer = read(files()[0])
    wrong = table.set_column(table.column_names.index("_offset"), "_offset", table["_offset"].cast(pa.int32()))
    with pytest.raises(FileCorrupt, match="its column _offset is int32, not int64"):
        read_file(parquet(wrong, footer.to_json()), sha256=None, kind="data")


def test_a_footer_survives_its_text() -> None:
    """from_json(to_json()) is the footer, and equal footers have equal texts."""
    footer = footer_of(files()[0].body)
    assert Footer.from_json(footer.to_json(), "here") == footer


def test_a_file_that_is_not_what_was_meant_is_not_handed_out() -> None:
    """Rows and extremes are compared by opening the file again."""
    table = pa.table({"_partition": pa.array([1, 2], pa.int32()), "_offset": pa.array([5, 6], pa.int64())})
    assert write_file(iter([table]), GOOD_FOOTER, Extent(2, (1, 2), (5, 6)))
    for wrong in (Extent(3, (1, 2), (5, 6)), Extent(2, (0, 2), (5, 6)), Extent(2, (1, 2), (5, 7))):
        with pytest.raises(FileCorrupt, match="reads back with"):
            write_file(iter([table]), GOOD_FOOTER, wrong)


@pytest.mark.parametrize("rows", [1, 49_999, 131_072, 131_073, 262_144, 262_145, 1_000_000])
def test_row_group_bounds(rows: int) -> None:
    """Bounds tile the rows in groups of equal size between 50,000 and 131,072 where there are as many."""
    bounds = row_group_bounds(rows)
    assert bounds[0][0] == 0
    assert bounds[-1][1] == rows
    assert all(left[1] == right[0] for left, right in pairwise(bounds))
    sizes = [stop - start for start, stop in bounds]
    assert max(sizes) <= 131_072
    assert len(sizes) == 1 or min(sizes) >= 50_000


def test_the_hash_is_of_the_body() -> None:
    """A built file's sha256 is that of its bytes."""
    for file in files():
        assert hashlib.sha256(file.body).hexdigest() == file.sha256
