"""A partition that a group leaves to nobody is taken on again: on a real broker, with a static member that dies between
the two steps of a cooperative rebalance."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from contract.source_beds import Member
from servers import Servers
from topic_events import until

from headrace.archiver.clock import SystemClock
from headrace.archiver.kafka_source import KafkaSource, consumer_config

pytestmark = pytest.mark.servers

PARTITIONS = 4
DIES_GIVING = """
import os, sys
from confluent_kafka import Consumer
from headrace.archiver.kafka_source import consumer_config

kafka, group, instance = sys.argv[1:]
consumer = Consumer(consumer_config(kafka, group, instance_id=instance, queue_kb_max=1024))
consumer.subscribe(
    [group],
    on_assign=lambda it, partitions: it.incremental_assign(partitions),
    on_revoke=lambda *_: os._exit(9),
)
while True:
    consumer.poll(0.2)
"""


def shares(admin: AdminClient, group: str) -> dict[str, set[int]] | None:
    """Return who has which partitions, by instance; None while the group is not stable, or has no coordinator yet."""
    try:
        found = admin.describe_consumer_groups([group])[group].result()
    except KafkaException:
        return None
    if found.state.name != "STABLE":
        return None
    return {m.group_instance_id: {p.partition for p in m.assignment.topic_partitions} for m in found.members}


@contextmanager
def polling(kafka: str, topic: str, instance: str, warned: list[str], look_s: float) -> Iterator[Member]:
    """A member with the product's source, polled on a thread of its own."""

    def make(member: Member) -> KafkaSource:
        config = consumer_config(kafka, topic, instance_id=instance, queue_kb_max=1024)
        clock = SystemClock(threading.Event())
        return KafkaSource(config, [topic], member, clock=clock, warn=warned.append, look_s=look_s)

    member, ended = Member(make, {}), threading.Event()

    def poll() -> None:
        while not ended.is_set():
            member.poll()

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield member
    finally:
        ended.set()
        thread.join()
        member.source.close()


@pytest.mark.parametrize("look_s", [1.0, 1e6], ids=["looks", "never looks"])
def test_a_partition_that_is_nobodys_is_taken_on_again(servers: Servers, look_s: float) -> None:
    """A member is killed as it gives partitions up, and comes back under its name: without anyone looking they stay
    nobody's (this is Kafka's doing, so the second case says when all of this is not needed any more)."""
    topic, admin = servers.new_topic(partitions=PARTITIONS), AdminClient({"bootstrap.servers": servers.kafka})
    warned: list[str] = []
    every = set(range(PARTITIONS))

    def held() -> set[int]:
        found = shares(admin, topic)
        return every if found is None else set().union(*found.values())

    with ExitStack() as stack:
        dying = stack.enter_context(subprocess.Popen([sys.executable, "-c", DIES_GIVING, servers.kafka, topic, "b"]))
        stack.callback(dying.kill)
        until(lambda: shares(admin, topic) == {"b": every})
        one = stack.enter_context(polling(servers.kafka, topic, "a", warned, look_s))
        assert dying.wait(120) == 9
        two = stack.enter_context(polling(servers.kafka, topic, "b", warned, look_s))
        until(lambda: held() < every, told=lambda: shares(admin, topic))
        if look_s > 1000:
            assert not warned
            return
        until(lambda: {p.partition for p in one.held | two.held} == every, told=lambda: (shares(admin, topic), warned))
        assert not one.held & two.held
        assert len(warned) == 1
        assert "no member of the consumer group reads" in warned[0]
