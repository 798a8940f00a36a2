"""The plain folders are readable by DuckDB, pyarrow, pandas and Spark, without headrace: every kind of row."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from archiving import Archive
from confluent_kafka import Producer
from emitted_pins import ADDED, OWN, RECORD, EmittedPins, Row, facts_of, in_order, rows_of
from plain_readers import READERS, DuckDB, PlainReader, Spark, run_replay_open
from servers import Servers
from watched_topic import publish_schemas

pytestmark = pytest.mark.servers

PARTITIONS = 3
RAW = 20


class Filled:
    """An archive of one topic. `snapshots`: after each archiving, its number and the rows that were emitted by then."""

    def __init__(self, servers: Servers) -> None:
        self.archive = Archive(servers)
        self.topic = servers.new_topic(PARTITIONS, {"retention.ms": "-1"})
        self.raw_topic = servers.new_topic()
        self.emitted = EmittedPins(
            servers.kafka, self.topic, partitions=PARTITIONS, now=datetime.now(UTC), rng=Random(7)
        )
        self.snapshots: list[tuple[int, list[Row]]] = []
        self._schema_topic = publish_schemas(servers)

    def archive_all(self) -> None:
        self.emitted.flush()
        self.archive.archive([self.topic], [self.raw_topic], more=["--schema-topic", self._schema_topic])
        listed = json.loads(self.archive.must("files", self.topic, "--format", "json").stdout)
        self.snapshots.append((listed["snapshot"], list(self.emitted.rows)))


@pytest.fixture(scope="module")
def filled(servers: Servers) -> Iterator[Filled]:
    """An archive of all kinds of rows, then of events whose schema has gained fields; its address is in os.environ."""
    made = Filled(servers)
    # The first file that a reader lists holds nothing but tombstones, so it has none of the event's own columns.
    made.emitted.tombstones(5, days_ago=4)
    made.emitted.events(900)
    made.emitted.at_odd_times()
    made.emitted.detours(3)
    made.emitted.garbage(7)
    producer = Producer({"bootstrap.servers": servers.kafka})
    for number in range(RAW):
        producer.produce(made.raw_topic, f"anything {number}")
    assert producer.flush(120) == 0
    made.archive_all()
    made.emitted.events(300, later=True)
    made.emitted.events(100)
    made.emitted.tombstones(5, days_ago=0)
    made.archive_all()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in made.archive.env.items():
            patch.setenv(name, value)
        yield made


@pytest.fixture(params=READERS, ids=lambda kind: kind.name)
def reader(request: pytest.FixtureRequest, filled: Filled) -> PlainReader:
    """Each of the four, with the topic's folder open."""
    made: PlainReader = request.param()
    made.open_folder(filled.topic)
    return made


def test_every_row_is_what_was_emitted(reader: PlainReader, filled: Filled) -> None:
    """All columns of all rows: ids, times, keys, headers, tombstones, dt; what came before a field has null in it."""
    table = reader.table()
    assert set(table.schema.names) == {*OWN, *ADDED, *RECORD, "dt"} | ({"topic"} if reader.name == "duckdb" else set())
    found = [{name: row[name] for name in row if name != "topic"} for row in rows_of(table)]
    assert in_order(found) == in_order(filled.emitted.rows)


def test_the_engine_counts_and_sums_right(reader: PlainReader, filled: Filled) -> None:
    """Counts by date and by enum, a sum of longs, and the range of times, as the engine itself works them out."""
    assert reader.facts() == facts_of(filled.emitted.rows)


def test_an_older_snapshot_is_what_was_there_then(reader: PlainReader, filled: Filled, tmp_path: Path) -> None:
    """The files of the snapshot before the last archiving are what was emitted until then, whatever has come since."""
    number, rows = filled.snapshots[0]
    assert 0 < len(rows) < len(filled.emitted.rows)
    listing = tmp_path / "pin.files"
    listing.write_text(filled.archive.must("files", filled.topic, "--at", str(number)).stdout)
    reader.open_files(listing)
    assert reader.facts() == facts_of(rows)


def test_what_could_not_be_decoded_is_readable_too(reader: PlainReader, filled: Filled) -> None:
    """quarantine/ is a folder of the same form, and what lies there is in no query of data/."""
    reader.open_quarantine(filled.topic)
    rows = list(rows_of(reader.table()))
    assert sorted((row["_partition"], row["_offset"]) for row in rows) == sorted(filled.emitted.quarantined)
    assert {row["_error_kind"] for row in rows} == {"undecodable"}
    assert all(row["_value"].startswith(b"no event ") for row in rows)


@pytest.mark.parametrize("kind", [DuckDB, Spark], ids=lambda kind: kind.name)
def test_all_topics_are_one_table(kind: type[PlainReader], filled: Filled) -> None:
    """The whole of data/ is readable at once, topics of events and raw ones together; `topic` tells them apart."""
    reader = kind()
    reader.open_all_topics()
    counted = reader.table().group_by("topic").aggregate([([], "count_all"), ("user_id", "count")]).to_pylist()
    events = sum(row["user_id"] is not None for row in filled.emitted.rows)
    assert sorted((row["topic"], row["count_all"], row["user_id_count"]) for row in counted) == sorted(
        [(filled.topic, len(filled.emitted.rows), events), (filled.raw_topic, RAW, 0)]
    )


def test_headraces_own_ways_say_the_same(filled: Filled) -> None:
    """The page's Python, SQL on the command line and one call for Spark: counts and sums of the same snapshot."""
    expected = facts_of(filled.emitted.rows)
    names = run_replay_open(filled.topic)
    saves = names["pins"].arrow()
    assert saves.num_rows == expected.by_action["SAVE"]
    everything = names["archive"].read(filled.topic)
    assert everything.snapshot == filled.snapshots[-1][0]
    frame = everything.pandas()
    data = frame[frame["_error_kind"].isna()]
    assert (len(data), int(data["user_id"].sum())) == (expected.rows, expected.users)
    query = f'select count(*) as rows, sum(user_id) as users, count(board_id) as boards from "{filled.topic}"'
    found = json.loads(filled.archive.must("sql", query, "--json").stdout)
    assert found == {"rows": expected.rows, "users": expected.users, "boards": expected.boards}
    reader = Spark()
    reader.open_folder(filled.topic)
    reader.open_frame(filled.topic)
    assert reader.facts() == expected
