"""Who delivers a dead process's spool is killed at each of its steps on the files: the next one finishes, exactly.

tests/killed_anywhere.py is the program; HEADRACE_THOROUGH=1 kills more often at each step (2 minutes).
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "killed_anywhere.py"


@pytest.mark.parametrize("kind", ["starting", "untold", "adopter", "ship", "living"])
def test_every_folder_goes_and_nothing_is_lost(kind: str, tmp_path: Path) -> None:
    """A process that begins, an adopter without and with audit, and a ship process, of a dead and of a living process's
    folder: whichever step on a file they are killed before, and the next one too, the last removes the folder, every
    event that can be delivered was, and their audit events reconcile: each number under its reason, the damaged end's
    too, none unexplained, none counted twice, the session closed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(PROGRAM), kind, str(tmp_path)],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    print(done.stdout)
    found = re.search(r"(\d+) steps, (\d+) processes killed", done.stdout)
    assert found is not None
    assert int(found[2]) > 15
