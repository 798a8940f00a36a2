"""What `headrace ddl` prints: Spark runs its own definition; its parser reads Athena's, in the language of Hive."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import Servers
from small_archive import DAY_MS, NOV_23_MS, Rec, SmallArchive, pin_value
from spark_session import spark_environment

from headrace.archiver.commit_log import read_state
from headrace.replay.columns import plan_schema
from headrace.replay.ddl import Engine, table_definition
from headrace.replay.plan import make_plan
from headrace.replay.selection import Selection

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """An archive of pins of two dates in a local folder, one file with a tombstone."""
    archive = SmallArchive()
    archive.commit([Rec(0, o, pin_value(o), b"k", NOV_23_MS + o, [("h", None)]) for o in range(5)])
    archive.commit([Rec(0, 5, pin_value(5, at_ms=NOV_23_MS + DAY_MS)), Rec(1, 0, None, b"gone")])
    for key, body in archive.memory.objects.items():
        path = tmp_path / "archive" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return str(tmp_path / "archive")


def definition(engine: Engine, folder: str) -> list[str]:
    """Return the statements for an archive like the one in the folder."""
    archive = SmallArchive()
    archive.commit([Rec(0, 0, pin_value(0))])
    plan = make_plan(read_state(archive.memory, "pin"), Selection())
    printed = table_definition(engine, "pin", folder, plan_schema(archive.store, plan))
    lines = [line.partition("  --")[0] for line in printed.splitlines()]
    return [each.strip() for each in "\n".join(lines).split(";") if each.strip()]


@pytest.fixture(scope="module")
def spark(servers: Servers) -> Iterator[Any]:
    """A Spark session. Its Java is the whole run's, so that it is given what later tests read S3 with."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - slow to import, and only some tests use it

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**servers.env, **spark_environment()}.items():
            patch.setenv(name, value)
        session = SparkSession.builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
        yield session
        session.sql("drop table if exists pin")
        session.stop()


def test_sparks_definition_runs_as_it_is_printed(spark: Any, folder: str) -> None:
    """The table has every row and date, and each column in the type that the definition says."""
    for statement in definition("spark", folder):
        spark.sql(statement)
    counted = spark.sql("select count(*), count(user_id), sum(user_id), count(distinct dt) from pin").collect()
    assert [tuple(row) for row in counted] == [(7, 6, 15, 2)]
    row = spark.sql("select event_id, action, occurred_at, _headers, dt from pin where user_id = 3").collect()[0]
    assert bytes(row.event_id) == (3).to_bytes(16, "big")
    assert (row.action, row._headers[0].name, row._headers[0].value) == ("SAVE", "h", None)
    assert str(row.dt) == "2026-11-23"


def test_athenas_definition_is_hives_language(spark: Any, folder: str) -> None:
    """Spark's parser reads it as an external table of these columns, by dates, at this place."""
    (statement,) = definition("athena", folder)
    plan = spark._jsparkSession.sessionState().sqlParser().parsePlan(statement).toString()
    assert "CreateTable" in plan
    headers = "StructField(name,StringType,true),StructField(value,BinaryType,true)"
    for said in ("(occurred_at, TimestampType", headers, "[identity(dt)]", f"Some({folder}/data/topic=pin/)"):
        assert said in plan, plan
    with pytest.raises(Exception, match="PARSE_SYNTAX_ERROR"):
        spark._jsparkSession.sessionState().sqlParser().parsePlan(statement.replace("PARTITIONED", "PARTITION"))
