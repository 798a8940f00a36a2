"""The worker's decisions, on a Kafka and a store in memory."""

import itertools
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

import pytest
from fake_kafka import FakeKafka, FakeLog, FakeSource
from no_schemas import NoSchemas

from headrace.archiver.commit_log import CommitLog, read_state
from headrace.archiver.failpoints import no_failpoint
from headrace.archiver.garbage import unreferenced
from headrace.archiver.held import Writer
from headrace.archiver.histories import ArchiveRefused
from headrace.archiver.limits import Limits
from headrace.archiver.log_state import Identity, LogState
from headrace.archiver.memory_store import MemoryStore
from headrace.archiver.moving import Destination, MoveRefused, Ordered, check_move, move
from headrace.archiver.object_store import OutcomeUnknown, StoreDenied, StoreUnreachable
from headrace.archiver.parquet_file import read_file
from headrace.archiver.restore import restore_records
from headrace.archiver.source import Records, Source, TopicPartition
from headrace.archiver.topic_archive import TopicArchive
from headrace.archiver.topic_decoder import SchemaSource, TopicSettings
from headrace.archiver.worker import Worker
from headrace.replay.verify import verify_archive

P0, P1 = TopicPartition("raw", 0), TopicPartition("raw", 1)


@dataclass
class FakeClock:
    """Stands still until it is moved; counts pauses."""

    time_s: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def now(self) -> str:
        return "2026-11-23T00:00:00.000000Z"

    def monotonic(self) -> float:
        return self.time_s

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time_s += seconds


_ids = itertools.count(1)


class Bench:
    """A worker on fakes. Each has its own source; kafka and store may be shared."""

    def __init__(
        self,
        kafka: FakeKafka,
        store: MemoryStore,
        *,
        cluster_id: str = "cluster-1",
        form: Literal["raw", "avro"] = "raw",
        schemas: SchemaSource | None = None,
        lasting: bool = False,
    ) -> None:
        self.kafka, self.store, self.clock = kafka, store, FakeClock()
        self.renewed = 0
        sources: list[FakeSource] = []

        def make_source(worker: Worker) -> Source:
            sources.append(FakeSource(kafka, worker))
            return sources[0]

        def make_archive(topic: str, source: Source) -> TopicArchive:
            return TopicArchive(
                TopicSettings(topic, format=form),
                source=source,
                store=store,
                schemas=schemas or NoSchemas(),
                writer=Writer("test:1:0", cluster_id),
                limits=Limits(),
                clock=self.clock,
                new_id=lambda: f"id{next(_ids):08}",
                failpoint=no_failpoint,
            )

        self.worker = Worker(
            make_source,
            make_archive,
            clock=self.clock,
            failpoint=no_failpoint,
            buffer_bytes_max=64 << 20,
            flush_when_idle=not lasting,
            renew_store=self._renew,
        )
        self.source = sources[0]

    def _renew(self) -> None:
        self.renewed += 1

    def run(self, steps: int = 6) -> None:
        """Take steps: the first one assigns, the second one takes records in, a later one without any commits."""
        for _ in range(steps):
            self.worker.step()

    def state(self) -> LogState:
        return read_state(self.store, "raw")


def archived(store: MemoryStore, topic_id: str | None = None) -> list[tuple[int, int, bytes | None]]:
    """All archived (partition, offset, value) of a topic's committed files, sorted."""
    state = read_state(store, "raw")
    rows: list[tuple[int, int, bytes | None]] = []
    for committed in state.files.values():
        if topic_id is None or committed.topic_id == topic_id:
            table, footer = read_file(store.get(committed.file.key), sha256=committed.file.sha256, kind="data")
            batch = restore_records(table, footer)
            rows.extend(
                zip(*(batch.column(name).to_pylist() for name in ("partition", "offset", "value")), strict=True)
            )
    return sorted(rows)


