"""The queue on disk: order, acknowledging, segments that come and go, and what a process leaves behind."""

import errno
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from spool_kit import SMALL, Clock, as_read, die, drain, orphan, queue, record

from headrace.producer.queues import Queue
from headrace.producer.spool.segment_files import allocate


def test_it_is_a_queue_that_survives(tmp_path: Path) -> None:
    """What was appended is read back in order, by this process and, when it is dead, by the next."""
    made = queue(tmp_path)
    as_queue: Queue = made
    assert as_queue.durability == "disk"
    for number in range(3000):
        assert made.append(record(number, key=None if number % 3 else b""))
    expected = [(number, as_read(number, key=None if number % 3 else b"")) for number in range(3000)]
    assert made.read(5000) == expected
    assert made.read(1) == []
    left = orphan(die(made))
    assert drain(left) == expected
    left.close()
    assert list((tmp_path / "web").iterdir()) == []


def test_what_is_acknowledged_is_removed(tmp_path: Path) -> None:
    """Segments go when all that is in them, and before them, is acknowledged; a closed empty queue leaves nothing."""
    clock = Clock()
    made = queue(tmp_path, clock)
    for number in range(2000):
        assert made.append(record(number))
    segments = sorted(made.folder.glob("*.seg"))
    assert len(segments) > 4
    batch = made.read(2000)
    for position, _ in batch[1:]:
        made.ack(position)
    clock.seconds += 1
    made.tend()
    assert sorted(made.folder.glob("*.seg")) == segments
    made.ack(0)
    clock.seconds += 1
    made.tend()
    assert sorted(made.folder.glob("*.seg")) == segments[-1:]
    assert made.depth()[0] == 0
    made.close()
    assert not made.folder.exists()


def test_the_cursor_says_where_to_go_on(tmp_path: Path) -> None:
    """What was acknowledged before the last cursor is not read again; all the rest is. Without cursor: all that is."""
    clock = Clock()
    made = queue(tmp_path, clock)
    for number in range(100):
        made.append(record(number))
    for position, _ in made.read(60):
        made.ack(position)
    clock.seconds += 1
    made.tend()
    made.read(20)
    made.ack(60)
    folder = die(made)
    assert [position for position, _ in orphan_reads(folder)] == list(range(60, 100))
    (folder / "cursor").write_text("headrace-cursor 1 0 64 99 00000000\n")
    assert [position for position, _ in orphan_reads(folder)] == list(range(100))


def orphan_reads(folder: Path) -> list[tuple[int, object]]:
    left = orphan(folder)
    found: list[tuple[int, object]] = list(left.read(10_000))
    assert left.losses == {}
    left._owned.release()
    return found


def test_a_record_larger_than_a_segment_has_its_own(tmp_path: Path) -> None:
    """A record of any size that fits the bounds is taken, and comes back in its place."""
    made = queue(tmp_path)
    sizes = [10, 3_000_000, 10, 70_000, 10]
    for number, size in enumerate(sizes):
        assert made.append(record(number, size))
    expected = [(number, as_read(number, size=size)) for number, size in enumerate(sizes)]
    assert made.read(10) == expected
    made.rewind()
    assert made.read(10) == expected
    assert drain(orphan(die(made))) == expected


