"""`make bench`: what each step costs, and what the whole costs beside their sum. Everything from one run.

Machines differ and are shared, so the ratios are what to compare; absolute figures only belong to the run that printed
them. CPU is of all threads, and for whole processes of all their children.
"""

import argparse
import json
import sys
from collections.abc import Collection
from typing import Any

from archiver_cases import CASES, measure_archiver, note, show_archiver
from bench_servers import running
from producer_steps import measure_producer
from replay_steps import MEMORY, fill_topic, make_archive, measure_memory, measure_replay
from rich.console import Console
from rich.table import Table

PARTS = ("producer", "archiver", "replay", "memory")


def main() -> int:
    """Run the benchmarks and print a table, or JSON."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="pin events to archive (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; repeat for several")
    arguments = parser.parse_args()
    say = Console(stderr=True)
    say.print("starting Kafka and S3")
    with running() as instance:
        found = _measured(instance.kafka.bootstrap, arguments.events, arguments.part or PARTS, say)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return 0
    for part, shown in (
        ("producer", show),
        ("archiver", show_archiver),
        ("replay", show_replay),
        ("memory", show_memory),
    ):
        if part in found:
            shown(found[part])
    return 0


def _measured(kafka: str, events: int, parts: Collection[str], say: Console) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "producer" in parts:
        say.print("producer: building, encoding, emitting")
        found["producer"] = measure_producer(kafka)
    if "archiver" in parts:
        say.print(f"archiver: {len(CASES)} cases of up to {events:,} events, bare, whole and by stage")
        found["archiver"] = measure_archiver(kafka, events, CASES)
        note(found["archiver"])
    elif "replay" in parts or "memory" in parts:
        say.print(f"writing {events:,} events to replay")
        fill_topic(kafka, events)
        make_archive()
    if "replay" in parts:
        say.print("replay: to Arrow, and into Kafka in turns with a bare loop")
        found["replay"] = measure_replay(kafka)
    if "memory" in parts:
        say.print("memory of replays over growing ranges")
        found["memory"] = measure_memory(kafka)
    return found


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


def show_memory(memory: list[tuple[str, int, float, float]]) -> None:
    """Print for people how much memory replays of growing ranges took."""
    console = Console()
    table = Table(title="memory of a replay, each in a process of its own")
    for name in MEMORY:
        table.add_column(name, justify="right")
    for name, rows, to_arrow, into_kafka in memory:
        table.add_row(name, f"{rows:,}", f"{to_arrow:.0f}", f"{into_kafka:.0f}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
