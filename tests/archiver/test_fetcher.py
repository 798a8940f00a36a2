"""Fetching from several brokers: leaders that move, brokers that go, partitions that take turns, and nothing twice."""

import os
import struct
from collections.abc import Callable

import pytest
from batch_bytes import Made
from kafka_wire import WireRecord

from headrace.archiver.fetch_protocol import (
    FETCH,
    Broker,
    Limits,
    ProtocolError,
    Reader,
    Wanted,
    fetch_request,
    read_fetch,
    read_metadata,
)
from headrace.archiver.fetch_state import Arrived
from headrace.archiver.fetcher import RETRY_S_MAX, Fetcher
from headrace.archiver.source import SourceError, Start, TopicPartition

NOT_LEADER, DENIED, UNKNOWN_SERVER_ERROR = 6, 29, -1
P0, P1 = TopicPartition("t", 0), TopicPartition("t", 1)


class Brokers:
    """Two brokers that share the partitions of topic `t`; records are batches of one, at offsets 0, 1, 2..."""

    def __init__(self) -> None:
        self.leaders = {0: 1, 1: 2}
        self.believed: dict[int, int] | None = None  # what metadata say, where that is not the truth
        self.ends = {0: 3, 1: 3}
        self.errors: dict[int, int] = {}
        self.down: set[int] = set()
        self.asked: list[tuple[int, dict[int, int]]] = []  # node, and the offset asked for of each partition
        self.batches_max = 1000
        self.now_s = 0.0

    def connect(self, broker: Broker) -> "Connection":
        if broker.port in self.down:
            raise ConnectionRefusedError("refused")
        return Connection(self, broker.port)

    def answer(self, node: int, body: bytes) -> bytes:
        wanted = wanted_of(body)
        self.asked.append((node, wanted))
        left, out = self.batches_max, b""
        for number, offset in wanted.items():
            error = self.errors.get(number, 0) or (NOT_LEADER if self.leaders[number] != node else 0)
            count = 0 if error else min(left, max(0, self.ends[number] - offset))
            left -= count
            data = b"".join(batch(number, offset + at) for at in range(count))
            out += struct.pack(">ihqqq", number, error, self.ends[number], self.ends[number], 0)
            out += b"\1" + struct.pack(">i", -1) + unsigned(len(data) + 1) + data + b"\0"
        topic = b"\2t" + unsigned(len(wanted) + 1) + out + b"\0"
        return b"\0" + struct.pack(">ihi", 0, 0, 0) + b"\2" + topic + b"\0"

    def metadata(self) -> bytes:
        out = struct.pack(">ii", 0, 2) + b"".join(
            struct.pack(">ih", node, 1) + b"h" + struct.pack(">ih", node, -1) for node in (1, 2)
        )
        out += struct.pack(">hii", -1, 1, 1) + struct.pack(">hh", 0, 1) + b"t" + struct.pack(">?i", False, 2)
        for number, leader in (self.believed or self.leaders).items():
            out += struct.pack(">hiiiiii", 0, number, leader, 5, 0, 0, 0)
        return out + struct.pack(">ii", 0, 0)


class Connection:
    """To one of them. Its answer is there as soon as the request is sent."""

    def __init__(self, brokers: Brokers, node: int) -> None:
        self.waiting = False
        self.progress = (0, 0)
        self._brokers, self._node = brokers, node
        self._answer = b""
        self._reading, self._writing = os.pipe()

    def fileno(self) -> int:
        return self._reading

    def send(self, api: int, body: bytes) -> None:
        if self._node in self._brokers.down:
            raise BrokenPipeError("gone")
        assert api == FETCH
        assert not self.waiting
        self._answer, self.waiting = self._brokers.answer(self._node, body), True
        os.write(self._writing, b"x")

    def receive(self) -> Reader:
        os.read(self._reading, 1)
        if self._node in self._brokers.down:
            raise ConnectionResetError("gone")
        self.waiting = False
        return Reader(memoryview(self._answer))

    def ask(self, _api: int, _body: bytes) -> Reader:
        return Reader(memoryview(self._brokers.metadata()))

    def close(self) -> None:
        os.close(self._reading)
        os.close(self._writing)


def batch(number: int, offset: int) -> bytes:
    record = WireRecord(b"k", b"%d-%d" % (number, offset), (), 1_700_000_000_000)
    return Made(offset, [record], epoch=5).encode()


def unsigned(number: int) -> bytes:
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80]) + unsigned(number >> 7)


def wanted_of(body: bytes) -> dict[int, int]:
    """Read a request for topic `t`: behind the head, one topic of a one-letter name, its partitions."""
    at = struct.calcsize(">iiiibii") + 3
    found: dict[int, int] = {}
    for _ in range(body[at] - 1):
        number, _, offset = struct.unpack_from(">iiq", body, at + 1)
        found[number] = offset
        at += struct.calcsize(">iiqiqi") + 1
    return found


