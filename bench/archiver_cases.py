"""`python bench/archiver_cases.py`: what the archiver costs a record beside the sum of its bare steps, case by case.

Each case: fill a topic; then, in turns, measure the bare steps in this process and run the real `headrace archive`
over it, everything in S3 when the clock stops; hold the archive against its log and digests. Then run one worker with
clocks around its stages. The CPU that starting and ending cost is measured with a hundred records, and taken off;
rows/s includes both. Of several rounds the medians are shown, and the least and the largest ratio: machines differ, and
are shared.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from archive_bare import STEPS, measure_bare, measure_batches
from archive_topics import ERROR, HEADED, MIXED, PIN, Kind, fill
from archive_whole import archive, checked
from bench_servers import running
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results" / "archiver.jsonl"
SMALL, SMALL_EVENTS = "bench-small", 100


@dataclass(frozen=True)
class Case:
    """A topic and how it is archived. `share` of the run's events are in it."""

    name: str
    kind: Kind = PIN
    partitions: int = 4
    dates: int = 1
    workers: int = 1
    share: float = 1.0

    @property
    def topic(self) -> str:
        """The topic's name."""
        return "bench-" + self.name.replace(" ", "-").replace(",", "")

    def events(self, most: int) -> int:
        """How many events are in the topic."""
        return int(most * self.share * self.kind.per_pin)


CASES = [
    Case("pins"),
    Case("pins, 2 workers", workers=2),
    Case("64 partitions", partitions=64, share=0.5),
    Case("30 dates", dates=30, share=0.5),
    Case("two schemas", kind=MIXED, share=0.5),
    Case("headers", kind=HEADED, share=0.5),
    Case("errors of 2 kB", kind=ERROR),
]


def measure_archiver(kafka: str, events: int, cases: list[Case], rounds: int = 1) -> list[dict[str, Any]]:
    """Return the figures of each case, in microseconds of CPU a record unless the name says otherwise."""
    url = os.environ["HEADRACE_ARCHIVE"]
    fill(kafka, SMALL, SMALL_EVENTS)
    found = []
    for case in cases:
        count = case.events(events)
        fill(kafka, case.topic, count, kind=case.kind, partitions=case.partitions, dates=case.dates)
        workers = ("--workers", str(case.workers))
        bares, batches, wholes, costs, ratios, own_ratios = [], [], [], [], [], []
        for number in range(rounds):
            place = f"{url}/whole-{case.topic}-{number}"
            bare = measure_bare(kafka, case.topic, count, case.kind, case.partitions, dates=case.dates)
            starting, whole = archive(f"{place}-small", SMALL, *workers), archive(place, case.topic, *workers)
            archived = checked(place, case.topic, count)
            bares.append(bare)
            batches.append(measure_batches(kafka, case.topic, count, case.partitions))
            wholes.append(whole)
            costs.append((whole.cpu_s - starting.cpu_s) * 1e6 / count)
            ratios.append(sum(bare.values()) / costs[-1])
            rest = sum(bare.values()) - bare["consume"] - bare["columns"]
            own_ratios.append((batches[-1] + rest) / costs[-1])
        found.append(
            {
                "case": case.name,
                "events": count,
                "bare": {name: median(bare[name] for bare in bares) for name in STEPS},
                "limit": median(sum(bare.values()) for bare in bares),
                "batches": median(batches),
                "ratio by batches": median(own_ratios),
                "whole": median(costs),
                "ratio": median(ratios),
                "ratios": sorted(ratios),
                "rows a CPU-second": 1e6 / median(costs),
                # Starting and ending included: two noisy times are not subtracted.
                "rows a second": median(count / whole.wall_s for whole in wholes),
                "peak MB of a worker": max((whole.peak_mb for whole in wholes if whole.peak_mb), default=None),
                "bytes a row": archived.bytes / count,
                "files": archived.files,
                "commits": archived.commits,
                "stages": _stages(case.topic, count, f"{place}-stages"),
            }
        )
    return found


def _stages(topic: str, events: int, url: str) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__).with_name("archive_stages.py")), topic, str(events), url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    stages: dict[str, float] = json.loads(done.stdout)
    return stages


def show_archiver(found: list[dict[str, Any]]) -> None:
    """Print the tables."""
    console = Console(width=None if sys.stdout.isatty() else 180)
    table = Table(
        title="archiver: us of CPU a record; limit: the bare steps' sum, by messages; ratio: limit / whole; "
        "batches: instead of consume and columns"
    )
    for name in (
        "case",
        "events",
        *STEPS,
        "limit",
        "whole",
        "ratio",
        "least, most",
        "batches",
        "its ratio",
        "rows/CPU-s",
        "rows/s",
        "peak MB",
        "B a row",
    ):
        table.add_column(name, justify="left" if name == "case" else "right")
    for case in found:
        peak = case["peak MB of a worker"]
        table.add_row(
            case["case"],
            f"{case['events']:,}",
            *(f"{case['bare'][name]:.2f}" for name in STEPS),
            *(f"{case[name]:.2f}" for name in ("limit", "whole", "ratio")),
            f"{case['ratios'][0]:.2f} to {case['ratios'][-1]:.2f}",
            f"{case['batches']:.2f}",
            f"{case['ratio by batches']:.2f}",
            f"{case['rows a CPU-second']:,.0f}",
            f"{case['rows a second']:,.0f}",
            "" if peak is None else f"{peak:.0f}",
            f"{case['bytes a row']:.1f}",
        )
    console.print(table)
    names = list(dict.fromkeys(name for case in found for name in case["stages"]))
    table = Table(title="one worker's CPU by stage, us a record")
    table.add_column("case")
    for name in [*names, "sum"]:
        table.add_column(name, justify="right")
    for case in found:
        stages = case["stages"]
        table.add_row(case["case"], *(f"{stages.get(name, 0):.2f}" for name in names), f"{sum(stages.values()):.2f}")
    console.print(table)


def note(found: list[dict[str, Any]]) -> None:
    """Add the run to the history."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False, cwd=RESULTS.parent
    ).stdout.strip()
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as history:
        run = {"at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "commit": commit, "cores": os.cpu_count(), "cases": found}
        history.write(json.dumps(run) + "\n")


def main() -> int:
    """Measure, print, and note in bench/results/archiver.jsonl."""
    parser = argparse.ArgumentParser(prog="bench/archiver_cases.py", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="pins of the largest case (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="of each case; medians are shown (%(default)s)")
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES], help="only this; repeat")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--no-history", action="store_true", help="do not add the run to bench/results")
    arguments = parser.parse_args()
    cases = [case for case in CASES if not arguments.case or case.name in arguments.case]
    with running() as instance:
        found = measure_archiver(instance.kafka.bootstrap, arguments.events, cases, arguments.rounds)
    print(json.dumps(found, indent=1)) if arguments.json else show_archiver(found)
    if not arguments.no_history:
        note(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
