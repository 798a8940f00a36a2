"""The decoded columns of a plan's files as one schema, and conditions on them.

A file has the columns of the schemas of its own rows; a plan's schema is the union of its files' columns, and what a
file lacks is null there. Names of the record's own columns begin with `_`, as in the archive; `dt` is there too.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.archiver.log_state import CommittedFile
from headrace.archiver.object_store import ObjectNotFound, ObjectStore
from headrace.archiver.parquet_file import FileCorrupt, footer_bytes

from .errors import ArchiveDamaged, RequestRefused
from .loading import RESTORE, object_url
from .plan import Plan

FOOTER_BYTES_GUESS = 64 << 10
FOOTER_THREADS = 8
NOT_SHOWN = ("_frame", "_value")  # the value's bytes are the records' business
QUARANTINE_COLUMNS = ("_error_kind", "_error")


def plan_schema(store: ObjectStore, plan: Plan) -> pa.Schema:
    """Return the union of the columns of a plan's files, and `dt`.

    Raises RequestRefused where a column has two types that have no common one, ArchiveDamaged, StoreError.
    """
    return files_schema(store, plan.topic, [read.committed for unit in plan.units for read in unit.files])


def files_schema(store: ObjectStore, topic: str, files: Sequence[CommittedFile]) -> pa.Schema:
    """Return the union of the columns of files, and `dt`. Raises what plan_schema() raises."""
    schemas: list[pa.Schema] = []
    with ThreadPoolExecutor(FOOTER_THREADS) as pool:
        for schema in pool.map(lambda committed: _file_schema(store, committed), files):
            if schema not in schemas:
                schemas.append(schema)
    try:
        union = pa.unify_schemas(schemas, promote_options="permissive") if schemas else pa.schema([])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise RequestRefused(
            f"the files of {topic} have columns of one name and different types ({error}): choose a range "
            "that has one of them, or take the records without columns"
        ) from error
    names = [*(n for n in union.names if not n.startswith("_")), *(n for n in union.names if n.startswith("_"))]
    return pa.schema([*(union.field(name) for name in names), pa.field("dt", pa.date32())])


def _file_schema(store: ObjectStore, committed: CommittedFile) -> pa.Schema:
    key = committed.file.key
    where = f"{object_url(store, key)} (entry {committed.seq})"
    try:
        tail = store.get_tail(key, FOOTER_BYTES_GUESS)
        if len(tail) < (needed := footer_bytes(tail, where)):
            tail = store.get_tail(key, needed)
        schema = pq.read_schema(pa.BufferReader(tail))
    except ObjectNotFound as error:
        raise ArchiveDamaged(f"{where}: the object does not exist, and the log names it; {RESTORE}") from error
    except (FileCorrupt, pa.ArrowException, OSError, ValueError) as error:
        raise ArchiveDamaged(f"{where}: its footer cannot be read: {error}; {RESTORE}") from error
    return pa.schema([field.remove_metadata() for field in schema if field.name not in NOT_SHOWN])


class Columns:
    """Brings each file's table into one schema."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema

    def conform(self, table: pa.Table, dt: str) -> pa.Table:
        """Return the table's rows in the schema, nulls where it lacks a column."""
        return pa.Table.from_arrays(list(self._arrays(table, dt)), schema=self.schema)

    def _arrays(self, table: pa.Table, dt: str) -> Iterator[pa.Array | pa.ChunkedArray]:
        for field in self.schema:
            if field.name == "dt":
                yield pa.repeat(pa.scalar(date.fromisoformat(dt), pa.date32()), table.num_rows)
            elif table.schema.get_field_index(field.name) < 0:
                yield pa.nulls(table.num_rows, field.type)
            else:
                column = table.column(field.name)
                yield column if column.type.equals(field.type) else column.cast(field.type)


class Condition:
    """A condition in SQL on decoded columns, as in `where` of a query; DuckDB judges it."""

    def __init__(self, text: str) -> None:
        # Only here: whoever has no condition needs no DuckDB.
        import duckdb  # noqa: PLC0415

        self._text = text
        self._error = duckdb.Error
        self._connection = duckdb.connect(config={"threads": 1, "enable_external_access": False})
        self._connection.execute("set timezone = 'UTC'")
        self._connection.execute("set enable_progress_bar = false")  # it would come between the records on stdout

    def mask(self, table: pa.Table) -> np.ndarray:
        """Return which rows the condition holds for; unknown (null) is no. Raises RequestRefused for a bad one."""
        self._connection.register("record", table)
        try:
            # The person's own condition, on data in memory, by a connection that has access to nothing else.
            found = self._connection.sql(f"select coalesce(({self._text}), false) as kept from record")  # noqa: S608
            kept = found.to_arrow_table().column("kept")
        except self._error as error:
            raise RequestRefused(f"--where {self._text}: {error}") from error
        finally:
            self._connection.unregister("record")
        if not pa.types.is_boolean(kept.type):
            raise RequestRefused(f"--where {self._text}: is of type {kept.type}, not true or false")
        mask: np.ndarray = kept.combine_chunks().to_numpy(zero_copy_only=False)
        return mask
