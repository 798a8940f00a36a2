"""Rules about modules of code that a machine can check: size, purpose, names, imports, assertions, clocks."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from house.tree import OTHER_CODE, PARTS, ROOT, files, is_generated, name, parsed

LINES_MAX = 350
PRODUCTION = [path for path in files(*PARTS, suffix=".py") if not is_generated(path)]
ALL_CODE = [*files(*PARTS, suffix=".py"), *files(*OTHER_CODE, suffix=".py")]
VAGUE = {"utils", "util", "helpers", "helper", "manager", "common", "misc", "stuff"}

# What gives another answer when the same thing is done again. It reaches the code as a constructor argument.
RAW = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "sleep"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "random": {"*"},
    "secrets": {"*"},
    "os": {"urandom"},
    "uuid": {"uuid1", "uuid4", "uuid7"},
}
# The modules that hand out the real thing, and those that wire a process together. All others get it passed in.
ADAPTERS = {"archiver/clock.py", "archiver/worker_process.py"}


def names(paths: list[Path]) -> list[str]:
    return [name(path) for path in paths]


@pytest.mark.parametrize("path", PRODUCTION, ids=names(PRODUCTION))
def test_module_fits_in_the_head(path: Path) -> None:
    """A module of production code has at most 350 lines."""
    assert len(path.read_text().splitlines()) <= LINES_MAX


@pytest.mark.parametrize("path", ALL_CODE, ids=names(ALL_CODE))
def test_module_says_what_it_is_for(path: Path) -> None:
    """Each module begins with a docstring."""
    tree = parsed(path)
    assert ast.get_docstring(tree) or not tree.body


def test_no_module_has_a_vague_name() -> None:
    """A file's name says what is in it."""
    assert [name(path) for path in ALL_CODE if path.stem in VAGUE or path.parent.name in VAGUE] == []


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, first part of the module's name) for each absolute import."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module.split(".")[0]


def test_nothing_is_imported_by_its_bare_folder_name() -> None:
    """`import schemas` would find anybody's schemas: only `headrace.schemas` is ours."""
    found = [f"{name(path)}:{line} {module}" for path in ALL_CODE for line, module in imported(path) if module in PARTS]
    assert found == []


def test_production_code_does_not_assert() -> None:
    """`python -O` removes assertions, so production code raises."""
    found = [
        f"{name(path)}:{node.lineno}"
        for path in files(*PARTS, suffix=".py")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Assert)
    ]
    assert found == []


def raw_uses(path: Path) -> Iterator[str]:
    """Yield each mention of a raw clock, sleep or source of randomness in a module."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute):
            # time.sleep, datetime.now, and datetime.datetime.now
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if RAW.get(owner, set()) & {node.attr, "*"}:
                yield f"{name(path)}:{node.lineno} {owner}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                if RAW.get(node.module or "", set()) & {alias.name, "*"} and (node.module, alias.name) != (
                    "random",
                    "Random",
                ):
                    yield f"{name(path)}:{node.lineno} from {node.module} import {alias.name}"


def test_clock_and_randomness_are_passed_in() -> None:
    """Archiver, replay and monitor do the same thing again when given the same clock, ids and randomness."""
    folders = [*files("archiver", "replay", "monitor", suffix=".py")]
    found = [use for path in folders if name(path) not in ADAPTERS for use in raw_uses(path)]
    assert found == []


def test_the_list_of_adapters_is_true() -> None:
    """Each module that may use the real clock exists and does use it."""
    assert [adapter for adapter in sorted(ADAPTERS) if not any(raw_uses(ROOT / adapter))] == []


@pytest.mark.parametrize(
    "code",
    [
        "import time\ntime.sleep(1)",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import date\ndate.today()",
        "from time import monotonic",
        "import random\nrandom.random()",
        "import os\nos.urandom(16)",
        "def f(clock=__import__('time').time, t=time.time): ...",
    ],
)
def test_raw_uses_are_seen(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule finds each way of writing what it forbids, so that an empty list means something."""
    monkeypatch.setattr("house.tree.ROOT", tmp_path)
    module = tmp_path / "module.py"
    module.write_text(code)
    assert list(raw_uses(module))
