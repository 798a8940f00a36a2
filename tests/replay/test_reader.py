"""Reading an archived range: all of it, in order, unchanged, or an error."""

import hashlib

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_archive import DAY_MS, NOV_23_MS, TOPIC_ID, Rec, SmallArchive, pin_value, rows

from headrace.archiver.log_entries import Gap, log_key
from headrace.archiver.object_store import StoreUnreachable
from headrace.archiver.records import RECORD_SCHEMA
from headrace.replay import (
    ArchiveDamaged,
    NothingChecked,
    RangeMissing,
    Selection,
    TopicUnknown,
    open_reading,
    parse_selection,
    read,
)


def pins(partition: int, start: int, end: int, *, at_ms: int = NOV_23_MS) -> list[Rec]:
    return [Rec(partition, o, pin_value(o, at_ms=at_ms), b"k", at_ms + o) for o in range(start, end)]


def of_partition(records: list[Rec], partition: int) -> list[Rec]:
    return [r for r in records if r.partition == partition]


MIXED = [
    Rec(0, 0, pin_value(0), b"", headers=[("a", b"1"), ("a", None), ("", b"")]),
    Rec(0, 1, None, b"gone"),
    Rec(0, 2, b"", None),
    Rec(0, 5, b"no frame at all", b"\xff\x00"),
    Rec(0, 6, pin_value(6), None, timestamp=-1, timestamp_type=-1),
    Rec(2, 10, pin_value(10), b"k", timestamp=0, timestamp_type=1),
]


def test_records_come_back_as_they_were() -> None:
    """Null and empty, duplicate headers, tombstones, undecodable values and odd timestamps survive unchanged."""
    archive = SmallArchive()
    archive.commit(MIXED)
    assert sorted(rows(read(archive.store, "pin")), key=lambda r: (r.partition, r.offset)) == MIXED


def test_batches_have_the_record_schema() -> None:
    """What read() yields is one partition's records in RECORD_SCHEMA."""
    archive = SmallArchive()
    archive.commit(MIXED)
    batches = list(read(archive.store, "pin"))
    assert all(batch.schema == RECORD_SCHEMA for batch in batches)
    assert all(len(set(batch.column("partition").to_pylist())) == 1 for batch in batches)


def test_rows_of_one_commit_in_files_of_several_dates_are_merged_by_offset() -> None:
    """Dates alternate from record to record, quarantined records lie between: the offsets still rise by one."""
    records = [
        Rec(0, o, b"bad" if o % 5 == 4 else pin_value(o, at_ms=NOV_23_MS + (o % 3) * DAY_MS), timestamp=NOV_23_MS + o)
        for o in range(50)
    ]
    archive = SmallArchive()
    entry = archive.commit(records)
    assert len(entry.files) > 2
    assert rows(read(archive.store, "pin")) == records


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_cut_of_any_history_is_exactly_those_offsets(data: st.DataObject) -> None:
    """Over random commits, dates, holes and quarantined records, [from, to) of each partition comes back exactly."""
    archive = SmallArchive()
    written: list[Rec] = []
    nexts = {0: 0, 1: 100}
    for _ in range(data.draw(st.integers(1, 4))):
        flush: list[Rec] = []
        for partition in data.draw(st.sets(st.sampled_from([0, 1]), min_size=1)):
            for hole in data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=6)):
                offset = nexts[partition] + hole
                day = data.draw(st.integers(0, 2))
                value = data.draw(st.sampled_from([b"bad", None, pin_value(offset, at_ms=NOV_23_MS + day * DAY_MS)]))
                flush.append(Rec(partition, offset, value))
                nexts[partition] = offset + 1
        archive.commit(flush)
        written += flush
    partition = data.draw(st.sampled_from(sorted({r.partition for r in written})))
    state = archive.log.refresh().newest(partition)
    assert state is not None
    start = data.draw(st.integers(state.origin, state.next - 1))
    end = data.draw(st.integers(start + 1, state.next))
    expected = [r for r in of_partition(written, partition) if start <= r.offset < end]
    reading = open_reading(archive.store, "pin", Selection(partitions=(partition,), start=start, end=end))
    if reading.plan.parts == 0:
        assert expected == []
        return
    assert rows([chunk.records for chunk in reading.chunks()]) == expected
    assert reading.counts.records == len(expected)


