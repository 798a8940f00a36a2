"""The project's files as the house rules see them: what is in the tree, without caches and environments."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]

# The folders that hold production code. Each is headrace.<name>, never <name>.
PARTS = ("schemas", "producer", "archiver", "replay", "monitor", "local", "cli")
OTHER_CODE = ("tests", "examples", "bench", "docker", "localstack")

_SKIPPED = {"__pycache__", "build", "dist", "spark-warehouse"}
_BINARY = {".parquet", ".avro", ".png", ".svg", ".bin", ".gz", ".pyc", ".jar", ".zip"}


def files(*folders: str, suffix: str = "") -> Iterator[Path]:
    """Yield the files below some folders of the tree, sorted; all of the tree when none is named."""
    for start in [ROOT / folder for folder in folders] or [ROOT]:
        yield from sorted(_walk(start, suffix))


def _walk(folder: Path, suffix: str) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        hidden = path.name.startswith(".") and path.name not in {".ci", ".gitignore"}
        if hidden or path.name in _SKIPPED or path.name.endswith(".egg-info") or path.is_symlink():
            continue
        if path.is_dir():
            yield from _walk(path, suffix)
        elif path.name.endswith(suffix):
            yield path


def texts() -> Iterator[tuple[Path, str]]:
    """Yield every text file of the tree with its content."""
    for path in files():
        if path.suffix not in _BINARY:
            yield path, path.read_text(encoding="utf-8")


@cache
def parsed(path: Path) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def name(path: Path) -> str:
    """Return a path as it is written in messages: from the root, with slashes."""
    return path.relative_to(ROOT).as_posix()


def is_generated(path: Path) -> bool:
    """Say whether a module is made by a program, so that rules on size don't apply."""
    return name(path) == "schemas/events.py"
