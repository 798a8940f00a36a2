"""`python bench/producer.py`: what emit() costs the app, whatever becomes of the broker, and how much one process does.

Everything is compared with something else in the same run, in pairs that alternate; what counts are the ratios. Three
parts: the calling thread's time for one event, beside the encoding alone; the slowest calls while the broker is
stopped, swallows everything, or restarts, beside a healthy one; and the rate of one process until all is delivered,
beside a bare loop.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paired import quantile, ratio
from producer_subjects import event_bytes
from rich.console import Console
from rich.table import Table
from swallowing_proxy import SwallowingProxy

from headrace.local import Instance
from headrace.producer.topics import create_topic

CHILD = Path(__file__).parent / "producer_child.py"
RESULTS = Path(__file__).parent / "results"
PARTITIONS = 4
LATENCY_SUBJECTS = ("spool on disk", "queue in memory", "bare loop", "encoding alone")
THROUGHPUT_SUBJECTS = (
    "spool on disk",
    "queue in memory, waiting for room",
    "spool on disk, headrace ship",
    "bare loop",
)
say = Console(stderr=True)


def main() -> int:
    """Run the parts that are asked for, print tables, and write the figures as JSON."""
    parser = argparse.ArgumentParser(prog="bench/producer.py", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="pairs of each comparison (%(default)s)")
    parser.add_argument("--calls", type=int, default=10_000, help="calls in a latency round (%(default)s)")
    parser.add_argument("--events", type=int, default=100_000, help="events in a throughput round (%(default)s)")
    parser.add_argument("--part", action="append", choices=("steps", "outages", "throughput"), help="all, if not given")
    parser.add_argument("--json", type=Path, default=RESULTS / "producer.json", help="where figures go (%(default)s)")
    arguments = parser.parse_args()
    parts = arguments.part or ["steps", "throughput", "outages"]
    figures: dict[str, Any] = {"event_bytes": event_bytes(), "cores": os.cpu_count(), "arguments": sys.argv[1:]}
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder = Path(name)
        instance = Instance(folder / "servers", env=os.environ)
        try:
            say.print("starting Kafka")
            instance.up()
            kafka = instance.kafka.bootstrap
            create_topic(kafka, "pin", PARTITIONS)
            create_topic(kafka, "headrace.schemas", 1)
            if "steps" in parts:
                figures["steps"] = measure_steps(kafka, folder, arguments.rounds, arguments.calls // 5)
            if "throughput" in parts:
                figures["throughput"] = measure_throughput(kafka, folder, arguments.rounds, arguments.events)
            if "outages" in parts:
                figures["outages"] = measure_outages(instance, folder, arguments.rounds, arguments.calls)
        finally:
            instance.down(purge=True)
    show(figures)
    arguments.json.parent.mkdir(exist_ok=True)
    old = json.loads(arguments.json.read_text()) if arguments.part and arguments.json.exists() else {}
    arguments.json.write_text(json.dumps(old | figures, indent=1) + "\n")
    return 0


def child(folder: Path, *arguments: object) -> "subprocess.Popen[str]":
    """Start a measuring process in a folder of its own."""
    own = Path(tempfile.mkdtemp(dir=folder))
    what, kafka, *more = map(str, arguments)
    return subprocess.Popen(
        [sys.executable, str(CHILD), what, kafka, str(own), *more],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def measure_steps(kafka: str, folder: Path, rounds: int, count: int) -> dict[str, Any]:
    """Return median and p99.9 of one call in microseconds, and the medians' ratio to the encoding alone."""
    say.print(f"steps: {rounds} rounds of {count} calls")
    with child(folder, "steps", kafka, rounds, count) as process:
        assert process.stdout is not None
        found = [json.loads(line) for line in process.stdout]
    if process.returncode:
        raise RuntimeError(f"the measuring process ended with {process.returncode}")
    result = {}
    for name in found[0]:
        together = sorted(each for turn in found for each in turn[name])
        pairs = [(quantile(turn[name], 0.5), quantile(turn["encoding alone"], 0.5)) for turn in found]
        result[name] = {
            "median_us": quantile(together, 0.5) / 1000,
            "p999_us": quantile(together, 0.999) / 1000,
            "median_of_encoding": ratio(pairs).as_dict(),
        }
    return result


