"""The environment of the stream engine, which has an older Kafka client than all else, and so is another one.

`make test` makes it from requirements/monitor.txt, beside the tests' own; HEADRACE_MONITOR_PYTHON names another.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def monitor_python() -> str:
    """Return the path of the Python that has the engine. Raises AssertionError when there is none."""
    beside = Path(sys.prefix)
    named = os.environ.get("HEADRACE_MONITOR_PYTHON")
    path = Path(named) if named else beside.with_name(f"{beside.name}-monitor") / "bin" / "python"
    if not path.exists():
        raise AssertionError(f"there is no {path}: run `make monitor-env`, or name one by HEADRACE_MONITOR_PYTHON")
    return str(path)


def command() -> list[str]:
    """Return how `headrace` is run with the engine."""
    # A library below the engine warns of its own future as it is imported.
    return [monitor_python(), "-W", "ignore", "-c", "from headrace.cli.main import main; main()"]


def environment() -> dict[str, str]:
    """Return this process's environment without what would change what headrace does, and with this tree's code."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "AWS_"))}
    return kept | {"PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}
