"""`python bench/memory.py`: a worker's peak memory over topics that are hard on it, against `--memory`.

Peaks are VmHWM of the worker's process, so Linux only. The bare process is a worker over a hundred records. Ends with 1
when a worker took more than its budget beyond that.
"""

import argparse
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from archive_topics import fill, make, produce
from archive_whole import archive, checked
from bench_servers import running
from confluent_kafka import Producer
from slow_proxy import SlowProxy

MIB = 1 << 20


@dataclass(frozen=True)
class Hard:
    """A topic that is hard on memory. `body_bytes`: raw records of so many bytes instead of pins."""

    name: str
    events: int
    partitions: int = 4
    dates: int = 1
    body_bytes: int = 0
    compressible: bool = False
    slow_s: float = 0.0


def cases(scale: float) -> list[Hard]:
    """Return the topics; `scale` 1 takes some minutes."""
    most = int(1_000_000 * scale)
    large = max(32, int(600 * scale))
    return [
        Hard("pins", most),
        Hard("1,000 partitions", most, partitions=1_000),
        Hard("400 dates", most, dates=400),
        Hard("1,000 partitions, 400 dates", most // 2, partitions=1_000, dates=400),
        Hard("1 MB, random", large, body_bytes=1_000_000),
        Hard("1 MB, compressible", large, body_bytes=1_000_000, compressible=True),
        Hard("slow S3", most // 2, slow_s=0.5),
    ]


def measured(kafka: str, url: str, case: Hard, memory_mib: int) -> dict[str, Any]:
    """Fill the topic, archive it, check the archive; return the figures."""
    topic = "memory-" + "".join(letter for letter in case.name.lower() if letter.isalnum())
    more = ["--memory", str(memory_mib)]
    if case.body_bytes:
        _fill_raw(kafka, topic, case)
    else:
        fill(kafka, topic, case.events, partitions=case.partitions, dates=case.dates)
    with ExitStack() as stack:
        if case.slow_s:
            proxy = stack.enter_context(SlowProxy(os.environ["AWS_ENDPOINT_URL_S3"], case.slow_s))
            stack.callback(os.environ.__setitem__, "AWS_ENDPOINT_URL_S3", os.environ["AWS_ENDPOINT_URL_S3"])
            os.environ["AWS_ENDPOINT_URL_S3"] = proxy.url
        run = archive(url, topic, *more, raw=bool(case.body_bytes))
    archived = checked(url, topic, case.events)
    return {
        "case": case.name,
        "events": case.events,
        "peak MB": run.peak_mb,
        "seconds": round(run.wall_s, 1),
        "commits": archived.commits,
        "files": archived.files,
    }


def _fill_raw(kafka: str, topic: str, case: Hard) -> None:
    make(kafka, topic, case.partitions)
    producer = Producer({"bootstrap.servers": kafka, "message.max.bytes": 2 * MIB, "compression.type": "lz4"})
    for n in range(case.events):
        body = os.urandom(case.body_bytes)
        if case.compressible:  # to about a fifth
            body = b"".join(body[at : at + 1_000] + bytes(4_000) for at in range(0, case.body_bytes, 5_000))
        produce(producer, topic, key=str(n).encode(), value=body, partition=n % case.partitions)
    producer.flush(120)


def main() -> int:
    """Measure, print, and compare with the budget."""
    parser = argparse.ArgumentParser(prog="bench/memory.py", description=__doc__)
    parser.add_argument("--memory", type=int, default=256, metavar="MIB", help="as for headrace archive (%(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the topics (%(default)s: up to a million records)")
    parser.add_argument("--case", action="append", help="only this; repeat")
    arguments = parser.parse_args()
    over = []
    with running() as instance:
        kafka, url = instance.kafka.bootstrap, os.environ["HEADRACE_ARCHIVE"] + "/memory"
        bare = measured(kafka, url, Hard("bare", 100), arguments.memory)
        print(f"bare process: {bare['peak MB']:.0f} MB", flush=True)
        for case in cases(arguments.scale):
            if arguments.case and case.name not in arguments.case:
                continue
            found = measured(kafka, url, case, arguments.memory)
            taken = found["peak MB"] - bare["peak MB"]
            print(f"{case.name}: {taken:.0f} MB of {arguments.memory} beyond it; {found}", flush=True)
            if taken > arguments.memory:
                over.append(case.name)
    if over:
        print(f"over the budget: {', '.join(over)}", file=sys.stderr)
    return int(bool(over))


if __name__ == "__main__":
    sys.exit(main())
