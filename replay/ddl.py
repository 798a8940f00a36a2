"""Table definitions over a topic's folders, for engines that keep a catalogue. Pure: from the columns to text."""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import pyarrow as pa

Engine: TypeAlias = Literal["duckdb", "spark", "trino", "athena"]
ENGINES: tuple[Engine, ...] = ("duckdb", "spark", "trino", "athena")

_SPARK = {"text": "STRING", "bytes": "BINARY", "int": "INT", "long": "BIGINT", "float": "FLOAT", "double": "DOUBLE"}
_TRINO = {
    "text": "varchar",
    "bytes": "varbinary",
    "int": "integer",
    "long": "bigint",
    "float": "real",
    "double": "double",
}
_ATHENA = {"text": "string", "bytes": "binary", "int": "int", "long": "bigint", "float": "float", "double": "double"}
_NAMES: Mapping[Engine, Mapping[str, str]] = {"spark": _SPARK, "trino": _TRINO, "athena": _ATHENA}


def table_definition(engine: Engine, topic: str, archive_url: str, schema: pa.Schema) -> str:
    """Return the statements that make a topic a table. `schema`: its columns, `dt` among them (see columns.py)."""
    columns = [field for field in schema if field.name != "dt"]
    folder = f"{archive_url}/data/topic={topic}"
    return {"duckdb": _duckdb, "spark": _spark, "trino": _trino, "athena": _athena}[engine](topic, folder, columns)


def _duckdb(topic: str, folder: str, _columns: list[pa.Field]) -> str:
    return (
        f'CREATE OR REPLACE VIEW "{topic}" AS\n'
        f"SELECT * FROM read_parquet('{folder}/dt=*/*.parquet', hive_partitioning = true, union_by_name = true);\n"
    )


def _spark(topic: str, folder: str, columns: list[pa.Field]) -> str:
    lines = _columns(columns, lambda name: f"`{name}`", "spark")
    return (
        f"CREATE TABLE `{topic}` (\n{lines},\n  `dt` DATE\n)\nUSING PARQUET\nPARTITIONED BY (dt)\n"
        f"LOCATION '{folder.replace('s3://', 's3a://', 1)}';\n"
        f"MSCK REPAIR TABLE `{topic}`;  -- again whenever a date is new\n"
    )


def _trino(topic: str, folder: str, columns: list[pa.Field]) -> str:
    lines = _columns(columns, lambda name: f'"{name}"', "trino")
    return (
        f"CREATE TABLE hive.default.\"{topic}\" (\n{lines},\n  dt date\n)\nWITH (\n  format = 'PARQUET',\n"
        f"  external_location = '{folder}',\n  partitioned_by = ARRAY['dt']\n);\n"
        f"CALL hive.system.sync_partition_metadata('default', '{topic}', 'ADD');  -- again whenever a date is new\n"
    )


def _athena(topic: str, folder: str, columns: list[pa.Field]) -> str:
    lines = _columns(columns, lambda name: f"`{name}`", "athena")
    return (
        f"CREATE EXTERNAL TABLE `{topic}` (\n{lines}\n)\nPARTITIONED BY (`dt` date)\nSTORED AS PARQUET\n"
        f"LOCATION '{folder}/'\nTBLPROPERTIES (\n  'projection.enabled' = 'true',\n"
        "  'projection.dt.type' = 'date',\n  'projection.dt.format' = 'yyyy-MM-dd',\n"
        "  'projection.dt.range' = '2020-01-01,NOW+1DAYS',\n"
        f"  'storage.location.template' = '{folder}/dt=${{dt}}/'\n);\n"
    )


def _columns(columns: list[pa.Field], quote: Callable[[str], str], engine: Engine) -> str:
    return ",\n".join(f"  {quote(field.name)} {type_name(field.type, engine)}" for field in columns)


def type_name(kind: pa.DataType, engine: Engine) -> str:
    """Return a column type as an engine writes it."""
    plain = _plain(kind)
    names = _NAMES[engine]
    if plain is not None:
        return names[plain]
    lower = engine != "spark"
    found = ""
    if pa.types.is_dictionary(kind):
        return type_name(kind.value_type, engine)
    if pa.types.is_boolean(kind):
        found = "BOOLEAN"
    elif pa.types.is_date(kind):
        found = "DATE"
    elif pa.types.is_timestamp(kind):
        found = "TIMESTAMP(6)" if engine == "trino" else "TIMESTAMP"
    elif pa.types.is_decimal(kind):
        found = f"DECIMAL({kind.precision},{kind.scale})"
    if found:
        return found.lower() if lower else found
    return _nested(kind, engine)


def _plain(kind: pa.DataType) -> str | None:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return "bytes"
    if pa.types.is_int64(kind):
        return "long"
    if pa.types.is_integer(kind) or pa.types.is_time32(kind):
        return "int"
    if pa.types.is_float32(kind):
        return "float"
    return "double" if pa.types.is_float64(kind) else None


def _nested(kind: pa.DataType, engine: Engine) -> str:
    trino = engine == "trino"
    if pa.types.is_map(kind):
        pair = f"{type_name(kind.key_type, engine)}, {type_name(kind.item_type, engine)}"
        return f"map({pair})" if trino else f"map<{pair.replace(', ', ',')}>"
    if pa.types.is_list(kind):
        item = type_name(kind.value_type, engine)
        return f"array({item})" if trino else f"array<{item}>"
    if pa.types.is_struct(kind):
        fields = [(kind.field(at).name, type_name(kind.field(at).type, engine)) for at in range(kind.num_fields)]
        if trino:
            return "row(" + ", ".join(f'"{name}" {of}' for name, of in fields) + ")"
        return "struct<" + ",".join(f"{name}:{of}" for name, of in fields) + ">"
    raise ValueError(f"a column of type {kind} has no name in {engine}")
