"""Reading the archive to Arrow, with and without digests; a replay into Kafka beside a bare produce() loop of the same
bytes; and the memory of a replay over ranges of different lengths.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from archive_topics import fill
from archive_whole import archive
from archiver_cases import CASES
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

import headrace.replay
from headrace.archiver.object_store import ObjectStore
from headrace.archiver.s3 import S3Store
from headrace.replay import Reading, open_reading, read
from headrace.replay.kafka_replay import KafkaReplay
from headrace.replay.kafka_sender import DELIVERY_TIMEOUT_S
from headrace.replay.kafka_target import Clock, read_target
from headrace.replay.replay_plan import PlannedTarget, ReplayPlan, TopicReplay

ROUNDS = 5
TOPIC, PARTITIONS = CASES[0].topic, CASES[0].partitions
CLOCK = Clock(now_ms=lambda: time.time_ns() // 1_000_000, monotonic=time.monotonic, pause=time.sleep)
SMALL_FLUSH_ROWS = 25_000
MEMORY = ("range", "rows", "peak MB to Arrow", "peak MB into Kafka")
SHARES = (20, 10, 5, 2, 1)
# Linux's ru_maxrss of a child begins with what its parent had before exec; VmHWM is the program's own.
PEAK = """peak_kb = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))"""


def fill_topic(kafka: str, events: int) -> None:
    """Fill the topic, as measure_archiver() leaves it."""
    fill(kafka, TOPIC, events, kind=CASES[0].kind, partitions=PARTITIONS, dates=CASES[0].dates)


def make_archive() -> None:
    """Archive the topic, as measure_archiver() leaves it."""
    archive(_url(), TOPIC)


def _url() -> str:
    return f"{os.environ['HEADRACE_ARCHIVE']}/whole-{TOPIC}"


def measure_replay(kafka: str) -> dict[str, float]:
    """Return figures of reading and sending; names say in what unit. It reads the archive of measure_archiver()."""
    store = S3Store(_url())
    figures: dict[str, float] = {}
    for name, digests in (("digests checked", True), ("without digests", False)):
        rates = [_rows_a_cpu_second(store, digests=digests) for _ in range(ROUNDS)]
        figures[f"to Arrow, {name}: rows a CPU-second"] = statistics.median(rates)
    figures.update(_beside_a_bare_loop(kafka, store))
    return figures


def _rows_a_cpu_second(store: ObjectStore, *, digests: bool) -> float:
    chosen = headrace.replay.open(store).read(TOPIC, digests=digests)
    begun = time.process_time()
    rows = sum(batch.num_rows for batch in chosen.batches())
    return rows / (time.process_time() - begun)


# -- into Kafka --------------------------------------------------------------------------------------------------------


def _beside_a_bare_loop(kafka: str, store: ObjectStore) -> dict[str, float]:
    """Send the same records in turns, by a bare loop over lists that are ready and by a replay; compare the pairs."""
    settings = {"bootstrap.servers": kafka}
    admin = AdminClient(settings)
    rows: list[tuple[Any, ...]] = []
    for batch in read(store, TOPIC):
        names = ("value", "key", "partition", "timestamp")
        rows += zip(*(batch.column(name).to_pylist() for name in names), strict=True)
    pairs = [(_bare(admin, settings, rows), _ours(admin, settings, store)) for _ in range(ROUNDS)]
    return {
        "into Kafka: rate of a bare produce() loop, records/s": statistics.median(
            len(rows) / bare for bare, _ in pairs
        ),
        "into Kafka: rate of a replay, records/s": statistics.median(len(rows) / ours for _, ours in pairs),
        "into Kafka: replay to bare loop, median of pairs": statistics.median(bare / ours for bare, ours in pairs),
    }


def _new_topic(admin: AdminClient) -> str:
    name = f"bench-{os.urandom(4).hex()}"
    config = {"retention.ms": "-1"}
    admin.create_topics([NewTopic(name, PARTITIONS, 1, config=config)])[name].result(60)
    return name


def _bare(admin: AdminClient, settings: Mapping[str, Any], rows: list[tuple[Any, ...]]) -> float:
    topic = _new_topic(admin)
    producer = Producer(
        {
            **settings,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 20,
            "batch.size": 900_000,
            "compression.type": "zstd",
            "queue.buffering.max.messages": 200_000,
            "queue.buffering.max.kbytes": 262_144,
            "delivery.report.only.error": True,
        }
    )
    produce = producer.produce
    begun = time.perf_counter()
    for value, key, partition, timestamp in rows:
        while True:
            try:
                produce(topic, value, key, partition, timestamp=timestamp)
            except BufferError:
                producer.poll(0.05)
            else:
                break
    producer.flush(DELIVERY_TIMEOUT_S)
    return time.perf_counter() - begun


def _ours(admin: AdminClient, settings: Mapping[str, Any], store: ObjectStore) -> float:
    """Return the seconds of reading, checking, digesting and sending, without reading the target back."""
    topic = _new_topic(admin)
    plan = open_reading(store, TOPIC).plan
    facts = read_target(settings, topic, CLOCK)
    bases = tuple((partition, end) for partition, (_, end) in sorted(facts.ranges.items()))
    target = PlannedTarget("kafka", topic, cluster_id=facts.cluster_id, topic_id=facts.topic_id, bases=bases)
    whole = ReplayPlan(store.url, (TopicReplay(plan, target),))
    with KafkaReplay(settings, whole, whole.topics[0], facts, clock=CLOCK) as replay:
        replay.begin(lambda: Reading(store, plan))
        begun = time.perf_counter()
        counts = replay.send(Reading(store, plan), lambda _done: None)
        seconds = time.perf_counter() - begun
    if counts.sent != plan.rows:
        raise RuntimeError(f"sent {counts.sent} of {plan.rows}; the figures would mean nothing")
    return seconds


# -- memory ------------------------------------------------------------------------------------------------------------


def measure_memory(kafka: str) -> list[tuple[str, int, float, float]]:
    """Return the peak memory of replays over parts of an archive of many flushes, each by a process of its own."""
    url = os.environ["HEADRACE_ARCHIVE"] + "/flat"
    archive(url, TOPIC, "--flush-rows", str(SMALL_FLUSH_ROWS))
    ends = min(covered.end for covered in open_reading(S3Store(url), TOPIC).plan.ranges)
    admin = AdminClient({"bootstrap.servers": kafka})
    found = []
    for share in SHARES:
        to = ends // share
        batches = f"r.open({url!r}).read({TOPIC!r}, to={to}).batches()"
        reading = f"import headrace.replay as r\nprint(sum(batch.num_rows for batch in {batches}))"
        arguments = ["replay", TOPIC, "--archive", url, "--to", str(to), "--into", f"kafka:{_new_topic(admin)}"]
        sending = f"import headrace.cli.main as m\nm.root({arguments!r}, standalone_mode=False)"
        rows, to_arrow = _peak(reading)
        _, into_kafka = _peak(sending)
        found.append((f"1/{share} of the range", int(rows), to_arrow, into_kafka))
    return found


def _peak(program: str) -> tuple[str, float]:
    """Run a program; return what it printed first, and its own peak memory in MB."""
    command = [sys.executable, "-c", f"{program}\n{PEAK}\nprint(peak_kb)"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    return lines[0], int(lines[-1]) / 1024
