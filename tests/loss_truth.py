"""Seconds to loss against the truth: what was predicted at each look, and when Kafka really deleted the record.

`PYTHONPATH=src:tests python -m loss_truth` measures it at length and prints the figures of docs/runbook/losing-data.md.
"""

import os
import statistics
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from confluent_kafka import Producer
from servers import Servers, running

from headrace.archiver.kafka_admin import KafkaAdmin, LogEnds
from headrace.archiver.memory_store import MemoryStore
from headrace.archiver.oncall.looking import Looker
from headrace.archiver.oncall.thresholds import Thresholds
from headrace.archiver.source import TopicPartition
from headrace.cli.looks import make_looker

MIB = 1 << 20
BY_TIME = {"retention.ms": "20000", "segment.ms": "4000", "segment.bytes": "1048576"}
BY_BYTES = {"retention.ms": "-1", "retention.bytes": str(6 * MIB), "segment.bytes": "1048576"}

SETTLE_S = 15.0
"""A rate needs a past: of a topic that was first written to some seconds ago there is none."""


@dataclass
class Truth:
    """`errors`: seconds from each predicted moment to the deletion that was seen; negative: predicted too late."""

    looks: int = 0
    errors: list[float] = field(default_factory=list)
    ahead: list[float] = field(default_factory=list)
    """Of the same looks: how long before the deletion they were."""

    def __str__(self) -> str:
        if not self.errors:
            return f"{self.looks} looks, none of a record that was deleted"
        middle = statistics.median(self.errors)
        text = f"{len(self.errors)} of {self.looks} looks were of a record that was deleted; predicted too early by"
        return (
            f"{text} {min(self.errors):.1f} s at least, {middle:.1f} s in the middle, {max(self.errors):.1f} s at most"
        )


class _LogStart:
    """Sees within a twentieth of a second when a log's start moves."""

    def __init__(self, servers: Servers, topic: str) -> None:
        self._admin = KafkaAdmin({"bootstrap.servers": servers.kafka}, pause=time.sleep, monotonic=time.monotonic)
        self._where = TopicPartition(topic, 0)
        self._stop = threading.Event()
        self.moved: list[tuple[float, int]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        before = 0
        while not self._stop.wait(0.05):
            ends = self._admin.log_ends([self._where])[self._where]
            if isinstance(ends, LogEnds) and ends.log_start != before:
                before = ends.log_start
                self.moved.append((time.time(), before))

    def deleted_at(self, offset: int) -> float | None:
        return next((at for at, start in self.moved if start > offset), None)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def follow(
    servers: Servers,
    config: Mapping[str, str],
    *,
    for_s: float,
    bytes_per_s: int,
    burst_s: float = 0,
    settle_s: float = SETTLE_S,
) -> Truth:
    """Write to a topic of which nothing is archived, look each second or so, and compare with what Kafka does.

    `burst_s`: after so long write three times as fast.
    """
    topic = servers.new_topic(1, config)
    store = MemoryStore()
    looker: Looker = make_looker(servers.kafka, store, "memory", "nobody", Thresholds(), [topic])
    writer = _Writer(servers, topic, bytes_per_s, burst_s)
    watched = _LogStart(servers, topic)
    told: list[tuple[float, int, float]] = []
    truth = Truth()
    try:
        time.sleep(settle_s)
        end = time.monotonic() + for_s
        while time.monotonic() < end:
            status = looker.look()
            lag = status.lags[0]
            if lag.facts.ends is not None and lag.loss.seconds is not None:
                told.append((status.at_ms / 1000, lag.facts.ends.log_start, lag.loss.seconds))
            time.sleep(0.5)
    finally:
        writer.close()
        watched.close()
    truth.looks = len(told)
    for at, offset, seconds in told:
        deleted = watched.deleted_at(offset)
        # What was deleted while it was being looked at was past by the time the answer was there.
        if deleted is not None and deleted > at:
            truth.errors.append(deleted - (at + seconds))
            truth.ahead.append(deleted - at)
    return truth


class _Writer:
    def __init__(self, servers: Servers, topic: str, bytes_per_s: int, burst_s: float) -> None:
        self._producer = Producer({"bootstrap.servers": servers.kafka, "linger.ms": 5})
        self._topic, self._bytes_per_s, self._burst_s = topic, bytes_per_s, burst_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        begun = time.monotonic()
        body = os.urandom(2000)
        written = 0.0
        while not self._stop.wait(0.05):
            factor = 3 if self._burst_s and time.monotonic() - begun > self._burst_s else 1
            written += 0.05 * self._bytes_per_s * factor
            while written >= len(body):
                self._producer.produce(self._topic, body)
                written -= len(body)
            self._producer.poll(0)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._producer.flush(30)


def main() -> None:
    """Measure at length."""
    with running(os.environ) as servers:
        print("retention.ms 20 s:", follow(servers, BY_TIME, for_s=50, bytes_per_s=40_000), flush=True)
        print("retention.bytes 6 MiB, steady:", follow(servers, BY_BYTES, for_s=150, bytes_per_s=150_000), flush=True)
        both = {**BY_BYTES, "retention.ms": "30000", "segment.ms": "5000"}
        print("both, bytes first or time first:", follow(servers, both, for_s=90, bytes_per_s=150_000), flush=True)
        told = follow(servers, BY_BYTES, for_s=150, bytes_per_s=60_000, burst_s=90)
        print("retention.bytes 6 MiB, three times as fast after 90 s:", told, flush=True)


if __name__ == "__main__":
    main()
