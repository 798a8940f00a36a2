"""Sealing a date: when it is complete, by whom, and what it makes of rows that come later."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping

import pytest
from fake_kafka import FakeKafka, FakeSource
from log_objects import commit, span
from no_schemas import NoSchemas

from headrace.archiver.commit_log import CommitLog, Committed, Fenced, read_state
from headrace.archiver.failpoints import no_failpoint
from headrace.archiver.held import Writer
from headrace.archiver.limits import Limits
from headrace.archiver.log_entries import Entry
from headrace.archiver.log_state import LogState
from headrace.archiver.memory_store import MemoryStore
from headrace.archiver.parquet_file import read_file
from headrace.archiver.sealing import SealRules, marker_key
from headrace.archiver.source import Source, TopicPartition
from headrace.archiver.topic_archive import TopicArchive
from headrace.archiver.topic_decoder import TopicSettings
from headrace.archiver.worker import Worker

P0, P1 = TopicPartition("raw", 0), TopicPartition("raw", 1)
DATE = "2023-11-14"  # of the fake Kafka's timestamps
MARKER = marker_key("raw", DATE)
BEFORE, AFTER = "2023-11-15T00:59:59.000000Z", "2023-11-15T01:00:01.000000Z"  # a lateness of an hour ends between

_ids = itertools.count(1)


class DatedSource(FakeSource):
    """A source that says where a date ends: at each log's end, or what the test says."""

    ends: Mapping[int, int | None] | None = None

    def date_ends(self, topic: str, timestamp_ms: int) -> Mapping[int, int | None]:
        assert timestamp_ms == 1_700_010_000_000, "the date's end and an hour"
        if self.ends is not None:
            return self.ends
        return {number: log.end for number, log in enumerate(self.kafka.topics[topic])}


class WallClock:
    """Both clocks stand still until they are moved."""

    def __init__(self, now: str) -> None:
        self.wall, self.time_s = now, 0.0

    def now(self) -> str:
        return self.wall

    def monotonic(self) -> float:
        return self.time_s

    def pause(self, seconds: float) -> None:
        self.time_s += seconds


class Bench:
    """A worker that seals, on fakes; Kafka and store may be shared by several."""

    def __init__(
        self,
        kafka: FakeKafka,
        store: MemoryStore,
        *partitions: TopicPartition,
        now: str = AFTER,
        failpoint: Callable[[str], None] = no_failpoint,
    ) -> None:
        self.store, self.clock = store, WallClock(now)
        made: list[DatedSource] = []

        def make_source(worker: Worker) -> Source:
            made.append(DatedSource(kafka, worker))
            return made[0]

        def make_archive(topic: str, source: Source) -> TopicArchive:
            return TopicArchive(
                TopicSettings(topic, format="raw"),
                source=source,
                store=store,
                schemas=NoSchemas(),
                writer=Writer("test:1:0", "cluster-1"),
                limits=Limits(),
                clock=self.clock,
                new_id=lambda: f"id{next(_ids):08}",
                failpoint=failpoint,
                sealing=SealRules(lateness_s=3600, interval_s=60),
            )

        self.worker = Worker(
            make_source,
            make_archive,
            clock=self.clock,
            failpoint=failpoint,
            buffer_bytes_max=64 << 20,
            flush_when_idle=True,
        )
        self.source = made[0]
        self.source.give(*partitions)

    def run(self, steps: int = 6) -> None:
        """Take steps; a minute passes, so that it looks for dates again."""
        for _ in range(steps):
            self.worker.step()
        self.clock.time_s += 61
        for _ in range(2):
            self.worker.step()


def state(store: MemoryStore) -> LogState:
    return read_state(store, "raw")


def kafka_of(partitions: int, *values: bytes) -> FakeKafka:
    kafka = FakeKafka()
    for log in kafka.create("raw", partitions):
        log.write(*values)
    return kafka


