"""What can be said of a partition that is silent: only what was read to its end is past a time."""

import json
from collections.abc import Collection, Mapping

import pytest
from confluent_kafka import Producer
from monitor_kit import S
from servers import Servers

from headrace.monitor.live_run import MonitorUnusable, begin, partitions_of
from headrace.monitor.ticks import KafkaEnds, Place, Ticker, tick_message

NOW = 1_000 * S


class Partitions:
    """Partitions as a test says they are: end, what the group has processed, and where only markers follow."""

    def __init__(self, *, end: int, processed: int, markers: bool = False) -> None:
        self.end, self.at, self.markers = end, processed, markers
        self.peeked = 0

    def ends(self, places: Collection[Place]) -> Mapping[Place, int]:
        return dict.fromkeys(places, self.end)

    def processed(self, places: Collection[Place]) -> Mapping[Place, int]:
        return dict.fromkeys(places, self.at)

    def is_end(self, place: Place, offset: int) -> bool:
        assert (place, offset) == (("t", 0), self.at)
        self.peeked += 1
        return self.markers


def looked(partitions: Partitions, times: int = 1) -> dict[Place, int]:
    ticker = Ticker(partitions, settle_us=2 * S)
    return [ticker.look([("t", 0)], NOW) for _ in range(times)][-1]


def test_a_partition_that_was_processed_to_its_end_is_past_now_less_the_settling() -> None:
    """Also one that is empty, of which nothing was ever committed."""
    assert looked(Partitions(end=7, processed=7)) == {("t", 0): NOW - 2 * S}
    assert looked(Partitions(end=0, processed=-1001)) == {("t", 0): NOW - 2 * S}


def test_nothing_is_said_of_a_partition_that_holds_something_unread() -> None:
    """However long it stands: a worker may be down, and its records are not late because of that."""
    assert looked(Partitions(end=9, processed=7), times=5) == {}
    assert looked(Partitions(end=9, processed=-1001), times=5) == {}


def test_markers_of_transactions_behind_the_last_record_are_nothing_unread() -> None:
    """The end lies behind them, the position before: it is looked whether a record follows, once it stands still."""
    partitions = Partitions(end=9, processed=7, markers=True)
    assert looked(partitions) == {}
    assert partitions.peeked == 0
    assert looked(partitions, times=2) == {("t", 0): NOW - 2 * S}


def test_a_tick_is_read_as_it_was_sent() -> None:
    """Partition numbers are keys of a JSON object."""
    assert json.loads(tick_message(3, {0: 5, 2: 6})) == {"tick": {"0": 5, "2": 6}, "partitions": 3}


@pytest.mark.servers
def test_real_kafka_is_asked_the_same(servers: Servers) -> None:
    """First positions, ends, and markers behind a transaction: as the broker has them."""
    topic, group = servers.new_topic(2), servers.new_prefix()
    kafka = {"bootstrap.servers": servers.kafka}
    producer = Producer({**kafka, "transactional.id": group})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(topic, b"x", partition=0)
    producer.commit_transaction()
    counts, _ = partitions_of(kafka, [topic])
    assert counts == {topic: 2}
    begin(kafka, group, counts, from_start=True)
    ends = KafkaEnds(kafka, group)
    try:
        places = [(topic, 0), (topic, 1)]
        assert ends.ends(places) == {(topic, 0): 2, (topic, 1): 0}
        assert ends.processed(places) == {(topic, 0): 0, (topic, 1): 0}
        assert not ends.is_end((topic, 0), 0)
        assert ends.is_end((topic, 0), 1)
    finally:
        ends.close()


@pytest.mark.servers
def test_a_group_that_has_begun_keeps_its_positions(servers: Servers) -> None:
    """A second start, and one that asks for the oldest, change nothing; a new partition gets a position."""
    topic, group = servers.new_topic(1), servers.new_prefix()
    kafka = {"bootstrap.servers": servers.kafka}
    producer = Producer(kafka)
    producer.produce(topic, b"x")
    producer.flush()
    begin(kafka, group, {topic: 1}, from_start=False)
    begin(kafka, group, {topic: 1}, from_start=True)
    ends = KafkaEnds(kafka, group)
    try:
        assert ends.processed([(topic, 0)]) == {(topic, 0): 1}
    finally:
        ends.close()


@pytest.mark.servers
def test_a_topic_that_is_missing_is_named(servers: Servers) -> None:
    """With what to do about it."""
    with pytest.raises(MonitorUnusable, match="Kafka has no topic no-such-topic, or this user may not see it"):
        partitions_of({"bootstrap.servers": servers.kafka}, ["no-such-topic"])
