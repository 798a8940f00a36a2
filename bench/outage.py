"""`python bench/outage.py`: the broker is killed and stays away, while an app of several processes goes on emitting.

Shows emit()'s latency and the processes' memory before, during and after, waits until all is delivered, and reads the
topic with a consumer of its own: every event is there, and the first coming of each is in its process's order. Exits
with 1 when one of these does not hold, or memory grew. Linux only (it reads /proc).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from headrace.local import Instance
from headrace.producer.topics import create_topic
from headrace.schemas.catalog import builtin
from headrace.schemas.frame import Decoder

APP = Path(__file__).parent / "outage_app.py"
PARTITIONS = 4
# Private memory may end this much above what it was before the outage: the interpreter's own coming and going.
GROWTH_KB_MAX = 24 << 10


class App:
    """One process of the app; its lines are kept as they come."""

    def __init__(self, kafka: str, spool: Path, rate: int, worker: int) -> None:
        self.lines: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [sys.executable, str(APP), kafka, str(spool), str(rate), str(worker)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(json.loads(line) for line in self.process.stdout)

    def stop(self) -> dict[str, Any]:
        """Have it deliver all and end; return what it says at last."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.process.wait(1000)
        self._reader.join()
        if self.process.returncode:
            raise RuntimeError(f"an app process ended with {self.process.returncode}")
        return self.lines.pop()


def main() -> int:
    """Run it, print what was seen, and write the figures."""
    parser = argparse.ArgumentParser(prog="bench/outage.py", description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="how long the broker is away (%(default)s)")
    parser.add_argument("--around", type=int, default=30, help="seconds of health before and after (%(default)s)")
    parser.add_argument("--rate", type=int, default=5000, help="events a second, all processes (%(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="app processes (%(default)s)")
    parser.add_argument("--json", type=Path, help="file for the figures, second by second")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-outage-") as name:
        instance = Instance(Path(name) / "servers", env=os.environ)
        try:
            instance.up()
            figures = run(instance, Path(name) / "spool", arguments)
        finally:
            instance.down(purge=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures) + "\n")
    print(report(figures))
    return 1 if figures["wrong"] else 0


