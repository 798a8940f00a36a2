"""Each surface is fuzzed in a process of its own with bounded memory: it must end by itself, with nothing found.

`seeds.json` holds the seeds that every run uses; one at which something was found is added to it.
HEADRACE_FUZZ_EXAMPLES makes a run longer, HEADRACE_FUZZ_SEED adds another seed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SEEDS: dict[str, list[int]] = json.loads((HERE / "seeds.json").read_text())
# What takes some seconds on a busy machine.
EXAMPLES_OF_A_SHORT_RUN = {"avro": 40, "log": 150, "config": 200, "parquet": 150, "folds": 100, "checkpoints": 150}
TIMEOUT_S = 3000


def runs() -> list[tuple[str, int]]:
    more = [int(seed)] if (seed := os.environ.get("HEADRACE_FUZZ_SEED")) else []
    return [(surface, seed) for surface, seeds in SEEDS.items() for seed in (*seeds, *more)]


@pytest.mark.timeout(TIMEOUT_S + 60)
@pytest.mark.parametrize(("surface", "seed"), runs())
def test_nothing_that_comes_in_breaks_a_surface(surface: str, seed: int, tmp_path: Path) -> None:
    """No crash of the interpreter, no memory without bound, no exception but the surface's own, no wrong data."""
    examples = int(os.environ.get("HEADRACE_FUZZ_EXAMPLES", EXAMPLES_OF_A_SHORT_RUN[surface]))
    last = tmp_path / "last"
    paths = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [sys.executable, "-m", "fuzz", surface, "--examples", str(examples), "--seed", str(seed)],
        env={**os.environ, "PYTHONPATH": paths, "HEADRACE_FUZZ_LAST": str(last)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    print(ended.stdout)
    shown = last.read_text()[:2000] if last.exists() else "none"
    assert ended.returncode == 0, f"{surface}, seed {seed}: {ended.stdout}{ended.stderr[-6000:]}\nlast input: {shown}"
