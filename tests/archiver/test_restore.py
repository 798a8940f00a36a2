"""Restoring: what doesn't fit together is refused, never guessed."""

import dataclasses

import pyarrow as pa
import pytest
from format_v1 import batch_of, buffer, context, frame, new_event, old_event, read, record, records_of, value_of

from headrace.archiver.parquet_file import ArchiveFile, FileCorrupt
from headrace.archiver.part_digest import Part
from headrace.archiver.restore import DigestMismatch, check_part, restore_records

RECORDS = [
    record(0, 0, value_of(b"old-----", old_event())),
    record(0, 1, value_of(b"new-----", new_event())),
    record(0, 2, None),
    record(0, 3, value_of(b"old-----", old_event(user_id=1))),
]


def archived() -> tuple[ArchiveFile, Part]:
    held = buffer()
    held.add(batch_of(RECORDS))
    file = held.build(context())[0]
    return read(file), file.parts[0]


def test_any_slice_can_be_restored() -> None:
    """Any run of a file's rows gives its records."""
    (table, footer), _ = archived()
    for start in range(5):
        for stop in range(start, 5):
            assert records_of(restore_records(table.slice(start, stop - start), footer)) == RECORDS[start:stop]


def test_rows_of_several_chunks_are_restored() -> None:
    """A table in several chunks, each with a dictionary of its own, is restored as one."""
    (table, footer), _ = archived()
    pieces = [table.slice(at, 1).combine_chunks() for at in range(4)]
    pieces = [piece.set_column(piece.column_names.index("_frame"), "_frame", _own(piece["_frame"])) for piece in pieces]
    assert records_of(restore_records(pa.concat_tables(pieces), footer)) == RECORDS


def _own(frames: pa.ChunkedArray) -> pa.Array:
    return pa.array(frames.to_pylist(), pa.binary()).dictionary_encode()


def test_a_frame_without_its_schema_is_refused() -> None:
    """A row whose frame the footer doesn't know can't be restored, and says which frame."""
    (table, footer), _ = archived()
    less = dataclasses.replace(footer, schemas={frame(b"new-----"): footer.schemas[frame(b"new-----")]})
    with pytest.raises(FileCorrupt, match=rf"here: .*{frame(b'old-----').hex()}"):
        restore_records(table, less, "here")


def test_a_missing_column_is_refused() -> None:
    """A row can't be restored without all columns of its schema."""
    (table, footer), _ = archived()
    with pytest.raises(FileCorrupt, match="user_id"):
        restore_records(table.drop_columns(["user_id"]), footer)


def test_a_missing_value_in_a_required_column_is_refused() -> None:
    """Null in a column that its schema doesn't let be null is an error, not an invented value."""
    (table, footer), _ = archived()
    nulls = pa.nulls(4, pa.int64())
    with pytest.raises(FileCorrupt):
        restore_records(table.set_column(table.column_names.index("user_id"), "user_id", nulls), footer)


def test_both_frame_and_value_is_refused() -> None:
    """A row says once where its value is."""
    (table, footer), _ = archived()
    both = pa.array([b"v", None, None, None], pa.binary())
    with pytest.raises(FileCorrupt, match="both _frame and _value"):
        restore_records(table.set_column(table.column_names.index("_value"), "_value", both), footer)


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "0" * 64},
        {"rows": 3},
        {"first": 1},
        {"last": 4},
        {"partition": 1},
    ],
    ids=str,
)
def test_records_of_another_part_are_refused(change: dict[str, int | str]) -> None:
    """check_part passes exactly the part's records."""
    (table, footer), part = archived()
    records = restore_records(table, footer)
    check_part(records, part)
    with pytest.raises(DigestMismatch, match="don't use the records"):
        check_part(records, dataclasses.replace(part, **change))  # type: ignore[arg-type]  # fields by name


def test_no_records_are_no_part() -> None:
    """Restoring nothing proves nothing."""
    (table, footer), part = archived()
    with pytest.raises(DigestMismatch):
        check_part(restore_records(table.slice(0, 0), footer), part)
