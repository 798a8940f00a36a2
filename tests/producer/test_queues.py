"""The bounded queue in memory."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.producer.queues import MemoryQueue, Queue
from headrace.producer.record import RECORD_OVERHEAD_BYTES, Record


def record(number: int, size: int = 0) -> Record:
    return Record("t", None, b"%08d" % number + bytes(size), 0, number, "")


def queue(records: int = 10, size: int = 1 << 20) -> MemoryQueue:
    return MemoryQueue(queue_records_max=records, queue_bytes_max=size)


def test_it_is_a_queue() -> None:
    """The memory queue is what the shipper takes, and says that it dies with the process."""
    made: Queue = queue()
    assert made.durability == "memory"


def test_bounded_by_records() -> None:
    """One more than the bound is refused until one is acknowledged; reading alone makes no room."""
    made = queue(records=2)
    assert [made.append(record(n)) for n in range(3)] == [True, True, False]
    assert made.full()
    made.read(10)
    assert not made.append(record(3))
    made.ack(0)
    assert not made.full()
    assert made.append(record(3))


def test_bounded_by_bytes() -> None:
    """Key, value and the overhead of Python's objects count."""
    size = record(0, 100).queued_bytes
    assert size == 108 + RECORD_OVERHEAD_BYTES
    made = queue(size=2 * size)
    assert [made.append(record(n, 100)) for n in range(3)] == [True, True, False]
    assert made.depth() == (2, 2 * size)


def test_force_goes_beyond_the_bounds() -> None:
    """What was promised to a re-entrant emit() is taken even when the queue is full."""
    made = queue(records=1)
    made.append(record(0))
    assert made.append(record(1), force=True)
    assert made.depth()[0] == 2


@pytest.mark.parametrize(("records", "size"), [(0, 1), (1, 0)])
def test_bounds_must_be_positive(records: int, size: int) -> None:
    """A queue that can hold nothing is a mistake."""
    with pytest.raises(ValueError, match="at least 1"):
        queue(records, size)


class Model(RuleBasedStateMachine):
    """Any order of calls: everything comes out in order until it is acknowledged, and nothing after."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = queue(records=8)
        self.unacked: list[int] = []
        self.unread: list[int] = []
        self.appended = 0

    @rule()
    def append(self) -> None:
        taken = self.queue.append(record(self.appended))
        assert taken == (len(self.unacked) < 8)
        if taken:
            self.unacked.append(self.appended)
            self.unread.append(self.appended)
            self.appended += 1

    @rule(count=st.integers(0, 5))
    def read(self, count: int) -> None:
        batch = self.queue.read(count)
        assert batch == [(n, record(n)) for n in self.unread[:count]]
        del self.unread[:count]

    @precondition(lambda self: len(self.unacked) > len(self.unread))
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        position = data.draw(st.sampled_from([n for n in self.unacked if n not in self.unread]))
        self.queue.ack(position)
        self.queue.ack(position)  # twice is once
        self.unacked.remove(position)

    @rule()
    def rewind(self) -> None:
        self.queue.rewind()
        self.unread = list(self.unacked)

    @invariant()
    def counts_are_right(self) -> None:
        assert self.queue.depth() == (len(self.unacked), sum(record(n).queued_bytes for n in self.unacked))
        assert self.queue.lowest_unacked() == (self.unacked[0] if self.unacked else self.appended)


TestModel = Model.TestCase
