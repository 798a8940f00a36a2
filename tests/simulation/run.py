"""Runs seeds: `python -m simulation.run --seeds 1000 --from 0`. Prints rate and counts; ends with 1 on failure."""

import argparse
import logging
import sys
import time
from collections import Counter

from .world import Outcome, simulate

REPORT_S = 30.0
NO_FAULTS = ("records", "log: ", "group: assigned", "reader: ", "run: ")  # what would happen in peace too


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--trace", action="store_true", help="print the trace of each seed, and what the workers log")
    options = parser.parse_args(arguments)
    logging.basicConfig(level="INFO" if options.trace else "CRITICAL", format="%(message)s")
    logging.getLogger("headrace").setLevel("DEBUG" if options.trace else "CRITICAL")
    totals: Counter[str] = Counter()
    failed: list[Outcome] = []
    started = reported = time.perf_counter()
    done = commits = rows = 0
    for seed in range(options.first, options.first + options.seeds):
        outcome = simulate(seed)
        done += 1
        totals.update(outcome.counts)
        commits += outcome.commits
        rows += outcome.rows
        if outcome.violation is not None:
            failed.append(outcome)
            show(outcome)
        now = time.perf_counter()
        if now - reported > REPORT_S:
            reported = now
            print(f"{done} of {options.seeds} seeds, {done / (now - started):.1f}/s, {len(failed)} failed", flush=True)
    seconds = time.perf_counter() - started
    for what, count in sorted(totals.items()):
        print(f"  {count:>12,}  {what}")
    faults = sum(count for what, count in totals.items() if not what.startswith(NO_FAULTS))
    print(
        f"{done:,} seeds from {options.first}: {len(failed)} violations; {done / seconds:.1f} schedules/s; "
        f"{faults:,} faults, {commits:,} commits, {rows:,} rows archived"
    )
    return 1 if failed else 0


def show(outcome: Outcome) -> None:
    """Print a failed seed: the end of its trace, what is wrong, how to see it again."""
    for line in outcome.trace[-60:]:
        print("   ", line)
    print(f"seed {outcome.seed}: {outcome.violation}")
    print(f"  again: make simulate SEEDS=1 FROM={outcome.seed}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
