"""SQL over exact snapshots: DuckDB with one view for each topic that a query names, over the committed files alone.

What a crash left in the folders is never seen, and what is archived meanwhile neither: the snapshots are fixed when the
query is prepared.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import fsspec
import pyarrow as pa

from headrace.archiver.commit_log import topics_of
from headrace.archiver.object_store import ObjectStore

from .columns import plan_schema
from .errors import RequestRefused, named
from .loading import object_url
from .plan import FileRead, Plan
from .reader import open_reading

ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Prepared:
    """A connection whose views are ready for a query. `snapshots`: topic -> log entry that its view is of."""

    connection: duckdb.DuckDBPyConnection
    snapshots: Mapping[str, int]
    quarantined: Mapping[str, int] = field(default_factory=dict)


def prepare(store: ObjectStore, query: str, *, at: Mapping[str, int] | None = None) -> Prepared:
    """Return a DuckDB connection with a view for each topic that the query names.

    `at`: topic -> snapshot, the newest where there is none. The files are read by fsspec from `store.url`, with the
    credentials that it finds. Columns that are 16 bytes are shown as UUIDs. Raises RequestRefused for a query that
    cannot be parsed or names no topic, and what reading the log raises.
    """
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    # Of a query of over two seconds DuckDB would draw one on standard output, into the rows.
    connection.execute("set enable_progress_bar = false")
    try:
        tables = connection.get_table_names(query)
    except duckdb.Error as error:
        raise RequestRefused(f"the query cannot be parsed: {error}") from error
    known = topics_of(store)
    wanted = sorted(topic for topic in known if topic.lower() in {table.lower() for table in tables})
    if not wanted:
        raise RequestRefused(f"the query names no topic; the archive has {named(known, 'no topics yet')}")
    _register(connection, store.url)
    snapshots, quarantined = {}, {}
    for topic in wanted:
        plan = open_reading(store, topic, at=(at or {}).get(topic)).plan
        reads = [read for unit in plan.units for read in unit.files]
        data = [read for read in reads if read.committed.file.kind == "data"]
        _view(connection, store, plan, data)
        snapshots[topic] = plan.snapshot
        quarantined[topic] = sum(read.committed.file.rows for read in reads if read not in data)
    return Prepared(connection, snapshots, quarantined)


def _register(connection: duckdb.DuckDBPyConnection, url: str) -> None:
    protocol = url.partition("://")[0] if "://" in url else "file"
    if protocol != "file":
        options: dict[str, Any] = {"use_listings_cache": False} if protocol == "s3" else {}
        connection.register_filesystem(fsspec.filesystem(protocol, **options))


def _view(connection: duckdb.DuckDBPyConnection, store: ObjectStore, plan: Plan, data: list[FileRead]) -> None:
    name = _quoted(plan.topic)
    if not data:
        empty = pa.table({"_partition": pa.array([], pa.int32()), "_offset": pa.array([], pa.int64())})
        connection.register(f"{plan.topic} without files", empty)
        without = _quoted(f"{plan.topic} without files")
        connection.execute(f"create view {name} as select * from {without}")  # noqa: S608 - both names are quoted
        return
    files = ", ".join(_text(object_url(store, read.committed.file.key)) for read in data)
    ids = [
        field.name
        for field in plan_schema(store, plan)
        if pa.types.is_fixed_size_binary(field.type) and field.type.byte_width == ID_BYTES
    ]
    shown = ", ".join(f"cast(lower(hex({_quoted(each)})) as uuid) as {_quoted(each)}" for each in ids)
    replaced = f" replace ({shown})" if shown else ""
    rows = f"read_parquet([{files}], hive_partitioning = true, union_by_name = true)"
    connection.execute(f"create view {name} as select *{replaced} from {rows}")  # noqa: S608 - all parts are quoted


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
