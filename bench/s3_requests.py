"""`python bench/s3_requests.py`: the S3 requests of one worker at a steady rate, held against what is foretold.

The real worker runs in this process on a real Kafka and S3; each call of its S3 client is counted by operation and kind
of object. Foretold: in each flush of a topic one PUT for each date, and one for the commit; nothing else, until a fold
is due after a thousand commits. Ends with 1 when there was more. `--flush-interval 60 --seconds 3600`: an hour as it is
by default.
"""

import argparse
import json
import os
import sys
import threading
import time
from collections import Counter
from typing import Any

from archive_topics import PIN, fill, values
from bench_servers import running
from botocore.client import BaseClient
from confluent_kafka import Producer

from headrace.archiver import worker_process
from headrace.archiver.config import ArchiverConfig
from headrace.archiver.limits import Limits
from headrace.archiver.topic_decoder import TopicSettings
from headrace.archiver.worker import Worker

MONTH_H = 730
PUT_USD = 0.005 / 1000  # S3 Standard in us-east-1; see the store's price list
KINDS = {"log/": "commit", "data/": "data", "quarantine/": "quarantine"}


def count_calls(counts: Counter[str]) -> None:
    """Count each S3 call of this process by operation and kind of object."""
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def counted(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        key = str(parameters.get("Key", parameters.get("Prefix", "")))
        kind = next((kind for part, kind in KINDS.items() if f"/{part}" in f"/{key}"), "other")
        counts[f"{operation} {kind}"] += 1
        return call(client, operation, parameters)

    BaseClient._make_api_call = counted  # type: ignore[attr-defined]


def started(kafka: str, topics: list[str], flush_interval_s: float) -> Worker:
    """Return a worker that has committed the first records of each topic: what assignments cost is not counted."""
    config = ArchiverConfig(
        kafka={"bootstrap.servers": kafka},
        archive_url=os.environ["HEADRACE_ARCHIVE"],
        topics=tuple(map(TopicSettings, topics)),
        group=f"requests-{os.urandom(4).hex()}",
        limits=Limits(flush_interval_s=flush_interval_s),
        seal_lateness_s=3600.0,
    )
    worker = worker_process.build_worker(config, threading.Event())
    while len(worker._archives) < len(topics) or any(a.pending or not a.held for a in worker._archives.values()):
        worker.step()
    until = time.monotonic() + 2 * flush_interval_s
    while time.monotonic() < until:
        worker.step()
    return worker


def write(kafka: str, topics: list[str], rate: int, stop: threading.Event) -> None:
    """Produce `rate` records a second to each topic, until told to stop."""
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 20})
    while not stop.wait(0.1):
        for topic in topics:
            for key, value, _ in values(PIN, max(1, rate // 10), 1):
                producer.produce(topic, key=key, value=value)
        producer.flush(30)


def measure(kafka: str, topics: list[str], rate: int, flush_interval_s: float, seconds: float) -> dict[str, Any]:
    """Return the counts of `seconds`, and how many flushes of a topic there were."""
    counts: Counter[str] = Counter()
    stop = threading.Event()
    writing = threading.Thread(target=write, args=(kafka, topics, rate, stop))
    worker = started(kafka, topics, flush_interval_s)
    writing.start()
    count_calls(counts)
    commits = {topic: archive._log.state.seq for topic, archive in worker._archives.items()}
    try:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            worker.step()
        flushes = sum(archive._log.state.seq - commits[topic] for topic, archive in worker._archives.items())
        counted = dict(counts)
    finally:
        stop.set()
        writing.join()
        worker._source.close()
    return {"calls": counted, "flushes": flushes}


def main() -> int:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(prog="bench/s3_requests.py", description=__doc__)
    parser.add_argument("--topics", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--partitions", type=int, default=4, help="of each topic (%(default)s)")
    parser.add_argument("--rate", type=int, default=200, help="records a second in each topic (%(default)s)")
    parser.add_argument("--flush-interval", type=float, default=5.0, help="seconds (%(default)s)")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to count (%(default)s)")
    arguments = parser.parse_args()
    topics = [f"requests-{n}" for n in range(arguments.topics)]
    with running() as instance:
        for topic in topics:
            fill(instance.kafka.bootstrap, topic, 1_000, kind=PIN, partitions=arguments.partitions)
        found = measure(instance.kafka.bootstrap, topics, arguments.rate, arguments.flush_interval, arguments.seconds)
    calls, flushes = found["calls"], found["flushes"]
    commits, data = calls.get("PutObject commit", 0), calls.get("PutObject data", 0)
    others = {name: count for name, count in calls.items() if name not in ("PutObject commit", "PutObject data")}
    hours = arguments.seconds / 3600
    puts = commits + data
    foretold = arguments.topics * arguments.seconds / arguments.flush_interval
    print(json.dumps(found))
    print(
        f"{flushes} flushes in {arguments.seconds:.0f} s (at most {foretold + arguments.topics:.0f} foretold): "
        f"{commits} commit PUTs, {data} data PUTs, {sum(others.values())} other calls; "
        f"{puts / hours:,.0f} PUTs an hour, {puts / hours * MONTH_H * PUT_USD:.2f} USD a month"
    )
    if not flushes or commits != flushes or data > 2 * flushes or others or flushes > foretold + arguments.topics:
        print("more requests than foretold, or none")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