def test_full_disk_is_a_counted_refusal_that_ends(tmp_path: Path) -> None:
    """No room for the next segment: append() says disk_full, never raises, and goes on when there is room again."""
    clock, room = Clock(), [3]

    def allocator(fd: int, size: int) -> None:
        if room[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= 1
        allocate(fd, size)

    made = queue(tmp_path, clock, allocator=allocator)
    taken = [made.append(record(number)) for number in range(2000)]
    assert taken == [True] * sum(taken) + [False] * (2000 - sum(taken))
    assert made.refusal == "disk_full"
    assert made.full()
    assert not list(made.folder.glob("blank*"))
    room[0] = 10
    clock.seconds += 2
    made.tend()
    assert not made.full()
    assert made.append(record(sum(taken)))
    assert [position for position, _ in drain(orphan(die(made)))] == list(range(sum(taken) + 1))


def test_a_removed_folder_is_counted(tmp_path: Path) -> None:
    """Whoever removes the folder loses what was in sealed segments, with the count of it; append() never raises."""
    clock = Clock()
    made = queue(tmp_path, clock)
    taken = sum(made.append(record(number)) for number in range(1500))
    made.tend()
    for path in made.folder.iterdir():
        path.unlink()
    made.folder.rmdir()
    more = sum(made.append(record(number)) for number in range(taken, 5000))
    assert made.refusal == "unwritable"
    read = made.read(10_000)
    assert len(read) + sum(made.losses.values()) == taken + more
    for position, _ in read:
        made.ack(position)
    clock.seconds += 5
    made.tend()
    assert made.depth()[0] == 0
    made.close()


def test_old_events_leave_by_the_head(tmp_path: Path) -> None:
    """Events that waited longer than the bound are dropped and counted, the younger ones are read."""
    clock = Clock()
    made = queue(tmp_path, clock)
    made.append(record(0))
    made.append(record(1))
    clock.seconds += SMALL.age_s_max - 1
    made.tend()
    made.append(record(2))
    clock.seconds += 2
    assert [position for position, _ in made.read(10)] == [2]
    assert made.losses == {"expired": 2}
    assert made.depth()[0] == 1
    assert made.lowest_unacked() == 2


@pytest.mark.parametrize("back", [1, 86_400 * 365])
def test_a_clock_that_jumps_back_loses_nothing(tmp_path: Path, back: int) -> None:
    """Whatever the clock does backwards, all events are read."""
    clock = Clock()
    made = queue(tmp_path, clock)
    made.append(record(0))
    clock.seconds -= back
    made.tend()
    made.append(record(1))
    assert len(made.read(10)) == 2


def test_a_closed_queue_touches_nothing(tmp_path: Path) -> None:
    """After close() the folder may be another process's: upkeep and reading leave it alone, append() cannot write."""
    clock = Clock()
    made = queue(tmp_path, clock)
    for number in range(2000):
        made.append(record(number))
    batch = made.read(2000)
    made.close()
    before = sorted(path.name for path in made.folder.iterdir())
    for position, _ in batch:
        made.ack(position)
    clock.seconds += 10
    made.tend()
    made.close()
    assert made.read(10) == []
    assert sorted(path.name for path in made.folder.iterdir()) == before
    with pytest.raises(ValueError, match="closed"):
        made.append(record(2000))
    assert [position for position, _ in drain(orphan(made.folder))] == list(range(2000))


class Model(RuleBasedStateMachine):
    """Any order of calls: everything comes out in order until it is acknowledged, also after a crash."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.queue = queue(Path(self.folder.name), self.clock)
        self.unacked: list[int] = []
        self.unread: list[int] = []
        self.appended = 0

    @rule(count=st.integers(1, 300), size=st.sampled_from([0, 100, 3000]))
    def append(self, count: int, size: int) -> None:
        for _ in range(count):
            assert self.queue.append(record(self.appended, size))
            self.unacked.append(self.appended)
            self.unread.append(self.appended)
            self.appended += 1

    @rule(count=st.integers(0, 400))
    def read(self, count: int) -> None:
        batch = self.queue.read(count)
        assert [position for position, _ in batch] == self.unread[:count]
        assert all(each.seq == position + 1 for position, each in batch)
        del self.unread[:count]

    @precondition(lambda self: len(self.unacked) > len(self.unread))
    @rule(data=st.data(), many=st.booleans())
    def ack(self, data: st.DataObject, many: bool) -> None:
        held = sorted(set(self.unacked) - set(self.unread))
        for position in held[: len(held) // 2 + 1] if many else [data.draw(st.sampled_from(held))]:
            self.queue.ack(position)
            self.queue.ack(position)  # twice is once
            self.unacked.remove(position)

    @rule()
    def rewind(self) -> None:
        self.queue.rewind()
        self.unread = list(self.unacked)

    @rule()
    def tend(self) -> None:
        self.clock.seconds += 1
        self.queue.tend()

    @invariant()
    def counts_are_right(self) -> None:
        assert self.queue.depth()[0] == len(self.unacked)
        assert self.queue.lowest_unacked() == (self.unacked[0] if self.unacked else self.appended)

    def teardown(self) -> None:
        left = orphan(die(self.queue))
        found = [position for position, _ in drain(left)]
        assert set(self.unacked) <= set(found)
        assert found == sorted(set(found))
        assert left.losses == {}
        left.close()
        assert not self.queue.folder.exists()
        self.folder.cleanup()


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