def measure_throughput(kafka: str, folder: Path, rounds: int, events: int) -> dict[str, Any]:
    """Return each subject's rate and CPU, and their ratios to the bare loop of the same round."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in THROUGHPUT_SUBJECTS}
    for turn in range(rounds):
        say.print(f"throughput: round {turn + 1} of {rounds}")
        for name in THROUGHPUT_SUBJECTS if turn % 2 else THROUGHPUT_SUBJECTS[::-1]:
            with child(folder, "throughput", kafka, name, events) as process:
                found[name].append(json.loads(process.communicate()[0]))
    bare = found["bare loop"]
    result = {}
    for name, runs in found.items():
        beside = list(zip(runs, bare, strict=True))
        result[name] = {
            "events_per_s": events * rounds / sum(run["seconds"] for run in runs),
            "cpu_us_per_event": sum(run["cpu_s"] for run in runs) / events / rounds * 1e6,
            "app_us_per_event": sum(run["app_seconds"] for run in runs) / events / rounds * 1e6,
            "rate_of_bare": ratio([(other["seconds"], run["seconds"]) for run, other in beside]).as_dict(),
            "cpu_of_bare": ratio([(run["cpu_s"], other["cpu_s"]) for run, other in beside]).as_dict(),
            "app_rate_of_bare": ratio([(other["seconds"], run["app_seconds"]) for run, other in beside]).as_dict(),
        }
    return result


class Outages:
    """Brings the broker into a state and out of it again."""

    def __init__(self, instance: Instance, proxy: SwallowingProxy) -> None:
        self._instance = instance
        self._proxy = proxy
        self._thread: threading.Thread | None = None
        self.states: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "stopped": (instance.kill_kafka, instance.start_kafka),
            "black hole": (proxy.swallow, proxy.heal),
            "frozen": (lambda: self._send(signal.SIGSTOP), lambda: self._send(signal.SIGCONT)),
            "restarting": (self._begin_restart, self._end_restart),
        }

    def _send(self, number: signal.Signals) -> None:
        self._instance.signal_kafka(number)

    def _begin_restart(self) -> None:
        self._thread = threading.Thread(target=self._instance.restart_kafka)
        self._thread.start()

    def _end_restart(self) -> None:
        if self._thread is not None:
            self._thread.join()


def measure_outages(instance: Instance, folder: Path, rounds: int, calls: int) -> dict[str, Any]:
    """Return p50 and p99.9 by subject and state, and the p99.9's ratio to the healthy one just before."""
    proxy = SwallowingProxy(instance.kafka.bootstrap)
    outages = Outages(instance, proxy)
    children = {name: child(folder, "latency", proxy.bootstrap, name) for name in LATENCY_SUBJECTS}
    pairs: dict[tuple[str, str], list[tuple[list[int], list[int]]]] = {}
    try:
        for turn in range(rounds):
            for state, (begin, end) in outages.states.items():
                say.print(f"outages: round {turn + 1} of {rounds}, {state}")
                healthy = {name: ask(each, f"measure {calls}") for name, each in children.items()}
                begin()
                try:
                    time.sleep(0.5)
                    ill = {name: ask(each, f"measure {calls}") for name, each in children.items()}
                finally:
                    end()
                for name in LATENCY_SUBJECTS:
                    pairs.setdefault((name, state), []).append((ill[name], healthy[name]))
                for name, each in children.items():
                    if name != "bare loop":  # it loses what an outage outlasts: that is not what is measured here
                        ask(each, "done")
    finally:
        for each in children.values():
            each.communicate()
        proxy.close()
    return {name: outage_figures(pairs, name, outages) for name in LATENCY_SUBJECTS}


def outage_figures(
    pairs: dict[tuple[str, str], list[tuple[list[int], list[int]]]], name: str, outages: Outages
) -> dict[str, Any]:
    """Return a subject's figures by state. `beside_encoding`: what the machine did to the encoding is divided out."""
    result = {}
    for state in outages.states:
        of = [(quantile(ill, 0.999), quantile(well, 0.999)) for ill, well in pairs[name, state]]
        control = [(quantile(i, 0.999), quantile(w, 0.999)) for i, w in pairs["encoding alone", state]]
        both = [(a[0] / a[1], b[0] / b[1]) for a, b in zip(of, control, strict=True)]
        medians = [(quantile(ill, 0.5), quantile(well, 0.5)) for ill, well in pairs[name, state]]
        result[state] = {
            "p999_us": sum(ill for ill, _ in of) / len(of) / 1000,
            "p999_healthy_us": sum(well for _, well in of) / len(of) / 1000,
            "max_us": max(ill[-1] for ill, _ in pairs[name, state]) / 1000,
            "median_of_healthy": ratio(medians).as_dict(),
            "p999_of_healthy": ratio(of).as_dict(),
            "p999_of_healthy_beside_encoding": ratio(both).as_dict(),
        }
    return result


def ask(process: "subprocess.Popen[str]", order: str) -> Any:
    """Give an order to a measuring process, and return its answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(order + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the measuring process ended at `{order}`")
    return json.loads(line)


def show(figures: dict[str, Any]) -> None:
    """Print tables for people."""
    console = Console(width=150)
    if "steps" in figures:
        table = Table("call", "median us", "p99.9 us", "median, of the encoding alone", title="the calling thread")
        for name, row in figures["steps"].items():
            table.add_row(name, f"{row['median_us']:.1f}", f"{row['p999_us']:.0f}", shown(row["median_of_encoding"]))
        console.print(table)
    if "throughput" in figures:
        table = Table("one process", "events/s", "CPU us/event", "rate, of the bare loop's", "CPU, of the bare loop's",
                      "the app's loop alone, of it", title="until all is delivered")  # fmt: skip
        for name, row in figures["throughput"].items():
            table.add_row(name, f"{row['events_per_s']:,.0f}", f"{row['cpu_us_per_event']:.1f}",
                          shown(row["rate_of_bare"]), shown(row["cpu_of_bare"]),
                          shown(row["app_rate_of_bare"]))  # fmt: skip
        console.print(table)
    if "outages" in figures:
        table = Table("call", "broker", "p99.9 us", "healthy", "max us", "p99.9, of healthy", "that, of the encoding's",
                      title="a broker that is away")  # fmt: skip
        for name, states in figures["outages"].items():
            for state, row in states.items():
                table.add_row(name, state, f"{row['p999_us']:.0f}", f"{row['p999_healthy_us']:.0f}",
                              f"{row['max_us']:.0f}", shown(row["p999_of_healthy"]),
                              shown(row["p999_of_healthy_beside_encoding"]))  # fmt: skip
        console.print(table)


def shown(found: dict[str, Any]) -> str:
    """Return a ratio with its interval as text."""
    return f"{found['median']:.2f}  ({found['low']:.2f} to {found['high']:.2f})"


if __name__ == "__main__":
    sys.exit(main())
