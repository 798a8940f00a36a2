"""`make bench`: what each step costs, and what the whole costs beside their sum. Everything from one run.

Machines differ and are shared, so the ratios are what to compare; absolute figures only belong to the run that printed
them. CPU is of all threads, and for whole processes of all their children.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from archiver_cases import CASES, measure_archiver, note, show_archiver
from producer_steps import measure_producer
from replay_steps import measure_replay
from rich.console import Console
from rich.table import Table

from headrace.local import Instance


def main() -> int:
    """Run the benchmarks and print a table, or JSON."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="pin events to archive (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        instance = Instance(Path(folder) / "servers", env=os.environ)
        say = Console(stderr=True)
        try:
            say.print("starting Kafka and S3")
            instance.up()
            os.environ.update(instance.env())
            say.print("producer: building, encoding, emitting")
            producer = measure_producer(instance.kafka.bootstrap)
            say.print(f"archiver: {len(CASES)} cases of up to {arguments.events:,} events, bare, whole and by stage")
            archived = measure_archiver(instance.kafka.bootstrap, arguments.events, CASES)
            note(archived)
            say.print("replay: to Arrow, and into Kafka in turns with a bare loop")
            replay = measure_replay(instance.kafka.bootstrap)
        finally:
            instance.down(purge=True)
    if arguments.json:
        print(json.dumps({"producer": producer, "archiver": archived, "replay": replay}, indent=2))
        return 0
    show(producer)
    show_archiver(archived)
    show_replay(replay)
    return 0


def show(producer: dict[str, float]) -> None:
    """Print what was measured for people."""
    console = Console()
    table = Table(title="producer: one pin event, in the calling thread")
    table.add_column("step")
    table.add_column("us", justify="right")
    table.add_column("of fastavro", justify="right")
    for name in ("fastavro encodes a dict", "event made, checked and encoded", "emit() median", "emit() p99.9"):
        table.add_row(name, f"{producer[name]:.1f}", f"{producer[name] / producer['fastavro encodes a dict']:.2f}")
    console.print(table)


def show_replay(replay: dict[str, float]) -> None:
    """Print the replay's figures for people."""
    console = Console()
    table = Table(title="replay")
    table.add_column("figure")
    table.add_column("", justify="right")
    for name, value in replay.items():
        table.add_row(name, f"{value:,.0f}" if value >= 10 else f"{value:.2f}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
