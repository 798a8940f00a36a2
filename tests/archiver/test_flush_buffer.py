"""The flush buffer: what it counts, how files are cut and ordered, what a revocation takes away."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from format_v1 import (
    DAY_US,
    NOW_MS,
    Record,
    Schemas,
    batch_of,
    buffer,
    context,
    frame,
    ids,
    new_event,
    old_event,
    place,
    read,
    record,
    restored,
    value_of,
)

from headrace.archiver.flush_buffer import FlushBuffer, OffsetStepBack
from headrace.archiver.records import record_batch
from headrace.archiver.topic_decoder import TopicSettings

OLD = value_of(b"old-----", old_event())
YESTERDAY = value_of(b"old-----", old_event(NOW_MS * 1000 - DAY_US))
WITH_NOTE = value_of(b"new-----", new_event(note="x"))
BAD = b"not avro"


def mixed() -> list[Record]:
    values = [OLD, YESTERDAY, BAD, None, OLD, WITH_NOTE]
    return [record(at % 3, at, values[at % 6], timestamp=NOW_MS + at) for at in range(60)]


def test_files_are_cut_by_kind_and_date() -> None:
    """A flush makes one file for each kind and date; its key says so, and carries a fresh id."""
    held = buffer()
    held.add(batch_of(mixed()))
    files = held.build(context())
    assert [file.key for file in files] == [
        "data/topic=pin/dt=2025-11-22/id-0001.parquet",
        "data/topic=pin/dt=2025-11-23/id-0002.parquet",
        "quarantine/topic=pin/dt=2025-11-23/id-0003.parquet",
    ]
    assert [(file.kind, file.dt, file.rows, file.late) for file in files] == [
        ("data", "2025-11-22", 10, 0),
        ("data", "2025-11-23", 40, 0),
        ("quarantine", "2025-11-23", 10, 0),
    ]
    assert all(file.bytes == len(file.body) for file in files)


def test_rows_are_sorted_and_parts_say_where_they_are() -> None:
    """Rows are in the order of (_partition, _offset), and each part gives its partition's rows and offsets."""
    held = buffer()
    records = mixed()
    held.add(batch_of(records[:20]))
    held.add(batch_of(records[20:]))
    for file in held.build(context()):
        table, _ = read(file)
        places = list(zip(table["_partition"].to_pylist(), table["_offset"].to_pylist(), strict=True))
        assert places == sorted(set(places))
        assert [part.row_start for part in file.parts] == np.cumsum([0, *(p.rows for p in file.parts)])[:-1].tolist()
        for part in file.parts:
            own = places[part.row_start : part.row_start + part.rows]
            assert {partition for partition, _ in own} == {part.partition}
            assert (own[0][1], own[-1][1]) == (part.first, part.last)


def test_it_counts_what_it_holds() -> None:
    """Rows, quarantined rows, newest timestamps and offsets are known for each partition."""
    held = buffer()
    assert (held.rows, held.bytes, held.partitions()) == (0, 0, set())
    records = mixed()
    held.add(batch_of(records[:30]))
    first_bytes = held.bytes
    held.add(batch_of(records[30:]))
    assert held.rows == 60
    assert 0 < first_bytes < held.bytes
    assert held.partitions() == {0, 1, 2}
    assert held.rows_by_partition == {0: 20, 1: 20, 2: 20}
    assert held.quarantined == {2: 10}
    assert held.max_timestamps == {0: NOW_MS + 57, 1: NOW_MS + 58, 2: NOW_MS + 59}
    assert held.first_offsets == {0: 0, 1: 1, 2: 2}
    assert held.last_offsets == {0: 57, 1: 58, 2: 59}


def test_negative_timestamps_are_kept_as_maxima() -> None:
    """The newest timestamp of a partition without timestamps is -1, not 0."""
    held = buffer()
    held.add(batch_of([record(0, 0, None, timestamp=-1), record(0, 1, None, timestamp=-1)]))
    assert held.max_timestamps == {0: -1}


