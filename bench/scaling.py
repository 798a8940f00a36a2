"""`python bench/scaling.py`: what a second worker gains, in turns with one worker, over the same topic.

Whole `headrace archive --until-idle` runs; what starting, joining and ending take is measured with a hundred records
and taken off. Broker and store are on the same cores, and their CPU is shown beside the workers': where the cores are
full, the gain by the clock ends there, and CPU a record says what a worker on a core of its own would do.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

from archive_topics import fill
from archive_whole import archive, checked

from headrace.local import Instance

SMALL = 100
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pids: list[int]) -> float:
    """Return the CPU seconds that processes have taken, from /proc."""
    spent = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        spent += (int(fields[11]) + int(fields[12])) / TICKS
    return spent


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench/scaling.py", description=__doc__)
    parser.add_argument("--events", type=int, default=4_000_000)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    gains, costs = [], []
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        instance = Instance(Path(folder) / "servers", env=os.environ)
        try:
            instance.up()
            os.environ.update(instance.env())
            kafka, url = instance.kafka.bootstrap, os.environ["HEADRACE_ARCHIVE"] + "/scaling"
            fill(kafka, "small", SMALL, partitions=arguments.partitions)
            fill(kafka, "scaling", arguments.events, partitions=arguments.partitions)
            servers = [pid for pid in (instance.kafka_pid, instance.s3_pid) if pid]
            for number in range(arguments.rounds):
                rates, cpus = {}, {}
                for workers in (1, 2):
                    more, place = ("--workers", str(workers)), f"{url}/{number}-{workers}"
                    starting, theirs = archive(f"{place}-small", "small", *more), cpu_s(servers)
                    run, theirs = archive(place, "scaling", *more), cpu_s(servers) - theirs
                    checked(place, "scaling", arguments.events)
                    wall = run.wall_s - starting.wall_s
                    rates[workers] = arguments.events / wall
                    cpus[workers] = (run.cpu_s - starting.cpu_s) * 1e6 / arguments.events
                    busy = (run.cpu_s - starting.cpu_s + theirs) / wall
                    print(
                        f"{workers} worker(s): {rates[workers]:,.0f} rows/s, {cpus[workers]:.2f} us of CPU a row, "
                        f"broker and store {theirs * 1e6 / arguments.events:.2f} us, {busy:.2f} cores busy with it",
                        flush=True,
                    )
                gains.append(rates[2] / rates[1])
                costs.append(cpus[2] / cpus[1])
        finally:
            instance.down(purge=True)
    print(f"two workers: {median(gains):.2f} times the rows a second ({min(gains):.2f} to {max(gains):.2f})")
    print(f"CPU a row: {median(costs):.2f} times one worker's ({min(costs):.2f} to {max(costs):.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