def test_only_the_wanted_partitions_and_offsets_are_read() -> None:
    """Partition 0 is chosen when it is named, and offsets are cut exactly."""
    archive = SmallArchive()
    archive.commit(pins(0, 0, 10) + pins(1, 0, 10))
    archive.commit(pins(0, 10, 20) + pins(1, 10, 20))
    found = rows(read(archive.store, "pin", Selection(partitions=(0,), start=7, end=13)))
    assert [(r.partition, r.offset) for r in found] == [(0, o) for o in range(7, 13)]


def test_times_filter_records_whose_timestamps_do_not_rise() -> None:
    """Each record in [since, until) comes, wherever its offset lies."""
    archive = SmallArchive()
    stamps = [500, 100, 900, 300, 200, 1000]
    archive.commit([Rec(0, o, pin_value(o), timestamp=stamp) for o, stamp in enumerate(stamps)])
    found = rows(
        read(archive.store, "pin", parse_selection(from_="1970-01-01T00:00:00.2Z", to="1970-01-01T00:00:00.9Z"))
    )
    assert [r.timestamp for r in found] == [500, 300, 200]


def test_dates_choose_by_dt() -> None:
    """A date gives the records of its files."""
    archive = SmallArchive()
    later = NOV_23_MS + DAY_MS
    archive.commit(pins(0, 0, 3) + pins(0, 3, 6, at_ms=later))
    found = rows(read(archive.store, "pin", Selection(dates=("2026-11-24",))))
    assert [r.offset for r in found] == [3, 4, 5]


def test_a_snapshot_stays_what_it_was() -> None:
    """With `at`, commits that came later are not there."""
    archive = SmallArchive()
    archive.commit(pins(0, 0, 5))
    archive.commit(pins(0, 5, 9))
    assert [r.offset for r in rows(read(archive.store, "pin", at=1))] == [0, 1, 2, 3, 4]


def test_a_commit_during_the_reading_changes_nothing() -> None:
    """The snapshot is pinned when the reading is opened."""
    archive = SmallArchive()
    archive.commit(pins(0, 0, 5))
    reading = open_reading(archive.store, "pin")
    archive.commit(pins(0, 5, 9))
    assert sum(chunk.records.num_rows for chunk in reading.chunks()) == 5


def test_gaps_in_the_selection_are_in_the_plan() -> None:
    """A recorded gap is named when the range touches it, and only then."""
    archive = SmallArchive()
    archive.commit(pins(0, 0, 5))
    archive.commit(pins(0, 20, 25), gaps={0: [Gap(5, 20, "retention")]})
    gap_starts = [gap.start for _, gap in open_reading(archive.store, "pin").plan.gaps()]
    assert gap_starts == [5]
    assert list(open_reading(archive.store, "pin", Selection(end=5)).plan.gaps()) == []
    assert list(open_reading(archive.store, "pin", Selection(start=20)).plan.gaps()) == []


def test_an_older_identity_is_read_when_it_is_named() -> None:
    """After a topic was made again its offsets begin anew; the old ones come by topic id, and are never mixed in."""
    archive = SmallArchive()
    archive.commit(pins(0, 0, 5))
    archive.commit([], gaps={0: [Gap(5, None, "topic-recreated")]})
    archive.commit(pins(0, 0, 2, at_ms=NOV_23_MS + 1), topic_id="topic-id-2")
    assert len(rows(read(archive.store, "pin"))) == 2
    old = open_reading(archive.store, "pin", Selection(topic_id=TOPIC_ID))
    assert [gap.reason for _, gap in old.plan.gaps()] == ["topic-recreated"]
    assert sum(chunk.records.num_rows for chunk in old.chunks()) == 5


def test_lineages_of_a_partition_are_never_mixed() -> None:
    """After a truncation the same offsets exist twice; the newest lineage comes unless another is named."""
    archive = SmallArchive()
    archive.commit(pins(0, 0, 5))
    archive.commit([], gaps={0: [Gap(5, None, "diverged")]})
    archive.commit(pins(0, 3, 6, at_ms=NOV_23_MS + 7), lineages={0: 1})
    assert [r.timestamp for r in rows(read(archive.store, "pin"))] == [NOV_23_MS + 7 + o for o in (3, 4, 5)]
    older = rows(read(archive.store, "pin", Selection(lineage=0)))
    assert [r.timestamp for r in older] == [NOV_23_MS + o for o in range(5)]