def test_a_date_is_sealed_when_all_is_archived_and_its_time_is_over() -> None:
    """One seal with the ends of all partitions, and the marker; looking again seals nothing a second time."""
    kafka, store = kafka_of(2, b"a", b"b"), MemoryStore()
    bench = Bench(kafka, store, P0, P1)
    bench.run()
    seal = state(store).sealed[DATE]
    assert dict(seal.ends) == {0: 2, 1: 2}
    assert store.objects[MARKER] == b""
    entries = state(store).seq
    bench.run()
    assert state(store).seq == entries


@pytest.mark.parametrize("reason", ["too early", "open transaction", "behind", "partition unseen"])
def test_a_date_is_not_sealed_before_it_is_complete(reason: str) -> None:
    """Not before the wall clock has passed end and lateness, with a transaction open, or with anything unarchived."""
    kafka, store = kafka_of(2, b"a", b"b"), MemoryStore()
    held = (P0,) if reason == "partition unseen" else (P0, P1)
    bench = Bench(kafka, store, *held, now=BEFORE if reason == "too early" else AFTER)
    if reason == "open transaction":
        bench.source.ends = {0: 2, 1: None}
    if reason == "behind":
        bench.source.ends = {0: 2, 1: 3}
    bench.run()
    assert state(store).dates[DATE] == (2 if reason == "partition unseen" else 4, 0)
    assert not state(store).sealed
    assert MARKER not in store.objects
    if reason == "partition unseen":
        bench.source.give(P1)
    bench.clock.wall, bench.source.ends = AFTER, None
    bench.run()
    assert list(state(store).sealed) == [DATE], "as soon as nothing is in the way"


def test_rows_that_come_after_the_seal_are_late() -> None:
    """They are archived as ever, marked in each row, and counted in the file and by date."""
    kafka, store = kafka_of(1, b"a", b"b"), MemoryStore()
    bench = Bench(kafka, store, P0)
    bench.run()
    kafka.log(P0).write(b"late1", b"late2", b"late3")
    bench.run()
    first, second = (each.file for each in state(store).files.values())
    assert (first.late, second.late) == (0, 3)
    assert state(store).dates[DATE] == (5, 3)
    for file in (first, second):
        table, _ = read_file(store.get(file.key), sha256=file.sha256, kind="data")
        assert set(table.column("_late").to_pylist()) == {file is second}


def test_a_worker_that_has_not_seen_the_seal_is_fenced_and_marks_its_rows() -> None:
    """Its rows were taken before the seal and are committed after it: it reads them again, and they are late."""
    kafka, store = kafka_of(2, b"a"), MemoryStore()
    one, two = Bench(kafka, store, P0), Bench(kafka, store, P1, now=BEFORE)
    two.run()
    one.run(2)
    kafka.log(P1).write(b"x")
    one.source.ends = {0: 1, 1: 1}
    two.worker.step()  # takes x in
    one.run()
    assert state(store).sealed
    two.run()
    late = [each.file.late for each in state(store).files.values()]
    assert late == [0, 0, 1]


def test_two_workers_seal_a_date_once() -> None:
    """Whoever is first does it; the other one finds it sealed, and may put the marker."""
    kafka, store = kafka_of(2, b"a"), MemoryStore()
    rival: list[Bench] = []

    def interfere(name: str) -> None:
        if name == "before-seal" and rival:
            rival.pop().run()

    one = Bench(kafka, store, P0, failpoint=interfere)
    two = Bench(kafka, store, P1)
    one.source.ends = {}
    two.source.ends = {}
    one.run()
    two.run()
    one.source.ends = two.source.ends = None
    rival.append(two)
    one.run()
    kinds = [each.seq for each in state(store).sealed.values()]
    assert kinds == [state(store).seq], "one seal, the last entry"
    assert MARKER in store.objects


