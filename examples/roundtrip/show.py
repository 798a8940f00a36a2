"""Looks at the archive as anyone would who never heard of headrace: object names, and plain SQL over plain Parquet."""

from collections.abc import Iterator
from typing import Any

import duckdb
import s3fs

FILES_A_FOLDER = 2


def query_of(archive: str, where: str = "topic=*/dt=*") -> str:
    """Return the table expression that reads an archive's data files with DuckDB: all, or those below `where`."""
    return f"read_parquet('{archive}/data/{where}/*.parquet', hive_partitioning = true, union_by_name = true)"


def connect() -> duckdb.DuckDBPyConnection:
    """Return DuckDB with S3 through fsspec, which takes endpoint and credentials from the AWS_... variables.

    DuckDB's own S3 client is the extension httpfs, which it would download first.
    """
    connection = duckdb.connect()
    connection.register_filesystem(_filesystem())
    return connection


def _filesystem() -> Any:
    return s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)


def tree(archive: str) -> Iterator[str]:
    """Yield the archive's objects as a tree, one line each; a folder shows its first few and how many more."""
    root = archive.removeprefix("s3://")
    found = _filesystem().find(root, detail=True)
    nested: dict[str, Any] = {}
    for path, info in sorted(found.items()):
        *folders, name = path.removeprefix(root + "/").split("/")
        place = nested
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = int(info["size"])
    yield f"{archive}/  ({len(found)} objects, {_size(sum(int(info['size']) for info in found.values()))})"
    yield from _branches(nested, "")


def _branches(nested: dict[str, Any], indent: str) -> Iterator[str]:
    folders = [(name, inside) for name, inside in nested.items() if isinstance(inside, dict)]
    files = [(name, size) for name, size in nested.items() if not isinstance(size, dict)]
    shown: list[tuple[str, Any]] = [*folders, *files[:FILES_A_FOLDER]]
    more = len(files) - FILES_A_FOLDER
    if more > 0:
        rest = sum(size for _, size in files[FILES_A_FOLDER:])
        shown.append((f"and {more} more, {_size(rest)}", None))
    for place, (name, inside) in enumerate(shown, 1):
        last = place == len(shown)
        line = f"{indent}{'└── ' if last else '├── '}{name}"
        if isinstance(inside, dict):
            yield f"{line}/"
            yield from _branches(inside, indent + ("    " if last else "│   "))
        else:
            yield line if inside is None else f"{line}  {_size(inside)}"


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"
