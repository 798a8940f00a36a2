"""The archive opened in Python: records, Arrow, DuckDB and pandas agree, and a read stays at its snapshot."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from servers import Servers
from small_archive import DAY_MS, NOV_23_MS, Rec, SmallArchive, pin_value
from stores import s3_store

import headrace.replay
from headrace.archiver.object_store import ObjectNotFound, StoreError
from headrace.replay import ArchiveDamaged, NothingChecked, RequestRefused
from headrace.replay.fsspec_store import FsspecStore

RECORDS = [
    *(
        Rec(p, o, pin_value(o + 10 * p, at_ms=NOV_23_MS + o * DAY_MS // 4), b"k", NOV_23_MS + o)
        for p in (0, 1)
        for o in range(6)
    ),
    Rec(0, 6, b"no event", None, NOV_23_MS, [("a", None), ("a", b"")]),
    Rec(1, 6, None, b"", -1),
]


def filled() -> SmallArchive:
    archive = SmallArchive()
    archive.commit(RECORDS[:6] + RECORDS[12:13])
    archive.commit(RECORDS[6:12] + RECORDS[13:])
    return archive


def test_records_come_as_kafka_gave_them() -> None:
    """Keys, values, headers, timestamps of every record, what could not be decoded and tombstones among them."""
    found = [
        Rec(r.partition, r.offset, r.value, r.key, r.timestamp, r.headers, r.timestamp_type)
        for r in headrace.replay.open(filled().store).read("pin")
    ]
    for partition in (0, 1):
        assert [r for r in found if r.partition == partition] == [r for r in RECORDS if r.partition == partition]


@pytest.mark.parametrize("digests", [True, False])
def test_arrow_duckdb_and_pandas_agree(digests: bool) -> None:
    """The same rows and sums whichever way they are taken; without digests too."""
    chosen = headrace.replay.open(filled().store).read("pin", digests=digests)
    table = chosen.arrow()
    assert table.schema.equals(chosen.schema)
    assert table.num_rows == len(RECORDS)
    users = sum(range(6)) + sum(range(10, 16))
    query = "select sum(user_id)::bigint, count(*), count(distinct dt) from pins"
    pins = chosen.duckdb()
    assert pins.filter("true").aggregate("count(*)").fetchall() == [(14,)]
    assert rows_of(pins, query) == rows_of(pins, query) == [(users, 14, 3)]
    frame = chosen.pandas()
    assert (int(frame["user_id"].sum()), len(frame), str(frame["user_id"].dtype)) == (users, 14, "int64[pyarrow]")
    assert sum(batch.num_rows for batch in chosen.reader()) == 14
    with duckdb.connect() as connection:
        assert chosen.duckdb(connection).count("*").fetchall() == [(14,)]


def rows_of(relation: duckdb.DuckDBPyRelation, query: str) -> list[Any]:
    found = relation.query("pins", query)
    return [] if found is None else found.fetchall()


def test_selections_mean_what_the_command_line_means() -> None:
    """Offsets, moments, partitions, keys and conditions."""
    archive = headrace.replay.open(filled().store)
    assert len(list(archive.read("pin", from_=2, to=4))) == 4
    moment = datetime.fromtimestamp(NOV_23_MS / 1000, UTC)
    assert {r.offset for r in archive.read("pin", from_=moment, to="2026-11-23T00:00:00.002Z", partitions=[0])} == {
        0,
        1,
        6,
    }
    assert len(list(archive.read("pin", keys=[b""]))) == 1
    assert archive.read("pin", where="user_id > 12").arrow()["user_id"].to_pylist() == [13, 14, 15]
    assert archive.topics() == ["pin"]
    with pytest.raises(RequestRefused, match="no time zone"):
        archive.read("pin", from_="2026-11-23T00:00:00")


def test_a_read_stays_at_its_snapshot() -> None:
    """What is archived later is not in it, however often it is iterated; `at` reads the same again."""
    small = filled()
    archive = headrace.replay.open(small.store)
    chosen = archive.read("pin")
    small.commit([Rec(0, 7, pin_value(99))])
    assert len(list(chosen)) == len(list(chosen)) == len(RECORDS)
    assert len(list(archive.read("pin"))) == len(RECORDS) + 1
    assert archive.read("pin", at=chosen.snapshot).arrow() == chosen.arrow()


@pytest.mark.parametrize("digests", [True, False])
def test_damage_and_nothing_are_errors(digests: bool) -> None:
    """An iteration that ends without an error has given everything."""
    small = filled()
    archive = headrace.replay.open(small.store)
    chosen = archive.read("pin", digests=digests)
    key = max(key for key in small.memory.objects if key.startswith("data/"))
    small.memory.objects[key] = small.memory.objects[key][:-20] + b"?" + small.memory.objects[key][-19:]
    with pytest.raises(ArchiveDamaged, match=key):
        list(chosen.batches())
    with pytest.raises(NothingChecked):
        archive.read("pin", dt="1999-01-01", digests=digests).arrow()
    assert archive.read("pin", dt="1999-01-01", digests=digests, allow_empty=True).arrow().num_rows == 0


def test_whole_records_are_not_given_unchecked() -> None:
    """digests=False has no records, only columns."""
    with pytest.raises(ValueError, match="digests"):
        next(iter(headrace.replay.open(filled().store).read("pin", digests=False)))


def test_files_with_other_columns_are_read_together(tmp_path: Path) -> None:
    """The schema is the union over the plan's files: a file without any event has nulls."""
    small = SmallArchive()
    small.commit([Rec(0, 0, None, b"tombstone")])
    small.commit([Rec(0, 1, pin_value(5))])
    copied(small, tmp_path)
    assert headrace.replay.open(str(tmp_path)).read("pin").arrow()["user_id"].to_pylist() == [None, 5]


def copied(small: SmallArchive, folder: Path) -> None:
    for key, body in small.memory.objects.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(body)


def test_a_local_folder_is_an_archive(tmp_path: Path) -> None:
    """A copy of the objects reads as the original; it is for reading only, and what is missing is named."""
    small = filled()
    copied(small, tmp_path)
    local = headrace.replay.open(str(tmp_path))
    assert list(local.read("pin")) == list(headrace.replay.open(small.store).read("pin"))
    store = FsspecStore(f"file://{tmp_path}")
    assert [info.key for info in store.list("log/topic=pin/")] == [
        info.key for info in small.store.list("log/topic=pin/")
    ]
    assert store.size("log/topic=pin/00000000000000000001.json") == len(
        store.get("log/topic=pin/00000000000000000001.json")
    )
    with pytest.raises(ObjectNotFound):
        store.get("nope")
    with pytest.raises(StoreError, match="for reading"):
        store.put_if_absent("a", b"")
    with pytest.raises(RequestRefused, match="cannot open"):
        FsspecStore("nosuchprotocol://x")


@pytest.mark.servers
def test_s3_is_read_through_s3fs(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual AWS variables are enough."""
    for name, value in servers.env.items():
        monkeypatch.setenv(name, value)
    store = s3_store(servers)
    small = SmallArchive(store=store)
    small.commit(RECORDS[:6])
    found = headrace.replay.open(store.url).read("pin")
    assert isinstance(found.arrow(), pa.Table)
    assert [r.offset for r in found] == [0, 1, 2, 3, 4, 5]
