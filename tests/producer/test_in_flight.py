"""What is on its way: over the real client, with librdkafka's own mock cluster, to see what the client lets go of."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.producer.in_flight import Group, InFlight
from headrace.producer.kafka_settings import connect
from headrace.producer.record import Record

MOCK = {"bootstrap.servers": "mock:1", "test.mock.num.brokers": 1, "log_level": 0, "linger.ms": 5}


def record(number: int, key: bytes | None = b"k") -> Record:
    return Record("t", key, b"%04d" % number, 0, number, "")


@pytest.fixture
def client() -> Iterator[Any]:
    made = connect(MOCK | {"delivery.report.only.error": True})
    yield made
    made.purge(in_queue=True, in_flight=True, blocking=True)
    made.poll(0)


def handed(client: Any, in_flight: InFlight, count: int, now_s: float = 0.0, topic: str = "t") -> Group:
    """Hand records over as one group, and return it."""
    report = in_flight.open(topic, now_s)
    for number in range(count):
        each = record(number)
        client.produce(topic, each.value, each.key, -1, report, None, 0)
        report.group.places.append((number, each))
    in_flight.close()
    return report.group


def test_a_group_is_settled_once_all_of_it_is_reported(client: Any) -> None:
    """The client keeps what it would call until the last record is reported, and lets go of it then, also when nothing
    failed and it calls nothing. All that acknowledging rests on is this."""
    in_flight = InFlight()
    groups = [handed(client, in_flight, 500) for _ in range(20)]
    gc.collect()
    assert list(in_flight.settled()) == []
    assert in_flight.topics == {"t": 10_000}
    assert client.flush(60) == 0
    assert list(in_flight.settled()) == groups
    assert [group.delivered() for group in groups] == [list(range(500))] * 20
    assert (in_flight.topics, list(in_flight.failures), list(in_flight.settled())) == ({"t": 0}, [], [])


def test_failures_are_told_before_their_group_is_settled() -> None:
    """Records that no broker has are purged: each is reported with its error and content, and none is delivered."""
    client = connect({"bootstrap.servers": "127.0.0.1:9", "log_level": 0, "delivery.report.only.error": True})
    in_flight = InFlight()
    group = handed(client, in_flight, 50)
    client.poll(0.05)
    assert (list(in_flight.settled()), in_flight.topics) == ([], {"t": 50})
    client.purge(in_queue=True, in_flight=True, blocking=True)
    client.poll(0)
    failed = [each.fail(message.key(), message.value()) for each, _error, message in in_flight.failures]
    assert {error.name() for _, error, _ in in_flight.failures} == {"_PURGE_QUEUE"}
    assert failed == group.places
    assert [each.delivered() for each in in_flight.settled()] == [[]]


def test_a_group_that_was_never_handed_over_is_never_settled_as_more() -> None:
    """A group whose every record the client refused is empty: nothing counts as delivered."""
    in_flight = InFlight()
    in_flight.open("t", 0.0)
    in_flight.close()
    assert [group.delivered() for group in in_flight.settled()] == [[]]


def test_only_what_failed_is_left_out() -> None:
    """Records are told apart by key and value; of equal ones each failure takes one."""
    report = InFlight().open("t", 0.0)
    group = report.group
    group.places += [(4, record(1)), (5, record(2)), (6, record(2, None)), (7, record(2)), (8, record(3))]
    found = [group.fail(b"k", b"0002"), group.fail(b"k", b"0002"), group.fail(b"k", b"0002"), group.fail(None, b"0002")]
    assert [None if place is None else place[0] for place in found] == [5, 7, None, 6]
    assert group.delivered() == [4, 8]


def test_what_is_distrusted_is_not_delivered(client: Any) -> None:
    """After a report that may have been lost, nothing counts as delivered that was on its way then, reported or not."""
    in_flight = InFlight()
    handed(client, in_flight, 10)
    assert client.flush(60) == 0
    handed(client, in_flight, 10)
    in_flight.distrust()
    assert client.flush(60) == 0
    assert [group.delivered() for group in in_flight.settled()] == [[], []]


def test_how_long_the_oldest_is_on_its_way(client: Any) -> None:
    """Counted from the oldest moment of which a record is left."""
    in_flight = InFlight()
    assert in_flight.waited_s(5.0) == 0.0
    handed(client, in_flight, 1, now_s=1.0)
    assert in_flight.waited_s(5.0) == 4.0
    assert client.flush(60) == 0
    handed(client, in_flight, 1, now_s=3.0)
    list(in_flight.settled())
    assert in_flight.waited_s(5.0) == 2.0
