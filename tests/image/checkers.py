"""The programs that `make image-check` installs into an environment of their own, whose path is HEADRACE_IMAGE_CHECK.

Where it is not set, as in `make test`, what needs them is skipped; all else about the image is tested all the same.
"""

import os
import subprocess
from pathlib import Path

import pytest


def run(program: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run one of the programs; skip the test where they are not installed."""
    folder = os.environ.get("HEADRACE_IMAGE_CHECK")
    if not folder:
        pytest.skip(f"{program} is not among the test tools: make image-check installs it and runs this")
    command = [str(Path(folder) / "bin" / program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