def test_dropped_partitions_leave_no_trace() -> None:
    """After drop() the files, counts and digests are those of a buffer that never saw the partitions."""
    dropped, never = buffer(), buffer()
    records = mixed()
    dropped.add(batch_of(records[:31]))
    dropped.add(batch_of(records[31:]))
    dropped.drop([1, 2, 77])
    never.add(batch_of([each for each in records[:31] if each["partition"] == 0]))
    never.add(batch_of([each for each in records[31:] if each["partition"] == 0]))
    assert dropped.rows == never.rows == 20
    assert dropped.rows_by_partition == never.rows_by_partition
    assert dropped.quarantined == never.quarantined == {}
    left, right = dropped.build(context()), never.build(context())
    assert [(file.dt, file.parts) for file in left] == [(file.dt, file.parts) for file in right]
    assert restored(left) == restored(right)
    assert [dict(read(file).footer.schemas) for file in left] == [dict(read(file).footer.schemas) for file in right]


def test_a_dropped_partition_may_begin_again() -> None:
    """After a seek the same offsets are taken again, and count once."""
    held = buffer()
    records = [record(0, at, OLD) for at in range(4)]
    held.add(batch_of(records))
    held.drop([0])
    assert held.build(context()) == []
    held.add(batch_of(records[:2]))
    assert restored(held.build(context())) == records[:2]


def test_dropping_frees_memory() -> None:
    """The bytes held fall when partitions go, to nothing with the last one."""
    held = buffer()
    held.add(batch_of(mixed()))
    before = held.bytes
    held.drop([0, 1])
    assert 0 < held.bytes < before
    held.drop([2])
    assert held.bytes == 0


def test_some_partitions_can_be_built_alone() -> None:
    """build() with partitions takes their rows only, with their spans only, and keeps everything held."""
    held = buffer()
    records = mixed()
    held.add(batch_of(records))
    files = held.build(context(range(3)), [1])
    assert restored(files) == [each for each in records if each["partition"] == 1]
    assert {span["partition"] for file in files for span in read(file).footer.spans} == {1}
    assert restored(held.build(context())) == sorted(records, key=place)


def test_building_twice_gives_the_same_files_under_new_keys() -> None:
    """A build can be repeated: same bytes, another id."""
    held = buffer()
    held.add(batch_of(mixed()))
    first, second = held.build(context()), held.build(context())
    assert [file.sha256 for file in first] == [file.sha256 for file in second]
    assert not {file.key for file in first} & {file.key for file in second}


def test_clear_forgets_everything() -> None:
    """After clear() the buffer is as new."""
    held = buffer()
    held.add(batch_of(mixed()))
    held.clear()
    assert (held.rows, held.bytes, held.partitions(), held.quarantined, held.max_timestamps) == (0, 0, set(), {}, {})
    assert held.build(context()) == []
    held.add(batch_of(mixed()))
    assert held.rows == 60


@pytest.mark.parametrize("offsets", [[3, 3], [4, 3]])
def test_offsets_must_rise(offsets: list[int]) -> None:
    """An offset that is not above its partition's last is refused, within a batch and across two; nothing changes."""
    first, second = (record(0, offset, OLD) for offset in offsets)
    other = record(1, 9, OLD)
    held = buffer()
    with pytest.raises(OffsetStepBack, match=f"partition 0: offset {offsets[1]} came after offset {offsets[0]}"):
        held.add(batch_of([first, other, second]))
    assert held.rows == 0
    held.add(batch_of([first]))
    with pytest.raises(OffsetStepBack, match=r"drop\(\) or clear\(\)"):
        held.add(batch_of([other, second]))
    assert held.partitions() == {0}


def test_an_empty_batch_is_nothing() -> None:
    """A batch without rows changes nothing."""
    held = buffer()
    held.add(batch_of([]))
    assert held.partitions() == set()