@pytest.mark.parametrize("point", ["before-seal", "after-seal", "before-marker", "after-marker"])
def test_dying_at_any_step_leaves_a_sealed_date_with_its_marker_to_the_next(point: str) -> None:
    """The next worker finds the date unsealed or unmarked, and does what is left."""
    kafka, store = kafka_of(1, b"a"), MemoryStore()

    class Died(BaseException):
        pass

    def die(name: str) -> None:
        if name == point:
            raise Died

    with pytest.raises(Died):
        Bench(kafka, store, P0, failpoint=die).run()
    Bench(kafka, store, P0).run()
    assert list(state(store).sealed) == [DATE]
    assert MARKER in store.objects
    assert state(store).seq == 2


def test_the_marker_waits_until_nothing_uncommitted_lies_in_the_date() -> None:
    """An object whose commit may still come would be read beside the marker: it is put when that is decided."""
    kafka, store = kafka_of(2, b"a"), MemoryStore()
    bench = Bench(kafka, store, P0, P1)
    key = f"data/topic=raw/dt={DATE}/foreign.parquet"
    other, theirs = kafka_of(2, b"a", b"b"), MemoryStore()
    Bench(other, theirs, P0, P1).run()
    other.log(P0).write(b"c")
    ahead = Bench(other, theirs, P0, P1)
    ahead.run()
    *_, newest = state(theirs).files.values()
    store.objects[key] = theirs.objects[newest.file.key]  # its span begins at offset 2, where ours will go on
    bench.run()
    assert list(state(store).sealed) == [DATE]
    assert MARKER not in store.objects
    del store.objects[key]
    bench.run()
    assert MARKER in store.objects


# -- what the log takes ------------------------------------------------------------------------------------------------


def log_of_two() -> CommitLog:
    log = CommitLog(MemoryStore(), "pin", pause=lambda _s: None)
    log.refresh()
    assert isinstance(log.append(commit(span(0, 0, 10), span(1, 0, 5))), Committed)
    return log


def seal(ends: object, *, topic_id: str = "T1", date: object = "2026-11-23") -> Entry:
    entry = commit(entry_id="seal", topic_id=topic_id)
    return dataclasses.replace(entry, kind="seal", details={"dt": date, "ends": ends})


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (seal({"0": 10}), "partition 1 has no end"),
        (seal({"0": 11, "1": 5}), "archived to 10 only"),
        (seal({"0": 10, "1": 5, "2": 0}), "partition 2 is not archived"),
        (seal({"0": 10, "1": 5}, topic_id="T2"), "T2"),
        (seal({"0": 10, "1": 5}, date="yesterday"), "no date"),
        (seal({"0": 10, "1": 5}, date="2026-2-3"), "no date"),
        (seal({"0": 10, "one": 5}), "without the partitions' ends"),
        (seal([10, 5]), "without the partitions' ends"),
        (seal({"0": True, "1": 5}), "without the partitions' ends"),
    ],
)
def test_a_seal_that_is_not_true_is_fenced(entry: Entry, why: str) -> None:
    """A seal names every partition that the log has, each archived to its end, of the topic as it is now."""
    outcome = log_of_two().append(entry)
    assert isinstance(outcome, Fenced)
    assert why in outcome.reason


def test_late_rows_that_are_not_marked_are_fenced_and_so_are_others_that_are() -> None:
    """Each data file of a commit is late as a whole where its date is sealed, and not at all where it is not."""
    log = log_of_two()
    marked = commit(span(0, 10, 12), entry_id="c2")
    marked = dataclasses.replace(marked, files=(dataclasses.replace(marked.files[0], late=2),))
    outcome = log.append(marked)
    assert isinstance(outcome, Fenced)
    assert "not sealed" in outcome.reason
    assert isinstance(log.append(seal({"0": 10, "1": 5})), Committed)
    assert isinstance(log.append(seal({"0": 10, "1": 5})), Fenced), "a second time"
    outcome = log.append(commit(span(0, 10, 12), entry_id="c3"))
    assert isinstance(outcome, Fenced)
    assert "0 of 2 rows are late" in outcome.reason
    assert isinstance(log.append(marked), Committed)
