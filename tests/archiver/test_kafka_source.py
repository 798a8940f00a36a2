"""The consumer's side of the group: a member that was put out of it does not stay out."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from unittest import mock

import pytest
from odd_s3 import closed_port

from headrace.archiver.group_care import REJOIN_S_MAX
from headrace.archiver.kafka_source import KafkaSource, consumer_config
from headrace.archiver.source import SourceError, Start, TopicPartition


class Clock:
    """Stands where it is put."""

    time_s = 0.0

    def now(self) -> str:
        return "2026-11-23T00:00:00.000000Z"

    def monotonic(self) -> float:
        return self.time_s

    def pause(self, seconds: float) -> None:
        self.time_s += seconds


class Nobody:
    """An assignee that takes whatever comes."""

    def assigned(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Start]:
        return dict.fromkeys(partitions, Start(0))

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        pass

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        pass


@pytest.fixture
def source() -> Iterator[tuple[KafkaSource, Clock]]:
    """A source whose Kafka is away."""
    clock = Clock()
    with closed_port() as port:
        config = consumer_config(f"127.0.0.1:{port}", "g", instance_id=None, queue_kb_max=1024)
        config["log_level"] = 0
        made = KafkaSource(config, ["t"], Nobody(), clock=clock, warn=lambda _text: None)
        yield made, clock
        with suppress(SourceError):
            made.close()


def test_a_member_that_does_not_come_back_into_its_group_ends(source: tuple[KafkaSource, Clock]) -> None:
    """After its partitions were lost and none given for a while, poll() says so instead of waiting for ever."""
    made, clock = source
    made._on_lost(mock.Mock(), [])
    clock.time_s = REJOIN_S_MAX
    assert made.poll(10, 0) == []
    clock.time_s += 1
    with pytest.raises(SourceError, match="has not joined again"):
        made.poll(10, 0)


def test_a_member_that_came_back_goes_on(source: tuple[KafkaSource, Clock]) -> None:
    """An assignment ends the wait, also one of no partitions."""
    made, clock = source
    made._on_lost(mock.Mock(), [])
    made._on_assign(mock.Mock(), [])
    clock.time_s = 10 * REJOIN_S_MAX
    assert made.poll(10, 0) == []
