"""The short chaos run, as it is run by hand: real processes killed, paused and cut off, disks full; nothing is lost."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

RESULT = re.compile(
    r"^[\d,]+ faults, [\d,]+ acknowledged events: 0 lost, 0 duplicated, gaps recorded = gaps injected \(\d+ = \d+\)$"
)
TESTS = Path(__file__).parents[1]
TIMEOUT_S = 1500  # it takes two to three minutes where nothing else runs


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S + 100)
def test_a_short_chaos_run_loses_and_doubles_nothing() -> None:
    """Every acknowledged event is archived once or lies in a recorded gap, and every gap is one that the run made."""
    paths = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [sys.executable, "-m", "chaos", "--short", "--seed", os.environ.get("HEADRACE_CHAOS_SEED", "1")],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    print(ended.stdout)
    assert ended.returncode == 0, ended.stdout[-6000:]
    assert RESULT.match(ended.stdout.splitlines()[-1])