@pytest.mark.parametrize(
    "selection",
    [
        Selection(start=2),
        Selection(end=21),
        Selection(start=25, end=30),
        Selection(partitions=(7,)),
        Selection(topic_id="another"),
        Selection(lineage=3),
    ],
)
def test_a_range_that_is_not_there_is_refused_and_what_is_there_is_named(selection: Selection) -> None:
    """Before the origin, beyond the end, an unknown partition or identity: the error says what the archive has."""
    archive = SmallArchive()
    archive.commit(pins(0, 10, 20))
    with pytest.raises(RangeMissing, match=r"\[10, 20\)|partitions 0|topic-id-1|0 to 0"):
        open_reading(archive.store, "pin", selection)


def test_a_snapshot_beyond_the_log_is_refused() -> None:
    """The error says where the log ends."""
    archive = SmallArchive()
    archive.commit(pins(0, 0, 1))
    with pytest.raises(RangeMissing, match="ends at 1"):
        open_reading(archive.store, "pin", at=2)


def test_an_unknown_topic_is_refused_and_the_known_ones_are_named() -> None:
    """A typo is seen at once."""
    archive = SmallArchive()
    archive.commit(pins(0, 0, 1))
    with pytest.raises(TopicUnknown, match="it has pin"):
        open_reading(archive.store, "pins")


def test_a_reading_without_any_part_is_a_failure() -> None:
    """A selection in which nothing is archived does not look like success."""
    archive = SmallArchive()
    archive.commit([], ends={0: 10})
    with pytest.raises(NothingChecked, match="nothing was checked"):
        list(read(archive.store, "pin"))


# -- damage ------------------------------------------------------------------------------------------------------------


def file_key(archive: SmallArchive, index: int = 0) -> str:
    keys = sorted(key for key in archive.memory.objects if key.startswith("data/"))
    return keys[index]


def test_a_missing_object_is_named() -> None:
    """The error says which object, and which entry names it."""
    archive = SmallArchive()
    archive.commit(pins(0, 0, 5))
    key = file_key(archive)
    del archive.memory.objects[key]
    with pytest.raises(ArchiveDamaged, match=rf"{key} \(entry 1\): the object does not exist"):
        list(read(archive.store, "pin"))


def test_every_single_flipped_bit_is_caught_before_a_record_leaves() -> None:
    """Flipping one bit anywhere in a Parquet object yields an error and no records."""
    archive = SmallArchive()
    archive.commit(pins(0, 0, 5))
    key = file_key(archive)
    sound = archive.memory.objects[key]
    for at in range(0, len(sound), 37):
        damaged = bytearray(sound)
        damaged[at] ^= 1 << (at % 8)
        archive.memory.objects[key] = bytes(damaged)
        with pytest.raises(ArchiveDamaged, match="SHA-256"):
            next(read(archive.store, "pin"))


@pytest.mark.parametrize("kind", ["data", "quarantine"])
def test_flipped_bits_under_a_changed_log_never_give_other_records(kind: str) -> None:
    """Even when the log's SHA-256 was made to fit, a damaged file is an error, or its records are the right ones."""
    archive = SmallArchive()
    entry = archive.commit([*pins(0, 0, 20), Rec(1, 0, b"bad", b"k", headers=[("h", b"x")])])
    expected = rows(read(archive.store, "pin"))
    file = next(file for file in entry.files if file.kind == kind)
    sound, log = archive.memory.objects[file.key], archive.memory.objects[log_key("pin", 1)]
    refused = 0
    for at in range(0, len(sound), 23):
        damaged = bytearray(sound)
        damaged[at] ^= 1 << (at % 8)
        archive.memory.objects[file.key] = bytes(damaged)
        sha256 = hashlib.sha256(damaged).hexdigest()
        archive.memory.objects[log_key("pin", 1)] = log.replace(file.sha256.encode(), sha256.encode())
        try:
            assert rows(read(archive.store, "pin")) == expected
        except ArchiveDamaged:
            refused += 1
    assert refused > 0


