"""Seeds in CI: no violation in two thousand schedules, every seeded bug caught, the same schedule for the same seed."""

import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulation.known import KNOWN
from simulation.mutations import catch
from simulation.seeded_bugs import BUGS
from simulation.table import table
from simulation.world import simulate

SEEDS = int(os.environ.get("HEADRACE_SEEDS", "2000"))
SEARCH = 400  # code changes move schedules: so many more seeds are tried before a bug counts as missed
TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "docs" / "simulation.md"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The archiver's warnings about simulated trouble are not formatted: there are thousands."""
    logger = logging.getLogger("headrace")
    before = logger.level
    logger.setLevel("CRITICAL")
    yield
    logger.setLevel(before)


@pytest.mark.parametrize("first", range(0, SEEDS, 500))
def test_no_seed_breaks_an_invariant(first: int) -> None:
    """I1-I11 hold after every step of each schedule, and everything drains when all has healed."""
    counts: Counter[str] = Counter()
    for seed in range(first, min(first + 500, SEEDS)):
        outcome = simulate(seed)
        counts.update(outcome.counts)
        trace = "\n".join(outcome.trace[-60:])
        assert outcome.violation is None, (
            f"{trace}\nseed {seed}: {outcome.violation}\nmake simulate SEEDS=1 FROM={seed}"
        )
    # A simulation in which little goes wrong shows nothing.
    for what in ("s3: 412", "s3: late put applied", "worker: killed", "group: lost", "kafka: truncated"):
        assert counts[what] > 20, f"{what} came {counts[what]} times in 500 seeds"


@pytest.mark.parametrize("name", BUGS)
def test_every_seeded_bug_is_caught(name: str) -> None:
    """The simulation notices each bug that is put into the production code, at the seed that is known for it."""
    first, _ = KNOWN[name]
    outcome = catch(name, range(first, first + SEARCH))
    assert outcome is not None, f"{name} is not caught by seeds {first} to {first + SEARCH}"
    print(f"{name}: caught at seed {outcome.seed}: {outcome.violation}")


def test_each_seeded_bug_has_its_seed() -> None:
    """The list of known seeds is the list of bugs, and docs/simulation.md has it."""
    assert KNOWN.keys() == BUGS.keys()
    assert table() in PAGE.read_text()


def test_a_seed_is_the_same_schedule_everywhere() -> None:
    """Hash randomisation, the one thing that differs between two runs of Python, changes nothing of a schedule."""
    program = (
        "import logging; logging.getLogger('headrace').setLevel('CRITICAL')\n"
        "from simulation.world import simulate\n"
        "for seed in range(1, 7): print(seed, sorted(simulate(seed).counts.items()))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]), "PYTHONHASHSEED": salt},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for salt in ("1", "2")
    ]
    assert said[0] == said[1]
    assert said[0].count("records") == 6
