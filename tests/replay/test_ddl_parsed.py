"""What `headrace ddl` prints, read by a parser that knows each engine's own language: the same columns and types.

Neither Trino nor Athena can be run where the tests run: one needs a catalogue, the other an account. sqlglot reads the
language of each. DuckDB's definition is run in tests/cli, Spark's in tests/integration.
"""

import pyarrow as pa
import pytest
import sqlglot
from sqlglot import exp

from headrace.replay.ddl import ENGINES, Engine, table_definition

TOPIC, URL = "pin-1", "s3://bucket/prefix"
FOLDER = f"{URL}/data/topic={TOPIC}"
# A column of each kind that the archive has, some under names that are words of SQL; beside it, DuckDB's word for it.
COLUMNS = [
    ("event_id", pa.binary(16), "BLOB"),
    ("action", pa.dictionary(pa.int8(), pa.string()), "TEXT"),
    ("order", pa.int32(), "INT"),
    ("user_id", pa.int64(), "BIGINT"),
    ("weight", pa.float32(), "REAL"),
    ("score", pa.float64(), "DOUBLE"),
    ("new", pa.bool_(), "BOOLEAN"),
    ("born", pa.date32(), "DATE"),
    ("occurred_at", pa.timestamp("us", "UTC"), "TIMESTAMP"),
    ("price", pa.decimal128(9, 2), "DECIMAL(9, 2)"),
    ("tags", pa.list_(pa.string()), "TEXT[]"),
    ("counts", pa.map_(pa.string(), pa.int64()), "MAP(TEXT, BIGINT)"),
    ("place", pa.struct([("lat", pa.float64()), ("zips", pa.list_(pa.int32()))]), "STRUCT(lat DOUBLE, zips INT[])"),
    (
        "_headers",
        pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())])),
        "STRUCT(name TEXT, value BLOB)[]",
    ),
    ("dt", pa.date32(), "DATE"),
]
SCHEMA = pa.schema([(name, kind) for name, kind, _ in COLUMNS])
# How each engine says a moment in microseconds; Spark's TIMESTAMP is a moment, whatever the zone.
MOMENT = {"trino": "TIMESTAMP(6)", "athena": "TIMESTAMP", "spark": "TIMESTAMPTZ"}
WITH_COLUMNS = [engine for engine in ENGINES if engine != "duckdb"]


def parsed(engine: Engine) -> exp.Create:
    """Return the first statement of a definition, which makes the table."""
    statement = table_definition(engine, TOPIC, URL, SCHEMA).partition(";")[0]
    found = sqlglot.parse_one(statement, dialect=engine)
    assert isinstance(found, exp.Create)
    return found


@pytest.mark.parametrize("engine", WITH_COLUMNS)
def test_columns_and_types_are_the_archives(engine: Engine) -> None:
    """All columns in their order, each of its type, nested ones too, in the engine's own words."""
    table = parsed(engine)
    found = [
        (column.name, column.args["kind"].sql("duckdb").replace('"', ""))
        for column in table.find_all(exp.ColumnDef)
        if isinstance(column.parent, exp.Schema)
    ]
    assert found == [(name, said if name != "occurred_at" else MOMENT[engine]) for name, _, said in COLUMNS]


@pytest.mark.parametrize("engine", WITH_COLUMNS)
def test_the_table_is_the_folder_by_dates(engine: Engine) -> None:
    """It has the topic's name, lies over the topic's folder as Parquet, and is partitioned by dt alone."""
    table = parsed(engine)
    assert [each.name for each in table.find_all(exp.Table)][:1] == [TOPIC]
    options = " ".join(each.sql(engine) for each in table.args["properties"].expressions)
    assert FOLDER.partition("://")[2] in options
    assert "PARQUET" in options
    (partitions,) = table.find_all(exp.PartitionedByProperty)
    named = {each.name for each in partitions.find_all(exp.Identifier, exp.Literal, exp.ColumnDef)}
    assert named == {"dt"}


def test_duckdbs_is_a_view_of_the_same_files() -> None:
    """It names no columns: it reads them from the files, by name, with the folders' dates."""
    view = parsed("duckdb")
    assert (view.args["kind"], view.this.name) == ("VIEW", TOPIC)
    (reading,) = view.find_all(exp.ReadParquet)
    said = reading.sql("duckdb")
    assert f"'{FOLDER}/dt=*/*.parquet'" in said
    assert "union_by_name" in said.lower()