def test_a_truncated_object_is_caught() -> None:
    """A file that lost its end is named with both sizes."""
    archive = SmallArchive()
    archive.commit(pins(0, 0, 5))
    key = file_key(archive)
    archive.memory.objects[key] = archive.memory.objects[key][:-1]
    with pytest.raises(ArchiveDamaged, match="bytes, the log says"):
        list(read(archive.store, "pin"))


def relog(archive: SmallArchive, seq: int, old: bytes, new: bytes) -> None:
    """Change a log entry's bytes as somebody with access to the bucket could."""
    key = log_key("pin", seq)
    body = archive.memory.objects[key]
    assert old in body
    archive.memory.objects[key] = body.replace(old, new)


def test_swapped_digests_are_caught() -> None:
    """A part whose digest is another part's does not pass: offsets and values are both in the digest."""
    archive = SmallArchive()
    entry = archive.commit(pins(0, 0, 5) + pins(1, 0, 5, at_ms=NOV_23_MS + 1))
    one, other = (part.digest.encode() for part in entry.files[0].parts)
    relog(archive, 1, one, b"@")
    relog(archive, 1, other, one)
    relog(archive, 1, b"@", other)
    with pytest.raises(ArchiveDamaged, match="are not the archived ones"):
        list(read(archive.store, "pin"))


def test_rows_that_a_changed_log_gives_to_another_partition_are_caught() -> None:
    """The digest does not hold the partition; the rows do."""
    archive = SmallArchive()
    archive.commit(pins(0, 0, 5) + pins(1, 0, 5))
    relog(archive, 1, b'"row_start":0', b'"row_start":@')
    relog(archive, 1, b'"row_start":5', b'"row_start":0')
    relog(archive, 1, b'"row_start":@', b'"row_start":5')
    with pytest.raises(ArchiveDamaged, match="are of another one"):
        list(read(archive.store, "pin"))


def test_a_file_of_another_topic_is_caught() -> None:
    """An object that was replaced by a sound file of another topic, with the log changed to fit, is refused."""
    archive, other = SmallArchive(), SmallArchive("follow", form="raw")
    entry = archive.commit(pins(0, 0, 5))
    foreign = other.commit([Rec(0, o) for o in range(5)]).files[0]
    file = entry.files[0]
    archive.memory.objects[file.key] = other.memory.objects[foreign.key]
    relog(archive, 1, file.sha256.encode(), foreign.sha256.encode())
    relog(archive, 1, f'"bytes":{file.bytes}'.encode(), f'"bytes":{foreign.bytes}'.encode())
    with pytest.raises(ArchiveDamaged, match="its topic is 'follow', the log says 'pin'"):
        list(read(archive.store, "pin"))


def test_a_store_that_stops_answering_is_an_error_and_not_an_end() -> None:
    """A fault in the middle is raised as the store gave it."""
    archive = SmallArchive()
    archive.commit(pins(0, 0, 5))
    archive.commit(pins(0, 5, 9))
    reading = open_reading(archive.store, "pin")
    last = file_key(archive, 1)

    def fault(operation: str, key: str) -> None:
        if operation == "get" and key == last:
            raise StoreUnreachable("reading: no answer")

    archive.memory.fault = fault
    with pytest.raises(StoreUnreachable, match="no answer"):
        list(reading.chunks())


def test_an_object_that_a_later_entry_removed_is_explained() -> None:
    """A pinned snapshot whose file expired meanwhile fails with the entry that allowed it."""
    archive = SmallArchive()
    archive.commit(pins(0, 0, 5))
    reading = open_reading(archive.store, "pin")
    key = file_key(archive)
    archive.expire(key)
    del archive.memory.objects[key]
    with pytest.raises(RangeMissing, match=r"entry 2 \(expire"):
        list(reading.chunks())


def test_reading_without_threads_gives_the_same() -> None:
    """Fetching ahead is an optimisation only."""
    archive = SmallArchive()
    archive.commit(pins(0, 0, 5))
    archive.commit(pins(0, 5, 9))
    inline = [chunk.records for chunk in open_reading(archive.store, "pin", fetch_threads=0).chunks()]
    assert pa.Table.from_batches(inline) == pa.Table.from_batches(list(read(archive.store, "pin")))
