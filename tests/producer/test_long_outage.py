"""The benchmark of a long outage, in short: what it shows in ten minutes holds in fifteen seconds."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.servers

SECONDS = int(os.environ.get("HEADRACE_OUTAGE_S", "15"))
SCRIPT = Path(__file__).parents[2] / "bench" / "outage.py"


@pytest.mark.timeout(300 + 5 * SECONDS)
def test_an_outage_is_caught_up_in_order_with_flat_memory() -> None:
    """Two processes emit 5,000 events a second while their broker is dead: nothing is refused, all arrives once the
    broker is back, in order within each process, and the second half of the outage takes no more memory."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--seconds", str(SECONDS), "--around", "4"],
        capture_output=True, text=True, timeout=280 + 5 * SECONDS, check=False,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"(\d+) emitted,\s+(\d+) delivered, 0 missing, 0 out of order", done.stdout)
    assert found is not None
    assert int(found[1]) == int(found[2]) > 5000 * SECONDS * 0.8