class Run:
    """A fetcher on these brokers, and what it was told."""

    def __init__(self) -> None:
        self.brokers = Brokers()
        self.warned: list[str] = []
        self.denied: list[TopicPartition] = []
        self.came: list[Arrived] = []
        self.fetcher = Fetcher(
            "h:1,h:2",
            self.brokers.connect,  # type: ignore[arg-type]
            Limits(0, 1 << 20, 1 << 20),
            monotonic=lambda: self.brokers.now_s,
            warn=self.warned.append,
            denied=self.denied.append,
        )

    def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(100):
            self.brokers.now_s += RETRY_S_MAX
            self.fetcher.work(0)
            while (arrived := self.fetcher.take()) is not None:
                self.came.append(arrived)
            if condition():
                return
        raise AssertionError(f"not in 100 rounds; {self.offsets()}, {self.warned}")

    def offsets(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {0: [], 1: []}
        for each in self.came:
            found[each.partition.partition] += [one.base for one in each.batches]
        return found


@pytest.fixture
def run() -> Run:
    made = Run()
    made.fetcher.assign({P0: Start(0), P1: Start(0)})
    return made


def test_each_leader_is_asked_for_its_own(run: Run) -> None:
    """Both brokers' partitions come, each from its leader, and their ends after their records."""
    run.until(lambda: run.offsets() == {0: [0, 1, 2], 1: [0, 1, 2]})
    assert {(node, *wanted) for node, wanted in run.brokers.asked} == {(1, 0), (2, 1)}
    assert [(each.partition, each.end) for each in run.came if each.end is not None] == [(P0, 3), (P1, 3)]


def test_a_leader_that_moves_is_followed(run: Run) -> None:
    """The old one says that it leads no more; the new one is asked from where reading stood. Nothing comes twice."""
    run.until(lambda: run.offsets()[1] == [0, 1, 2])
    run.brokers.believed = {0: 1, 1: 2}  # metadata lag behind for a while
    run.brokers.leaders, run.brokers.ends = {0: 1, 1: 1}, {0: 3, 1: 6}
    with pytest.raises(AssertionError):
        run.until(lambda: run.offsets()[1] == list(range(6)))
    run.brokers.believed = None
    run.until(lambda: run.offsets() == {0: [0, 1, 2], 1: list(range(6))})


def test_a_broker_that_goes_and_comes_back(run: Run) -> None:
    """While it is away the other's partitions flow; afterwards its own go on where they were."""
    run.until(lambda: run.offsets() == {0: [0, 1, 2], 1: [0, 1, 2]})
    run.brokers.down, run.brokers.ends = {2}, {0: 6, 1: 6}
    run.until(lambda: run.offsets()[0] == list(range(6)))
    assert run.offsets()[1] == [0, 1, 2]
    run.brokers.down = set()
    run.until(lambda: run.offsets()[1] == list(range(6)))
    assert any("h:2: gone" in text for text in run.warned)


def test_partitions_take_turns(run: Run) -> None:
    """Where an answer has room for one batch, no partition of a broker waits for the other's end."""
    run.brokers.leaders, run.brokers.batches_max = {0: 1, 1: 1}, 1
    run.brokers.ends = {0: 50, 1: 50}
    run.until(lambda: len(run.offsets()[0]) + len(run.offsets()[1]) >= 20)
    assert abs(len(run.offsets()[0]) - len(run.offsets()[1])) <= 1


def test_what_was_on_its_way_when_reading_was_begun_anew_is_dropped(run: Run) -> None:
    """Neither what has come and was not taken, nor an answer that comes later, is of the new start."""
    run.until(lambda: len(run.brokers.asked) >= 2)
    run.came.clear()
    run.fetcher.assign({P0: Start(1), P1: Start(2)})
    run.fetcher.forget([P1])
    run.until(lambda: any(each.end == 3 for each in run.came))
    assert run.offsets() == {0: [1, 2], 1: []}
    assert P1 not in run.fetcher


def test_a_partition_that_may_not_be_read_holds_up_no_other(run: Run) -> None:
    """It is told, asked for again, and read from where it was once it may be."""
    run.brokers.errors = {1: DENIED}
    run.until(lambda: run.offsets()[0] == [0, 1, 2] and len(run.denied) > 1)
    run.brokers.errors = {}
    run.until(lambda: run.offsets()[1] == [0, 1, 2])
    assert set(run.denied) == {P1}


def test_an_error_that_nobody_knows_ends_the_worker(run: Run) -> None:
    """It is not passed over: the partition, the offset and Kafka's words are told."""
    run.brokers.errors = {1: UNKNOWN_SERVER_ERROR}
    with pytest.raises(SourceError, match="t/1 from offset 0"):
        run.until(lambda: False)


def test_requests_are_those_of_the_protocol() -> None:
    """What stands where, by the published layout: read_committed, epochs, offsets, sizes."""
    body = fetch_request([Wanted(P0, 7, 5, 4), Wanted(P1, 9, -1, -1)], Limits(200, 1000, 500))
    head = struct.unpack_from(">iiiibii", body)
    assert head == (-1, 200, 1, 1000, 1, 0, -1)
    assert wanted_of(body) == {0: 7, 1: 9}
    assert struct.pack(">iiqiqi", 0, 5, 7, 4, -1, 500) in body
    assert body.endswith(b"\1\1\0")


@pytest.mark.parametrize("read", [read_fetch, read_metadata])
def test_an_answer_that_ends_too_early_is_refused(read: Callable[[Reader], object]) -> None:
    """Cut anywhere, it is an error of the protocol, never a wrong answer."""
    brokers = Brokers()
    request = fetch_request([Wanted(P0, 0, -1, -1)], Limits(0, 1, 1))
    whole = brokers.answer(1, request) if read is read_fetch else brokers.metadata()
    read(Reader(memoryview(whole)))
    for size in range(len(whole) - 5):
        with pytest.raises(ProtocolError):
            read(Reader(memoryview(whole[:size])))