def test_records_and_the_marker_after_them_are_committed() -> None:
    """A span ends past the marker at the log's end, so that lag reaches zero on transactional topics."""
    kafka, store = FakeKafka(), MemoryStore()
    log = kafka.create("raw")[0]
    log.write(b"a", None, b"")
    log.marker()
    bench = Bench(kafka, store)
    bench.source.give(P0)
    bench.run()
    at = bench.state().newest(0)
    assert at is not None
    assert (at.origin, at.next, at.rows) == (0, 4, 3)
    assert archived(store) == [(0, 0, b"a"), (0, 1, None), (0, 2, b"")]
    assert bench.source.committed == {P0: 4}


def test_a_first_archive_begins_at_the_log_start() -> None:
    """Offsets that were gone before the archive began are outside of its origin, not a gap."""
    kafka, store = FakeKafka(), MemoryStore()
    log = kafka.create("raw")[0]
    log.write(*[b"x"] * 5)
    log.retain_from(3)
    bench = Bench(kafka, store)
    bench.source.give(P0)
    bench.run()
    at = bench.state().newest(0)
    assert at is not None
    assert (at.origin, at.next, at.gaps) == (3, 5, ())


def test_retention_overtaking_is_a_gap_with_its_exact_range() -> None:
    """Deleted unarchived offsets are recorded as a gap, and archiving goes on at the log start."""
    kafka, store = FakeKafka(), MemoryStore()
    log = kafka.create("raw")[0]
    log.write(b"0", b"1")
    bench = Bench(kafka, store)
    bench.source.give(P0)
    bench.run()
    log.write(b"2", b"3", b"4")
    log.retain_from(4)
    bench.run()
    at = bench.state().newest(0)
    assert at is not None
    assert [(gap.start, gap.end, gap.reason) for gap in at.gaps] == [(2, 4, "retention")]
    assert at.next == 5
    assert [offset for _, offset, _ in archived(store)] == [0, 1, 4]


def test_a_recreated_topic_is_closed_and_started_anew() -> None:
    """The old incarnation is closed by a gap of unknown end; the new one's equal offsets are archived beside it."""
    kafka, store = FakeKafka(), MemoryStore()
    kafka.create("raw")[0].write(b"old0", b"old1")
    bench = Bench(kafka, store)
    bench.source.give(P0)
    bench.run()
    kafka.delete("raw")
    kafka.create("raw")[0].write(b"new0")
    bench.clock.time_s += 60
    bench.run()
    state = bench.state()
    old = state.identities[Identity("id-1", 0, 0)]
    assert [(gap.start, gap.end, gap.reason) for gap in old.gaps] == [(2, None, "topic-recreated")]
    assert archived(store, "id-2") == [(0, 0, b"new0")]
    assert archived(store, "id-1") == [(0, 0, b"old0"), (0, 1, b"old1")]


def test_records_read_across_a_recreation_are_dropped() -> None:
    """What was read but not committed when the topic id changed is never committed under either id."""
    kafka, store = FakeKafka(), MemoryStore()
    kafka.create("raw")[0].write(b"old0")
    bench = Bench(kafka, store)
    bench.source.give(P0)
    bench.run(2)
    kafka.delete("raw")
    kafka.create("raw")[0].write(b"new0", b"new1")
    bench.run()
    assert archived(store) == [(0, 0, b"new0"), (0, 1, b"new1")]


def test_a_deleted_topic_waits_for_its_return() -> None:
    """While a topic does not exist its worker goes on with others and picks it up when it is made again."""
    kafka, store = FakeKafka(), MemoryStore()
    kafka.create("raw")[0].write(b"old0")
    bench = Bench(kafka, store)
    bench.source.give(P0)
    bench.run()
    kafka.delete("raw")
    bench.clock.time_s += 60
    bench.run()
    kafka.create("raw")[0].write(b"new0")
    bench.clock.time_s += 60
    bench.run()
    assert archived(store, "id-2") == [(0, 0, b"new0")]


