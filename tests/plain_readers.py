"""DuckDB, pyarrow, pandas and Spark reading an archive by the code that docs/reading-the-archive.md prints.

Each block of that page runs as it stands, but for the topic's name. What comes back is compared in two ways: `table`
gives every row, and `facts` are sums and counts that the engine itself worked out.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from spark_session import spark_environment

PAGE = Path(__file__).parents[1] / "docs" / "reading-the-archive.md"
BLOCK = re.compile(r"^```python ([a-z-]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The tests put the connector's modules on the class path instead of having Spark fetch Amazon's whole SDK.
PACKAGES = 'SparkSession.builder.config("spark.jars.packages", "org.apache.hadoop:hadoop-aws:3.5.0")'

Counts: TypeAlias = dict[str | None, int]


@dataclass(frozen=True)
class Facts:
    """What an engine says of a topic's rows. `users` is a sum, `boards` counts what is not null, times are Unix us."""

    rows: int
    users: int
    boards: int
    earliest_us: int
    latest_us: int
    by_dt: Counts
    by_action: Counts


class PlainReader:
    """One engine. `pins` is whatever its block of the page leaves under that name."""

    name = ""

    def __init__(self) -> None:
        self._names: dict[str, Any] = {"__name__": "reading_the_archive"}

    def open_folder(self, topic: str) -> None:
        """Read all that lies under a topic's folder now."""
        self._open({"topic=pin": f"topic={topic}"})

    def open_quarantine(self, topic: str) -> None:
        """Read a topic's folder under quarantine/ instead; its rows have a kind of error, and no action."""
        self._open({"topic=pin": f"topic={topic}", "/data/": "/quarantine/", "action": "_error_kind"})

    def open_all_topics(self) -> None:
        """Read the folders of all topics as the page says, for the engines for which it does."""
        raise NotImplementedError

    def open_files(self, listing: Path) -> None:
        """Read exactly the files that `headrace files` listed; after open_folder()."""
        self._run(f"{self.name}-files", {'"pin.files"': repr(str(listing))})

    def facts(self) -> Facts:
        """Have the engine count and sum."""
        raise NotImplementedError

    def table(self) -> pa.Table:
        """Return all rows."""
        raise NotImplementedError

    @property
    def pins(self) -> Any:
        """What the page's code left."""
        return self._names["pins"]

    def _open(self, replaced: Mapping[str, str]) -> None:
        self._run(self.name, replaced)

    def _run(self, block: str, replaced: Mapping[str, str]) -> None:
        code = blocks()[block]
        for old, new in replaced.items():
            code = code.replace(old, new)
        exec(compile(code, f"{PAGE.name}: {block}", "exec"), self._names)


def blocks() -> dict[str, str]:
    """Return the page's Python blocks by name; no two have one name."""
    found = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(dict(found)) == len(found)
    return dict(found)


class DuckDB(PlainReader):
    name = "duckdb"

    def open_all_topics(self) -> None:
        self._open({"topic=pin": "topic=*"})

    def facts(self) -> Facts:
        rows, users, boards, earliest, latest = self._query(
            "select count(*), sum(user_id)::bigint, count(board_id), epoch_us(min(occurred_at)), "
            "epoch_us(max(occurred_at)) from pins"
        )[0]
        by_dt = self._query("select dt::varchar, count(*) from pins group by all")
        by_action = self._query("select action, count(*) from pins group by all")
        return Facts(rows, users, boards, earliest, latest, dict(by_dt), dict(by_action))

    def table(self) -> pa.Table:
        return self.pins.to_arrow_table()

    def _query(self, sql: str) -> list[tuple[Any, ...]]:
        # DuckDB finds `pins` among the variables of the code that asks.
        found: list[tuple[Any, ...]] = eval(f"duck.sql({sql!r}).fetchall()", self._names)
        return found


class PyArrow(PlainReader):
    name = "pyarrow"

    def facts(self) -> Facts:
        table = self.pins.to_table(columns=["user_id", "board_id", "occurred_at", "dt", "action"])
        times = pc.min_max(table["occurred_at"].cast(pa.int64())).as_py()
        users = pc.sum(table["user_id"]).as_py()
        boards = pc.count(table["board_id"]).as_py()
        grouped = {
            name: {
                None if row[name] is None else str(row[name]): row["count_all"]
                for row in table.group_by(name).aggregate([([], "count_all")]).to_pylist()
            }
            for name in ("dt", "action")
        }
        return Facts(
            self.pins.count_rows(), users, boards, times["min"], times["max"], grouped["dt"], grouped["action"]
        )

    def table(self) -> pa.Table:
        return self.pins.to_table()


class Pandas(PlainReader):
    name = "pandas"

    def facts(self) -> Facts:
        pins = self.pins
        return Facts(
            rows=len(pins),
            users=int(pins["user_id"].sum()),
            boards=int(pins["board_id"].count()),
            earliest_us=_unix_us(pins["occurred_at"].min()),
            latest_us=_unix_us(pins["occurred_at"].max()),
            by_dt=_counts(pins["dt"]),
            by_action=_counts(pins["action"]),
        )

    def table(self) -> pa.Table:
        return pa.Table.from_pandas(self.pins, preserve_index=False)


def _unix_us(time: pd.Timestamp) -> int:
    return (time - pd.Timestamp("1970-01-01", tz="UTC").as_unit("us")) // pd.Timedelta(1, "us")


def _counts(column: "pd.Series[Any]") -> Counts:
    counted = column.value_counts(dropna=False)
    values: list[Any] = counted.index.to_list()
    return {None if pd.isna(value) else str(value): int(n) for value, n in zip(values, counted, strict=True)}


class Spark(PlainReader):
    name = "spark"

    def open_all_topics(self) -> None:
        self._open({"/topic=pin": ""})

    def open_frame(self, topic: str) -> None:
        """Read a snapshot by headrace's own call; after open_folder()."""
        self._run("spark-frame", {'"pin"': repr(topic)})

    def _open(self, replaced: Mapping[str, str]) -> None:
        assert PACKAGES in blocks()[self.name]
        with pytest.MonkeyPatch.context() as patch:
            for name, value in spark_environment().items():
                patch.setenv(name, value)
            self._run(self.name, {PACKAGES: "SparkSession.builder", **replaced})

    def facts(self) -> Facts:
        pins = self.pins
        times = ("unix_micros(min(occurred_at))", "unix_micros(max(occurred_at))")
        rows, users, boards, earliest, latest = pins.selectExpr(
            "count(*)", "sum(user_id)", "count(board_id)", *times
        ).first()
        by_dt = {None if dt is None else str(dt): count for dt, count in pins.groupBy("dt").count().collect()}
        by_action = dict(tuple(row) for row in pins.groupBy("action").count().collect())
        return Facts(rows, users, boards, earliest, latest, by_dt, by_action)

    def table(self) -> pa.Table:
        return self.pins.toArrow()


def run_replay_open(topic: str) -> dict[str, Any]:
    """Run the page's block on headrace.replay.open for a topic; return the names that it leaves."""
    names: dict[str, Any] = {"__name__": "reading_the_archive"}
    code = blocks()["replay-open"].replace('"pin"', repr(topic))
    exec(compile(code, f"{PAGE.name}: replay-open", "exec"), names)
    return names


READERS: Sequence[type[PlainReader]] = (DuckDB, PyArrow, Pandas, Spark)
