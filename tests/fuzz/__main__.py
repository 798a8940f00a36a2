"""`python -m fuzz SURFACE`: fuzz one surface in this process, whose memory is bounded.

A crash of the interpreter or a demand for memory without bound then ends this process alone. The input at which it
happened lies in the file that HEADRACE_FUZZ_LAST names; a failed property is shrunk and printed by Hypothesis.
"""

import argparse
import faulthandler
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from fuzz import derived, surfaces

MORE_MEMORY = 1 << 30
SURFACES: dict[str, Callable[[int, int], str]] = {
    "avro": surfaces.avro,
    "log": surfaces.log,
    "config": surfaces.config,
    "parquet": surfaces.parquet,
    "folds": derived.folds,
    "checkpoints": derived.checkpoints,
}


def own_memory() -> int:
    """This process's address space now, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("surface", choices=sorted(SURFACES))
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    faulthandler.enable()
    surface = SURFACES[asked.surface]
    surface(1, asked.seed)  # what libraries take once, such as their threads, is no part of the bound
    if sys.platform == "linux":
        bound = own_memory() + MORE_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    print(f"{asked.surface}, seed {asked.seed}: {surface(asked.examples, asked.seed)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
