"""`python bench/scaling.py`: what a second worker gains, in turns with one worker, over the same topic.

Whole `headrace archive --until-idle` runs over a topic and over a third of it. Their difference is what counts:
starting, sharing out the partitions and ending take seconds that are the same for both. Broker and store are on
the same cores, and their CPU is shown beside the workers': where the cores are full, the gain by the clock ends there.
"""

import argparse
import os
import sys
from pathlib import Path
from statistics import median

from archive_topics import fill
from archive_whole import archive, checked
from bench_servers import running

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
    parser.add_argument("--events", type=int, default=9_000_000)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    gains, costs = [], []
    with running() as instance:
        kafka, url = instance.kafka.bootstrap, os.environ["HEADRACE_ARCHIVE"] + "/scaling"
        counts = {"third": arguments.events // 3, "all": arguments.events}
        for topic, count in counts.items():
            fill(kafka, topic, count, partitions=arguments.partitions)
        rows = counts["all"] - counts["third"]
        servers = [pid for pid in (instance.kafka_pid, instance.s3_pid) if pid]
        for number in range(arguments.rounds):
            rates: dict[int, float] = {}
            cpus: dict[int, float] = {}
            for workers in (1, 2):
                runs = {}
                for topic, count in counts.items():
                    place, before = f"{url}/{number}-{workers}", cpu_s(servers)
                    runs[topic] = archive(place, topic, "--workers", str(workers)), cpu_s(servers) - before
                    checked(place, topic, count)
                (third, servers_third), (whole, servers_all) = runs.values()
                wall, cpu = whole.wall_s - third.wall_s, whole.cpu_s - third.cpu_s
                theirs = servers_all - servers_third
                rates[workers], cpus[workers] = rows / wall, cpu * 1e6 / rows
                print(
                    f"{workers} worker(s): {rates[workers]:,.0f} rows/s, {cpus[workers]:.2f} us of CPU a row, "
                    f"broker and store {theirs * 1e6 / rows:.2f} us, {(cpu + theirs) / wall:.2f} cores busy; "
                    f"whole runs {third.wall_s:.1f} and {whole.wall_s:.1f} s",
                    flush=True,
                )
            gains.append(rates[2] / rates[1])
            costs.append(cpus[2] / cpus[1])
    print(f"two workers: {median(gains):.2f} times the rows a second ({min(gains):.2f} to {max(gains):.2f})")
    print(f"CPU a row: {median(costs):.2f} times one worker's ({min(costs):.2f} to {max(costs):.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
