"""Seconds to loss against the truth: what was predicted at each look, and when Kafka really deleted the record.

`PYTHONPATH=src:tests python -m loss_truth` measures it at length and prints the figures of docs/runbook/losing-data.md;
with the names of cases it measures those.
"""

import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from confluent_kafka import Producer
from servers import Servers, running

from headrace.archiver.kafka_admin import FirstRecord, KafkaAdmin, LogEnds
from headrace.archiver.memory_store import MemoryStore
from headrace.archiver.oncall.looking import Looker
from headrace.archiver.oncall.loss import loss_of
from headrace.archiver.oncall.thresholds import Thresholds
from headrace.archiver.source import TopicPartition
from headrace.cli.looks import make_looker

MIB = 1 << 20
BY_TIME = {"retention.ms": "20000", "segment.ms": "4000", "segment.bytes": "1048576"}
BY_BYTES = {"retention.ms": "-1", "retention.bytes": str(6 * MIB), "segment.bytes": "1048576"}

FEW_S = 6.0
"""So long after a rise of the write rate it is known in full: what was foretold before did not know the future."""
FIRST_S = 1.0
"""So long a topic has no rate that anybody could know."""


@dataclass(frozen=True)
class Foretold:
    """One look at a record that was then deleted. `at_s`: when Kafka was asked, after the writer had begun.

    `early_s`: from the predicted moment to the deletion that was seen; negative: predicted too late. `ahead_s`: from
    the look to the deletion.
    """

    at_s: float
    early_s: float
    ahead_s: float


@dataclass
class Truth:
    """What was foretold, in the order of looking. `looks`: all of them. `rise_s`: when the writer began to hurry."""

    looks: int = 0
    told: list[Foretold] = field(default_factory=list)
    rise_s: float | None = None

    @property
    def knowable(self) -> list[Foretold]:
        """The looks whose future was like what could be seen: not those before a rise, of what went after it, nor
        those of a topic's first second."""
        return [each for each in self.told if each.at_s >= FIRST_S and not self._before_rise(each)]

    @property
    def errors(self) -> list[float]:
        """By how much they were too early."""
        return [each.early_s for each in self.knowable]

    def _before_rise(self, each: Foretold) -> bool:
        rise_s = self.rise_s
        return rise_s is not None and each.at_s < rise_s + FEW_S and each.at_s + each.ahead_s > rise_s

    def lines(self) -> Iterator[str]:
        """Yield what there is to say, in words."""
        yield f"{len(self.told)} of {self.looks} looks were of a record that was deleted"
        yield _spread("", self.knowable)
        yield _spread("looks in the topic's first second: ", [each for each in self.told if each.at_s < FIRST_S])
        if before := [each for each in self.told if each.at_s >= FIRST_S and self._before_rise(each)]:
            yield _spread("looks before the rise was known: ", before)
        for each in self.knowable:
            if each.early_s < -0.1:
                yield f"too late: {each}"


def _spread(which: str, told: list[Foretold]) -> str:
    if not told:
        return f"{which}none"
    early = [each.early_s for each in told]
    late = sum(each < 0 for each in early)
    ahead, middle = statistics.median(each.ahead_s for each in told), statistics.median(early)
    return (
        f"{which}{len(early)} predictions, {ahead:.0f} s ahead in the middle: {late} too late; too early by "
        f"{min(early):.1f} s at least, {middle:.1f} s in the middle, {max(early):.1f} s at most; for each second ahead "
        f"{_shares(told)}"
    )


def _shares(told: list[Foretold]) -> str:
    shares = sorted(each.early_s / each.ahead_s for each in told if each.ahead_s > FEW_S)
    return f"{shares[0]:.2f} to {shares[-1]:.2f} s" if shares else "nothing"


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
    every_s: float = 0.5,
) -> Truth:
    """Write to a topic of which nothing is archived, look twice a second or so, and compare with what Kafka does.

    Each look foretells the end of three records, as if each were the first that is not archived: the oldest in Kafka,
    one in the middle, the newest. `burst_s`: after so long write three times as fast.
    """
    topic = servers.new_topic(1, config)
    store = MemoryStore()
    looker: Looker = make_looker({"bootstrap.servers": servers.kafka}, store, "memory", "nobody", Thresholds(), [topic])
    begun = time.time()
    writer = _Writer(servers, topic, bytes_per_s, burst_s)
    watched = _LogStart(servers, topic)
    told: list[tuple[float, float, int, float]] = []
    truth = Truth(rise_s=burst_s or None)
    never = threading.Event()
    try:
        while time.time() < begun + for_s:
            status = looker.look()
            facts = status.lags[0].facts
            for offset in _three(facts.ends):
                first = FirstRecord(writer.written_ms(offset))
                seconds = loss_of(replace(facts, first=first), offset, status.at_ms).seconds
                if seconds is not None:
                    told.append(((facts.ends_ms or status.at_ms) / 1000, status.at_ms / 1000, offset, seconds))
            never.wait(every_s)
    finally:
        writer.close()
        watched.close()
    truth.looks = len(told)
    for asked, at, offset, seconds in told:
        deleted = watched.deleted_at(offset)
        # What was deleted while it was being looked at was past by the time the answer was there.
        if deleted is not None and deleted > at:
            truth.told.append(Foretold(asked - begun, deleted - (at + seconds), deleted - at))
    return truth


def _three(ends: LogEnds | None) -> list[int]:
    if ends is None or ends.log_start >= ends.last_stable:
        return []
    last = ends.last_stable - 1
    return sorted({ends.log_start, (ends.log_start + last) // 2, last})


class _Writer:
    def __init__(self, servers: Servers, topic: str, bytes_per_s: int, burst_s: float) -> None:
        self._producer = Producer({"bootstrap.servers": servers.kafka, "linger.ms": 5})
        self._topic, self._bytes_per_s, self._burst_s = topic, bytes_per_s, burst_s
        self._stop = threading.Event()
        self._times: list[int] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def written_ms(self, offset: int) -> int:
        """When a record got its timestamp."""
        return self._times[offset]

    def _run(self) -> None:
        begun = time.monotonic()
        body = os.urandom(2000)
        written = 0.0
        while not self._stop.wait(0.05):
            factor = 3 if self._burst_s and time.monotonic() - begun > self._burst_s else 1
            written += 0.05 * self._bytes_per_s * factor
            while written >= len(body):
                self._times.append(time.time_ns() // 1_000_000)
                self._producer.produce(self._topic, body, timestamp=self._times[-1])
                written -= len(body)
            self._producer.poll(0)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._producer.flush(30)


CASES = {
    "time": (BY_TIME, {"for_s": 65, "bytes_per_s": 40_000}),
    "bytes": (BY_BYTES, {"for_s": 150, "bytes_per_s": 150_000}),
    "both": ({**BY_BYTES, "retention.ms": "30000", "segment.ms": "5000"}, {"for_s": 100, "bytes_per_s": 150_000}),
    "rise": (BY_BYTES, {"for_s": 190, "bytes_per_s": 60_000, "burst_s": 110}),
}


def main(names: list[str]) -> None:
    """Measure at length."""
    with running(os.environ) as servers:
        for name in names or CASES:
            config, how = CASES[name]
            print(f"{name}: {how}", flush=True)
            for line in follow(servers, config, **how).lines():
                print(f"  {line}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
