"""What the simulation found, as short schedules of their own that stay when seeds move."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from headrace.archiver.limits import Limits
from headrace.archiver.parquet_file import Footer
from simulation.codec import decode, encode, light
from simulation.kafka import Partition
from simulation.profile import Profile
from simulation.topic_log import TopicLog
from simulation.world import World

CALM = Profile(
    full_codec=False,
    topics=1,
    partitions=1,
    workers=1,
    static=False,
    idle_flush=True,
    limits=Limits(flush_interval_s=1.0),
    steps=0,
    stale=0.0,
    fold_entries=1000,
    sealing=None,
    wall_days=1.0,
    world=0.0,
    faults={},
    events={"produce": 1.0},
)


class Calm:
    """A world in which nothing happens but what the test does."""

    def __init__(self) -> None:
        self.world = World(1, CALM)

    @property
    def partition(self) -> Partition:
        return self.world.kafka.topics["pin"].partitions[0]

    @property
    def log(self) -> TopicLog:
        return self.world.checker.logs["pin"]

    def write(self, count: int, txn: int | None = None) -> None:
        for _ in range(count):
            self.partition.append(self.world.events.record(txn))

    def run(self) -> None:
        """Let the worker go on until it only waits."""
        for _ in range(200):
            self.world.run_one(16)
            self.world.checker.raise_found()

    def restart(self) -> None:
        """Start the worker anew: it knows only what the log says."""
        self.world.end()
        for member in list(self.world.group.members):
            self.world.group.leave(member)
        self.world.slots[0].start()

    def lineages(self) -> list[tuple[int, int, int]]:
        """Return (lineage, origin, next) of each."""
        return [(each.lineage, each.origin, each.next) for each in self.log.of_partition("pin-id1", 0)]


@pytest.fixture
def calm() -> Iterator[Calm]:
    with light():
        made = Calm()
        yield made
        made.world.end()


def test_a_marker_written_after_an_election_is_no_truncation(calm: Calm) -> None:
    """Records of one leader epoch, their marker of a later one: a restart finds its place and closes no lineage."""
    calm.write(3, txn=1)
    calm.partition.new_epoch()
    calm.partition.decide(1, commit=True)
    calm.run()
    calm.restart()
    calm.write(2)
    calm.run()
    assert calm.lineages() == [(0, 0, 6)]


def test_an_unreadable_record_of_a_later_epoch_is_no_truncation(calm: Calm) -> None:
    """The client tells no epoch with a record that it cannot hand out: read again, it is known by its gap."""
    calm.write(3)
    calm.partition.new_epoch()
    calm.partition.append(calm.world.events.record()._replace(unreadable=True))
    calm.run()
    calm.restart()
    calm.write(2)
    calm.run()
    assert calm.lineages() == [(0, 0, 6)]


def test_records_in_the_place_of_markers_are_another_history(calm: Calm) -> None:
    """Where only markers were, a truncated log has records now: they are archived, as a new lineage."""
    calm.write(3, txn=1)
    calm.partition.decide(1, commit=True)
    calm.run()
    calm.partition.truncate(3)
    # The lost marker is written again; more of its kind would hide what follows.
    calm.partition.log.slots.pop()
    calm.write(4)
    calm.restart()
    calm.run()
    assert calm.lineages() == [(0, 0, 4), (1, 3, 7)]


@pytest.mark.parametrize("what", ["aborted", "unreadable"])
def test_a_cut_behind_offsets_without_a_record_is_seen(calm: Calm, what: str) -> None:
    """Nothing that was read had a leader epoch to compare; a restart reads it again, and finds records in its place."""
    if what == "aborted":
        calm.write(2, txn=1)
        calm.partition.decide(1, commit=False)
    else:
        for _ in range(3):
            calm.partition.append(calm.world.events.record()._replace(unreadable=True))
    calm.run()
    assert calm.lineages() == [(0, 0, 3)]
    calm.partition.truncate(0)
    calm.partition.log.slots.clear()
    calm.write(5)
    calm.restart()
    calm.run()
    assert calm.lineages() == [(0, 0, 3), (1, 0, 5)]


@pytest.mark.parametrize("second", [False, True])
def test_a_second_cut_while_offsets_without_a_record_are_read_again_is_seen(calm: Calm, *, second: bool) -> None:
    """No epoch is known that could tell the second: with what is read again, all such offsets before it are too."""

    def step_until(position: Callable[[int], bool]) -> None:
        for _ in range(1_000):
            source = calm.world.slots[0].source
            if source is not None and any(position(at.position) for at in source.reading.values()):
                return
            calm.world.run_one(1)
        raise AssertionError("the worker never read there")

    calm.write(2, txn=1)
    calm.partition.decide(1, commit=False)
    calm.run()
    calm.write(2, txn=2)
    calm.partition.decide(2, commit=False)
    step_until(lambda position: position == 6)
    assert calm.lineages() == [(0, 0, 3)]
    calm.partition.truncate(4)
    calm.partition.log.slots[4:] = []
    calm.partition.log.open_txns.clear()
    step_until(lambda position: position < 6)
    if second:
        calm.partition.truncate(0)
        calm.partition.log.slots.clear()
    calm.write(8)
    calm.run()
    assert calm.lineages()[1:] == [(1, 0, calm.partition.log.end)]


def test_offsets_without_a_record_go_on_as_they_are(calm: Calm) -> None:
    """Read again, aborted records are still no records, also where retention has taken some meanwhile."""
    calm.write(4, txn=1)
    calm.partition.decide(1, commit=False)
    calm.run()
    calm.partition.retain(2)
    calm.write(2)
    calm.restart()
    calm.run()
    assert calm.lineages() == [(0, 0, 7)]


def test_a_cut_that_retention_hides_from_kafka_itself_is_let_pass(calm: Calm) -> None:
    """What was read before a truncation and what came after it in one span: nobody could know, and nothing is lost."""
    calm.write(1)
    source = calm.world.slots[0].source
    while source is None or not any(at.position == 1 for at in source.reading.values()):
        calm.world.run_one(1)
        source = calm.world.slots[0].source
    assert not calm.log.seq
    calm.partition.truncate(0)
    calm.write(3)
    calm.partition.retain(1)
    calm.run()
    assert calm.lineages() == [(0, 0, 3)]


def test_files_of_a_partition_that_never_came_into_the_log_are_removed(calm: Calm) -> None:
    """A writer died before a partition's first commit, and the topic was made again: its files go all the same."""
    world = calm.world
    world.kafka.topics["pin"].partitions.append(Partition())
    world.group.balance()
    calm.write(2)
    calm.run()
    key = next(iter(calm.log.files))
    text, rows = decode(world.bucket.objects[key])
    footer = replace(Footer.from_json(text, key), spans=({"partition": 5, "lineage": 0, "from": 0},))
    stray = key.replace(".parquet", "-stray.parquet")
    world.bucket.put(stray, encode(footer, rows), only_new=True)
    world.kafka.delete("pin")
    world.events.forgotten["pin"] = 2
    world.events.create_again("pin")
    calm.restart()
    calm.write(2)
    calm.run()
    assert stray not in world.bucket.objects
