"""What a worker says of itself, when, and that it never claims more than the log."""

import itertools
from dataclasses import dataclass, field

from fake_kafka import FakeKafka, FakeSource
from no_schemas import NoSchemas

from headrace.archiver.commit_log import read_state
from headrace.archiver.failpoints import no_failpoint
from headrace.archiver.held import Writer
from headrace.archiver.limits import Limits
from headrace.archiver.memory_store import MemoryStore
from headrace.archiver.object_store import StoreUnreachable
from headrace.archiver.oncall.heartbeat import Heartbeat, decode
from headrace.archiver.oncall.pulse import INTERVAL_S
from headrace.archiver.source import Source, TopicPartition
from headrace.archiver.topic_archive import TopicArchive
from headrace.archiver.topic_decoder import TopicSettings
from headrace.archiver.worker import Worker

P0, P1 = TopicPartition("raw", 0), TopicPartition("raw", 1)
BEGAN_MS = 1_800_000_000_000


@dataclass
class MovingClock:
    """Wall clock and monotonic seconds move together, by hand and by pauses."""

    time_s: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def now(self) -> str:
        return f"2027-01-15T08:{int(self.time_s) // 60:02}:{int(self.time_s) % 60:02}.000000Z"

    def monotonic(self) -> float:
        return self.time_s

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time_s += seconds


class Archiving:
    """One worker on a topic of two partitions."""

    def __init__(self) -> None:
        self.kafka = FakeKafka()
        self.logs = self.kafka.create("raw", 2)
        self.store = MemoryStore()
        self.clock = MovingClock()
        ids = itertools.count(1)

        def archive(topic: str, source: Source) -> TopicArchive:
            return TopicArchive(
                TopicSettings(topic, "raw"),
                source=source,
                store=self.store,
                schemas=NoSchemas(),
                writer=Writer("w", "c"),
                limits=Limits(flush_rows_max=4),
                clock=self.clock,
                new_id=lambda: str(next(ids)),
                failpoint=no_failpoint,
            )

        def source(worker: Worker) -> FakeSource:
            self.source = FakeSource(self.kafka, worker)
            return self.source

        self.worker = Worker(
            source, archive, clock=self.clock, failpoint=no_failpoint, buffer_bytes_max=1 << 20, name="host:1:0"
        )
        self.source.give(P0, P1)
        self.worker.step()

    def said(self, partition: TopicPartition) -> Heartbeat:
        beat = decode(self.source.notes.get(partition))
        assert beat is not None
        return beat


def test_what_is_taken_is_told_beside_what_is_durable() -> None:
    """Taken and not committed: the offset says what is durable, the heartbeat how far reading is."""
    a = Archiving()
    a.logs[0].write(b"a", b"b", b"c")
    a.clock.time_s = INTERVAL_S
    a.worker.step()
    assert a.source.committed[P0] == 0
    assert a.said(P0) == Heartbeat("host:1:0", BEGAN_MS + 10_000, 3)


def test_a_flush_is_told_at_once() -> None:
    """A heartbeat follows each commit, so that an offset never stands there without its worker."""
    a = Archiving()
    a.logs[1].write(*[b"a"] * 5)
    a.worker.step()
    assert (a.source.committed[P1], a.said(P1).taken) == (5, 5)


def test_an_idle_worker_beats_on() -> None:
    """Each interval, not each step: silence means that it is gone, and Kafka is not flooded."""
    a = Archiving()
    a.worker.step()
    first = a.said(P0).at_ms
    a.clock.time_s = INTERVAL_S - 1
    a.worker.step()
    assert a.said(P0).at_ms == first
    a.clock.time_s = INTERVAL_S + 1
    a.worker.step()
    assert a.said(P0).at_ms == first + 11_000


def test_a_store_that_does_not_answer_is_told_with_its_beginning() -> None:
    """On the lowest partition; it is gone after the next commit."""
    a = Archiving()
    a.worker.step()
    a.logs[1].write(*[b"a"] * 5)

    def down(operation: str, key: str) -> str | None:
        raise StoreUnreachable(f"{operation} {key}: connection refused")

    a.store.fault = down
    a.worker.step()
    a.clock.time_s += INTERVAL_S
    a.worker.step()
    told = a.said(P0)
    assert "connection refused" in told.trouble
    assert BEGAN_MS < told.trouble_since_ms < told.at_ms
    assert a.said(P1).trouble == ""
    a.store.fault = lambda _operation, _key: None
    for _ in range(4):
        a.clock.time_s += INTERVAL_S
        a.worker.step()
    assert a.said(P0).trouble == ""
    assert a.source.committed[P1] == 5


def test_a_topic_that_was_made_again_is_not_told_the_old_offsets() -> None:
    """Committed offsets never pass the log's next offset of the topic as it is now."""
    a = Archiving()
    a.logs[0].write(*[b"a"] * 6)
    a.worker.step()
    a.kafka.delete("raw")
    a.kafka.create("raw", 2)
    a.source.committed.clear()
    for _ in range(6):
        a.clock.time_s += INTERVAL_S
        a.worker.step()
        newest = read_state(a.store, "raw").newest(0, a.kafka.ids["raw"])
        assert a.source.committed.get(P0, 0) <= (0 if newest is None else newest.next)