def run(instance: Instance, spool: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Go through health, outage and recovery; return all that was seen."""
    kafka = instance.kafka.bootstrap
    create_topic(kafka, "pin", PARTITIONS)
    apps = [App(kafka, spool, arguments.rate // arguments.processes, n) for n in range(arguments.processes)]
    moments = {}
    try:
        while any(len(app.lines) < 5 for app in apps):  # started, connected, first segments made
            time.sleep(0.1)
        moments["healthy"] = time.time()
        time.sleep(arguments.around)
        moments["outage"] = time.time()
        instance.kill_kafka()
        time.sleep(arguments.seconds)
        moments["back"] = time.time()
        instance.start_kafka()
        deadline = time.monotonic() + 60 + 2 * arguments.seconds
        while any(app.lines[-1]["queued"] > arguments.rate for app in apps) and time.monotonic() < deadline:
            time.sleep(0.5)
        moments["recovered"] = time.time()
        time.sleep(arguments.around)
        ends = [app.stop() for app in apps]
    finally:
        for app in apps:
            if app.process.poll() is None:
                app.process.kill()
    emitted = sum(end["emitted"] for end in ends)
    figures: dict[str, Any] = {"moments": moments, "rate": arguments.rate, "seconds": arguments.seconds}
    figures["emitted"] = emitted
    figures["dropped"] = [end["dropped"] for end in ends]
    figures |= read(kafka)
    figures["apps"] = [app.lines for app in apps]
    figures["spool_bytes_left"] = sum(path.stat().st_size for path in spool.rglob("*.seg"))
    figures["memory"] = memory(figures)
    figures["wrong"] = [
        text
        for text, wrong in (
            ("events are missing", figures["events"] != emitted),
            ("events were dropped", any(figures["dropped"])),
            ("order was lost within a process", figures["out_of_order"] > 0),
            ("something is left in the spool", figures["spool_bytes_left"] > 0),
            ("memory grew", figures["memory"]["growth_kb"] > GROWTH_KB_MAX),
        )
        if wrong
    ]
    return figures


def read(kafka: str) -> dict[str, int]:
    """Read the topic; count events, second comings, and first comings that are out of their process's order."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "check", "enable.partition.eof": True})
    consumer.assign([TopicPartition("pin", partition, 0) for partition in range(PARTITIONS)])
    decoder, ended, duplicates, out_of_order = Decoder(builtin()), 0, 0, 0
    seen: dict[bytes, set[int]] = {}
    newest: dict[tuple[bytes, int | None], int] = {}
    while ended < PARTITIONS:
        for message in consumer.consume(5000, 10):
            error, value = message.error(), message.value()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise RuntimeError(error.str())
                ended += 1
                continue
            assert value is not None
            event = decoder.decode(value)
            session, seq, place = event["session_id"], event["seq"], (event["session_id"], message.partition())
            if seq in seen.setdefault(session, set()):
                duplicates += 1
                continue
            seen[session].add(seq)
            out_of_order += seq < newest.get(place, 0)
            newest[place] = seq
    consumer.close()
    return {"events": sum(map(len, seen.values())), "duplicates": duplicates, "out_of_order": out_of_order}


def phases(figures: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Return begin and end of each phase, by the wall clock."""
    at = figures["moments"]
    return {
        "healthy": (at["healthy"], at["outage"]),
        "broker away": (at["outage"] + 2, at["back"]),
        "catching up": (at["back"] + 2, at["recovered"]),
        "healthy again": (at["recovered"] + 2, at["recovered"] + 1e9),
    }


def lines_of(figures: dict[str, Any], phase: str) -> list[dict[str, Any]]:
    """Return the seconds of all processes that lie in a phase."""
    begin, end = phases(figures)[phase]
    return [line for app in figures["apps"] for line in app if begin + 1 <= line["wall"] <= end]


def memory(figures: dict[str, Any]) -> dict[str, float]:
    """Return private memory before, and how much more it was at most in the last quarter of the outage, in KiB."""
    before = max(line["private_kb"] for line in lines_of(figures, "healthy"))
    away = lines_of(figures, "broker away")
    begin, end = phases(figures)["broker away"]
    late = [line["private_kb"] for line in away if line["wall"] > end - (end - begin) / 4]
    early = [line["private_kb"] for line in away if line["wall"] < begin + (end - begin) / 2]
    mapped = max(line["mapped_kb"] for line in away)
    return {
        "before_kb": before,
        "most_kb": max(line["private_kb"] for line in away),
        "growth_kb": max(late) - max(early),
        "mapped_most_kb": mapped,
    }


def report(figures: dict[str, Any]) -> str:
    """Return what a person wants to know."""
    text = [f"{'phase':15}{'seconds':>8}{'p50 us':>8}{'p99':>8}{'p99.9':>8}{'max':>9}   (medians of one-second values)"]
    for phase in phases(figures):
        lines = lines_of(figures, phase)
        if lines:
            middle = [statistics.median(line[name] for line in lines) for name in ("p50", "p99", "p99.9")]
            highest = max(line["max"] for line in lines)
            text.append(f"{phase:15}{len(lines):8}" + "".join(f"{each:8.1f}" for each in middle) + f"{highest:9.0f}")
    kept, moments = figures["memory"], figures["moments"]
    waiting = ([line["queued"] for line in app] for app in figures["apps"])
    queued = max(sum(each) for each in zip(*waiting, strict=False))
    spool = max(line["spool_bytes"] for app in figures["apps"] for line in app)
    away_mb = (kept["most_kb"] / 1024, kept["growth_kb"] / 1024, kept["mapped_most_kb"] / 1024)
    catching_up_s = moments["recovered"] - moments["back"]
    emitted, events, disorder = figures["emitted"], figures["events"], figures["out_of_order"]
    text += [
        f"memory of a process: {kept['before_kb'] / 1024:.0f} MB before; broker away: at most {away_mb[0]:.0f} MB,",
        f"    {away_mb[1]:+.1f} MB in the last quarter beside the first half; mapped files at most {away_mb[2]:.0f} MB",
        f"{queued} events waited, {spool / 1e6:.0f} MB on disk; caught up in {catching_up_s:.0f} s",
        f"broker away for {figures['seconds']} s at {figures['rate']} events/s: {emitted} emitted,",
        f"    {events} delivered, {emitted - events} missing, {disorder} out of order,",
        f"    {figures['duplicates']} duplicates all by event_id",
        *(f"WRONG: {each}" for each in figures["wrong"]),
    ]
    return "\n".join(text)


if __name__ == "__main__":
    sys.exit(main())
