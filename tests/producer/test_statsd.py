"""The StatsD client, against a real UDP socket."""

import math
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from spool_kit import Clock

from headrace.producer.counts import Counts
from headrace.producer.readings import Readings
from headrace.producer.statsd import PACKET_BYTES_MAX, StatsD, packets


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(60)
        yield made


@pytest.fixture
def connect(server: socket.socket) -> Iterator[Callable[..., StatsD]]:
    """Makes clients of the server, and closes them."""
    made: list[StatsD] = []

    def build(**settings: Any) -> StatsD:
        made.append(StatsD(address(server), **settings))
        return made[-1]

    yield build
    for statsd in made:
        statsd.close()


def address(server: socket.socket) -> str:
    return f"127.0.0.1:{server.getsockname()[1]}"


def readings(accepted: int, dropped: int = 0, seconds: float = math.inf) -> Readings:
    counts = Counts(durability="disk", accepted=accepted, dropped={"full": dropped} if dropped else {})
    return Readings(counts, oldest_waiting_s=0.25, spool_bytes=4096, seconds_until_drop={"low": seconds})


def received(server: socket.socket) -> list[str]:
    return server.recv(65536).decode().split("\n")


def test_counters_go_as_what_was_added(server: socket.socket, connect: Callable[..., StatsD]) -> None:
    """The first packet has the whole count, the next what came since, and a counter that stands still is left out."""
    clock = Clock()
    statsd = connect(interval_s=10, monotonic=clock.monotonic)
    statsd.report(readings(7, 2), last=False)
    lines = received(server)
    assert "headrace_producer_accepted:7|c" in lines
    assert "headrace_producer_dropped.full:2|c" in lines
    assert "headrace_producer_oldest_waiting_seconds:0.25|g" in lines
    assert "headrace_producer_durability.disk:1|g" in lines
    clock.seconds += 10
    statsd.report(readings(12, 2), last=False)
    lines = received(server)
    assert "headrace_producer_accepted:5|c" in lines
    assert not any("dropped" in line for line in lines)


def test_it_sends_at_its_interval_and_at_the_end(server: socket.socket, connect: Callable[..., StatsD]) -> None:
    """Between two intervals nothing goes out; the last report does."""
    clock = Clock()
    statsd = connect(interval_s=10, monotonic=clock.monotonic)
    statsd.report(readings(1), last=False)
    received(server)
    clock.seconds += 9
    statsd.report(readings(2), last=False)
    server.setblocking(False)
    with pytest.raises(BlockingIOError):
        server.recv(1)
    server.settimeout(60)
    statsd.report(readings(3), last=True)
    assert "headrace_producer_accepted:2|c" in received(server)


def test_infinity_is_left_out(server: socket.socket, connect: Callable[..., StatsD]) -> None:
    """StatsD knows no infinity: a forecast of never is not sent, a finite one is."""
    clock = Clock()
    statsd = connect(monotonic=clock.monotonic)
    statsd.report(readings(1), last=False)
    assert not any("seconds_until_drop" in line for line in received(server))
    clock.seconds += 60
    statsd.report(readings(1, seconds=12.5), last=False)
    assert "headrace_producer_seconds_until_drop.low:12.5|g" in received(server)


def test_tags_are_dogstatsds(server: socket.socket, connect: Callable[..., StatsD]) -> None:
    """With tags, labels are tags too; what would break a line is replaced."""
    statsd = connect(tags={"service": "web|1"})
    statsd.report(readings(7, 2), last=False)
    lines = received(server)
    assert "headrace_producer_accepted:7|c|#service:web_1" in lines
    assert "headrace_producer_dropped:2|c|#service:web_1,reason:full" in lines


def test_nobody_listening_raises_nothing(server: socket.socket) -> None:
    """Refused packets and unknown names neither raise nor stop it: once somebody listens, it sends again."""
    where = address(server)
    statsd = StatsD(where, interval_s=0)
    server.close()
    for number in range(5):
        statsd.report(readings(number), last=False)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("127.0.0.1", int(where.rpartition(":")[2])))
        again.settimeout(60)
        statsd.report(readings(10), last=False)
        statsd.report(readings(20), last=False)
        assert again.recv(65536)
        statsd.close()
    StatsD("no.such.host.invalid:1", interval_s=0).report(readings(1), last=True)


def test_packets_are_bounded() -> None:
    """Lines fill packets up to the bound and no further; a line longer than a packet is left out."""
    lines = [f"name.{number}:{number}|c" for number in range(1000)]
    made = packets([*lines, "x" * (PACKET_BYTES_MAX + 1)])
    assert max(map(len, made)) <= PACKET_BYTES_MAX
    assert b"\n".join(made).decode().split("\n") == lines


@pytest.mark.parametrize("wrong", ["", ":8125", "host:port", "host:0", "host:70000"])
def test_an_address_that_is_none_is_refused(wrong: str) -> None:
    """A wrong address is told where it is given."""
    with pytest.raises(ValueError, match="no address"):
        StatsD(wrong)
