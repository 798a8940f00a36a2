"""Where the stream engine is installed: an environment of its own, beside this one (`make monitor-env`)."""

import os
import sys
from pathlib import Path


def monitor_python() -> str:
    """Return the Python of the engine's environment."""
    named = os.environ.get("HEADRACE_MONITOR_PYTHON")
    beside = Path(sys.prefix)
    return named or str(beside.with_name(f"{beside.name}-monitor") / "bin" / "python")