def test_a_worker_that_stood_still_closes_no_living_incarnation(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asked for the topic's id, and then the topic was made again and archived by others: the new one stays open."""
    kafka, store = FakeKafka(), MemoryStore()
    kafka.create("raw")[0].write(b"old0")
    first = Bench(kafka, store)
    first.source.give(P0)
    first.run()
    late = Bench(kafka, store)
    ask = late.source.topic_ids

    def stand_still(topics: Collection[str]) -> dict[str, str]:
        answer = ask(topics)
        if kafka.ids["raw"] == "id-1":
            kafka.delete("raw")
            kafka.create("raw")[0].write(b"new0")
            other = Bench(kafka, store)
            other.source.give(P0)
            other.run()
            assert archived(store, "id-2") == [(0, 0, b"new0")]
        return answer

    monkeypatch.setattr(late.source, "topic_ids", stand_still)
    late.source.give(P0)
    late.run()
    kafka.log(P0).write(b"new1")
    late.run()
    state = late.state()
    assert not state.identities[Identity("id-2", 0, 0)].closed
    assert [gap.reason for gap in state.identities[Identity("id-1", 0, 0)].gaps] == ["topic-recreated"]
    assert archived(store, "id-2") == [(0, 0, b"new0"), (0, 1, b"new1")]


def test_a_topic_made_again_while_a_lost_offset_is_looked_into_is_no_truncation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The log's ends came from the new topic: the old one ends as made again, and the new one begins at its start."""
    kafka, store = FakeKafka(), MemoryStore()
    kafka.create("raw")[0].write(b"old0", b"old1", b"old2", b"old3")
    bench = Bench(kafka, store)
    bench.source.give(P0)
    bench.run()
    kafka.log(P0).retain_from(10)
    ask = bench.source.log_ranges

    def ends_of_the_new_topic(partitions: Collection[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        if kafka.ids["raw"] == "id-1":
            kafka.delete("raw")
            kafka.create("raw")[0].write(b"new0")
        return ask(partitions)

    monkeypatch.setattr(bench.source, "log_ranges", ends_of_the_new_topic)
    bench.run()
    old = bench.state().identities[Identity("id-1", 0, 0)]
    assert [(gap.start, gap.end, gap.reason) for gap in old.gaps] == [(4, None, "topic-recreated")]
    assert archived(store, "id-2") == [(0, 0, b"new0")]


def test_a_truncated_log_opens_a_new_lineage() -> None:
    """Archived records that Kafka lost stay; the partition goes on as lineage 1, with the reason recorded."""
    kafka, store = FakeKafka(), MemoryStore()
    log = kafka.create("raw")[0]
    log.write(b"0", b"1", b"2", b"3")
    bench = Bench(kafka, store)
    bench.source.give(P0)
    bench.run()
    log.truncate_to(2)
    bench.run()
    log.write(b"two")
    bench.run()
    state = bench.state()
    old, new = state.identities[Identity("id-1", 0, 0)], state.newest(0)
    assert new is not None
    assert [(gap.start, gap.end, gap.reason) for gap in old.gaps] == [(4, None, "diverged")]
    assert new.identity.lineage == 1
    assert new.next == 3
    values = [value for _, _, value in archived(store)]
    assert {b"0", b"1", b"2", b"3", b"two"} == set(values)


def test_a_zombie_is_fenced_and_nothing_is_doubled() -> None:
    """Two workers with the same partition: the late one's commit is refused, and it goes on from the log."""
    kafka, store = FakeKafka(), MemoryStore()
    log = kafka.create("raw")[0]
    log.write(b"0", b"1")
    zombie, fresh = Bench(kafka, store), Bench(kafka, store)
    zombie.source.give(P0)
    zombie.run(2)
    fresh.source.give(P0)
    fresh.run()
    zombie.run()
    log.write(b"2")
    zombie.run()
    fresh.run()
    assert archived(store) == [(0, 0, b"0"), (0, 1, b"1"), (0, 2, b"2")]


def test_revoked_partitions_are_committed_first_and_lost_ones_dropped() -> None:
    """revoked() commits what is held; after lost() nothing of the partition is committed."""
    kafka, store = FakeKafka(), MemoryStore()
    logs = kafka.create("raw", 2)
    logs[0].write(b"a")
    logs[1].write(b"b")
    bench = Bench(kafka, store)
    bench.source.give(P0, P1)
    bench.run(2)
    bench.source.take(P1, how="lost")
    bench.source.take(P0)
    bench.run()
    assert archived(store) == [(0, 0, b"a")]


def test_records_fetched_before_a_rebalance_are_not_mixed_with_those_after() -> None:
    """Stale records that a poll hands out beside a reassignment are dropped and read again in order."""
    kafka, store = FakeKafka(), MemoryStore()
    log = kafka.create("raw")[0]
    log.write(*[str(n).encode() for n in range(10)])
    bench = Bench(kafka, store)
    bench.source.give(P0)
    bench.source.reading[P0] = 6
    stale = bench.source._read(P0, 2)
    assert isinstance(stale[0], Records)
    bench.source.stale = stale
    bench.run()
    assert [offset for _, offset, _ in archived(store)] == list(range(10))


def test_a_store_that_is_down_loses_nothing() -> None:
    """Failed uploads and reads drop what is held; when the store is back everything is read again."""
    down = {"now": False}

    def fault(operation: str, key: str) -> str | None:
        if down["now"]:
            if operation == "put_if_absent":
                raise OutcomeUnknown(f"{key}: no answer")
            raise StoreUnreachable(f"{key}: no answer")
        return None

    kafka, store = FakeKafka(), MemoryStore(fault)
    log = kafka.create("raw")[0]
    log.write(b"0")
    bench = Bench(kafka, store)
    bench.source.give(P0)
    bench.run()
    down["now"] = True
    log.write(b"1", b"2")
    bench.run()
    down["now"] = False
    bench.run()
    assert [offset for _, offset, _ in archived(store)] == [0, 1, 2]


@pytest.mark.parametrize("refused", ["put_if_absent", "every call"])
def test_a_store_that_refuses_is_waited_for(refused: str) -> None:
    """A worker that lasts keeps its place while a right is missing, waits ever longer, looks for credentials again,
    and archives all once when it is let in; the next refusal is waited for from the shortest pause on."""
    kafka = FakeKafka()
    log = kafka.create("raw")[0]
    log.write(b"0", b"1")
    denied = False

    def fault(operation: str, key: str) -> None:
        if denied and refused in (operation, "every call"):
            raise StoreDenied(f"{operation} {key}: access denied")

    store = MemoryStore(fault)
    bench = Bench(kafka, store, lasting=True)
    bench.source.give(P0)
    for round_number in (1, 2):
        bench.run(3)
        denied, bench.clock.pauses = True, []
        for _ in range(40):
            bench.clock.time_s += 61
            bench.run(1)
        assert bench.clock.pauses[:4] == [0.5, 1.0, 2.0, 4.0]
        assert max(bench.clock.pauses) == 30.0
        assert bench.renewed >= len(bench.clock.pauses) > 8
        denied = False
        for _ in range(3):
            bench.clock.time_s += 61
            bench.run(2)
        assert len(archived(store)) == 2 * round_number
        log.write(b"2", b"3")
    assert [offset for _, offset, _ in archived(store)] == [0, 1, 2, 3]


def test_a_run_that_is_to_end_is_ended_by_a_refusal() -> None:
    """Nobody waits for `--until-idle` to be let in: it ends with the reason."""
    kafka = FakeKafka()
    kafka.create("raw")[0].write(b"0")

    def fault(operation: str, key: str) -> None:
        if operation == "put_if_absent":
            raise StoreDenied(f"{key}: access denied")

    bench = Bench(kafka, MemoryStore(fault))
    bench.source.give(P0)
    with pytest.raises(StoreDenied):
        bench.run()
    assert (bench.clock.pauses, bench.renewed) == ([], 0)


def test_a_store_that_gives_no_schema_is_asked_again() -> None:
    """A store that fails while records are taken in does not end the worker: they are read and archived again."""

    class FailingOnce(NoSchemas):
        asked = 0

        def text_by_fingerprint(self, fingerprint: bytes) -> str | None:
            self.asked += 1
            if self.asked == 1:
                raise OutcomeUnknown("writing schemas/x.avsc: no answer")
            return super().text_by_fingerprint(fingerprint)

    kafka = FakeKafka()
    kafka.create("raw")[0].write(*[b"\xc3\x01fingerpr\x02"] * 3)
    bench = Bench(kafka, MemoryStore(), form="avro", schemas=FailingOnce())
    bench.source.give(P0)
    bench.run(10)
    at = bench.state().newest(0)
    assert at is not None
    assert (at.next, at.quarantined) == (3, 3)


def test_a_lost_answer_to_a_commit_does_not_double() -> None:
    """A commit that was applied without an answer counts once."""
    armed = {"left": 0}

    def fault(operation: str, key: str) -> str | None:
        if operation == "put_if_absent" and key.startswith("log/") and armed["left"]:
            armed["left"] -= 1
            return "lose-answer"
        return None

    kafka, store = FakeKafka(), MemoryStore(fault)
    kafka.create("raw")[0].write(b"0", b"1")
    bench = Bench(kafka, store)
    armed["left"] = 1
    bench.source.give(P0)
    bench.run()
    assert archived(store) == [(0, 0, b"0"), (0, 1, b"1")]
    assert bench.state().seq == 1


def die_before_commit(bench: Bench) -> None:
    """Run a worker until it dies between uploading its files and putting its commit."""

    def fault(operation: str, key: str) -> str | None:
        if operation == "put_if_absent" and key.startswith("log/"):
            raise KeyboardInterrupt
        return None

    before, bench.store.fault = bench.store.fault, fault
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    bench.store.fault = before


def test_dead_objects_go_after_the_next_commit() -> None:
    """Files that a writer uploaded before it died are removed; files that may still be committed stay."""
    kafka, store = FakeKafka(), MemoryStore()
    log = kafka.create("raw")[0]
    log.write(b"0", b"1")
    crashed = Bench(kafka, store)
    crashed.source.give(P0)
    die_before_commit(crashed)
    left_over = [key for key in store.objects if key.startswith("data/")]
    assert len(left_over) == 1
    bench = Bench(kafka, store)
    bench.source.give(P0)
    bench.run()
    now = [key for key in store.objects if key.startswith("data/")]
    assert len(now) == 1
    assert now != left_over
    assert archived(store) == [(0, 0, b"0"), (0, 1, b"1")]


def test_an_idle_moment_before_the_first_commit_does_not_spoil_the_cleaning() -> None:
    """What is not dead yet at the first look is looked at again after the commit that makes it so."""
    kafka, store = FakeKafka(), MemoryStore()
    log = kafka.create("raw")[0]
    bench = Bench(kafka, store)
    bench.source.give(P0)
    bench.run()
    log.write(b"0")
    die_before_commit(bench)
    (left_over,) = (key for key in store.objects if key.startswith("data/"))
    held_back, kafka.topics["raw"][0] = kafka.topics["raw"][0], FakeLog()
    after = Bench(kafka, store)
    after.source.give(P0)
    after.run(4)
    assert left_over in store.objects
    kafka.topics["raw"][0] = held_back
    after.source.reading[P0] = 0
    after.run()
    assert left_over not in store.objects
    assert archived(store) == [(0, 0, b"0")]


def test_dead_objects_go_also_when_nothing_new_comes() -> None:
    """A writer that ends between its commit and its cleaning leaves dead objects; the next assignment removes them."""
    kafka, store = FakeKafka(), MemoryStore()
    kafka.create("raw")[0].write(b"0", b"1")
    bench = Bench(kafka, store)
    bench.source.give(P0)
    bench.run()
    (committed,) = (key for key in store.objects if key.startswith("data/"))
    left_over = committed.replace(".parquet", "-of-a-crash.parquet")
    store.objects[left_over] = store.objects[committed]
    quiet = Bench(kafka, store)
    quiet.source.give(P0)
    quiet.run()
    assert [key for key in store.objects if key.startswith("data/")] == [committed]
    assert quiet.state().seq == 1


def test_another_cluster_is_refused() -> None:
    """A log belongs to one Kafka cluster."""
    kafka, store = FakeKafka(), MemoryStore()
    kafka.create("raw")[0].write(b"0")
    bench = Bench(kafka, store)
    bench.source.give(P0)
    bench.run()
    other = Bench(kafka, store, cluster_id="cluster-2")
    other.source.give(P0)
    with pytest.raises(ArchiveRefused, match="belongs to Kafka cluster cluster-1"):
        other.run()


def test_after_a_move_the_other_cluster_goes_on_and_the_old_one_is_refused() -> None:
    """Offsets begin anew without loss or rewind; what the old cluster's worker still holds is fenced, and it ends."""
    old, new, store = FakeKafka(), FakeKafka(), MemoryStore()
    old.create("raw")[0].write(b"0", b"1")
    bench = Bench(old, store)
    bench.source.give(P0)
    bench.run()
    old.log(P0).write(b"2")
    bench.run(1)
    new.create("other")
    new.create("raw")[0].write(b"a")
    to = Destination("cluster-2", new.ids["raw"])
    log = CommitLog(store, "raw", pause=lambda _s: None, lean=True)
    names = {"writer": "test", "now": lambda: "2026-11-24T00:00:00Z", "new_id": lambda: "moved-1"}
    entry = move(log, to, Ordered("me", "OPS-1"), left={0: 1}, **names)  # type: ignore[arg-type]
    assert entry.min_reader == 2
    assert bench.state().moved
    with pytest.raises(ArchiveRefused, match="belongs to Kafka cluster cluster-2"):
        bench.run()
    other = Bench(new, store, cluster_id="cluster-2")
    other.source.give(P0)
    other.run()
    assert not other.state().moved
    assert archived(store) == [(0, 0, b"0"), (0, 0, b"a"), (0, 1, b"1")]
    newest = other.state().newest(0)
    assert newest is not None
    assert (newest.identity, newest.origin, newest.next) == (Identity(new.ids["raw"], 0, 0), 0, 1)
    closed = other.state().identities[Identity(old.ids["raw"], 0, 0)]
    assert (closed.next, closed.closed, closed.gaps[-1].reason, closed.gaps[-1].evidence["left"]) == (
        2,
        True,
        "moved",
        1,
    )
    assert not list(unreferenced(store, other.state()))
    report, _ = verify_archive(store, "raw")
    assert report.ok, report.findings


def test_a_copy_of_the_cluster_is_refused_as_a_destination() -> None:
    """It has the topic under the same id: its offsets are taken already, and may mean other records."""
    kafka, store = FakeKafka(), MemoryStore()
    kafka.create("raw")[0].write(b"0")
    bench = Bench(kafka, store)
    bench.source.give(P0)
    bench.run()
    with pytest.raises(MoveRefused, match="is in the log already"):
        check_move(bench.state(), Destination("cluster-2", kafka.ids["raw"]))


def test_stop_commits_what_is_held() -> None:
    """SIGTERM's path: flush, then leave the group."""
    kafka, store = FakeKafka(), MemoryStore()
    kafka.create("raw")[0].write(b"0")
    bench = Bench(kafka, store)
    bench.source.give(P0)
    bench.run(2)
    bench.worker.stop()
    assert archived(store) == [(0, 0, b"0")]
    assert bench.source.closed