def test_rows_without_a_span_are_refused() -> None:
    """A file's footer must cover all its partitions, and its topic must be the buffer's."""
    held = buffer()
    held.add(batch_of([record(5, 0, OLD)]))
    with pytest.raises(ValueError, match=r"partitions \[5\]"):
        held.build(context([4]))
    other = FlushBuffer(TopicSettings("follow"), Schemas(), new_id=ids())
    with pytest.raises(ValueError, match="follow"):
        other.build(context())


def test_misfiled_events_are_counted() -> None:
    """An event time too far from the broker's goes under the broker's date, and is counted."""
    held = buffer(dt_past_days=1, dt_future_days=0)
    late, early = old_event(NOW_MS * 1000 - 3 * DAY_US), old_event(NOW_MS * 1000 + DAY_US)
    held.add(
        batch_of([record(0, at, value_of(b"old-----", each)) for at, each in enumerate((late, early, old_event()))])
    )
    assert held.dt_exceptions == 2
    assert [file.dt for file in held.build(context())] == ["2025-11-23"]


def test_many_dates_at_once() -> None:
    """A batch whose rows are of 300 dates becomes 300 files, and every record is in one of them."""
    held = buffer(dt_past_days=400)
    records = [
        record(at % 4, at, value_of(b"old-----", old_event(NOW_MS * 1000 - at % 300 * DAY_US))) for at in range(900)
    ]
    held.add(batch_of(records))
    files = held.build(context())
    assert len({file.dt for file in files}) == len(files) == 300
    assert restored(files) == sorted(records, key=place)


def raw_rows(rows: int, partitions: int, batches: int, *, interleaved: bool = False) -> FlushBuffer:
    held = buffer(format="raw")
    number = np.arange(rows)
    partition = (number % partitions).astype(np.int32)
    if not interleaved:
        partition = np.sort(partition.reshape(batches, -1), axis=1).ravel()
    for part, offset in zip(np.split(partition, batches), np.split(number, batches), strict=True):
        nothing = [None] * len(part)
        held.add(record_batch(part, offset, offset, (part * 0).astype(np.int8), nothing, [b"v"] * len(part), nothing))
    return held


@pytest.mark.parametrize(("rows", "groups"), [(1000, 1), (131_000, 1), (132_000, 2), (263_000, 3)], ids=str)
def test_row_groups_are_large_and_bounded(rows: int, groups: int) -> None:
    """Row groups hold 50,000 to 131,072 rows where there are as many, all partitions together."""
    file = raw_rows(rows, partitions=50, batches=10).build(context())[0]
    table, _ = read(file)
    sizes = row_group_sizes(file.body)
    assert len(sizes) == groups
    assert sum(sizes) == rows == table.num_rows
    assert max(sizes) <= 131_072
    assert len(sizes) == 1 or min(sizes) >= 50_000
    assert_in_order(file.body)


@pytest.mark.parametrize("interleaved", [False, True], ids=["long runs", "interleaved"])
def test_both_ways_of_gathering_rows_agree(interleaved: bool) -> None:
    """Long runs are taken as slices and short ones row by row, to the same effect."""
    held = raw_rows(20_000, partitions=2 if not interleaved else 500, batches=4, interleaved=interleaved)
    file = held.build(context())[0]
    assert_in_order(file.body)
    assert sum(part.rows for part in file.parts) == 20_000


def assert_in_order(body: bytes) -> None:
    table = pq.read_table(pa.BufferReader(body), columns=["_partition", "_offset", "_timestamp"])
    partition, offset = table["_partition"].to_numpy().astype(np.int64), table["_offset"].to_numpy()
    assert (np.diff(partition * 10**9 + offset) > 0).all()
    assert (offset == table["_timestamp"].to_numpy()).all()


def row_group_sizes(body: bytes) -> list[int]:
    metadata = pq.read_metadata(pa.BufferReader(body))
    return [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]


def test_a_frame_with_nothing_behind_it_is_no_event() -> None:
    """A frame without a body is bad, unless its schema has no bytes."""
    held = buffer()
    held.add(batch_of([record(0, 0, frame(b"old-----"))]))
    assert held.quarantined == {0: 1}
