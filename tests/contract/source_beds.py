"""Two Kafkas to hold to one contract: the simulated one, and the real one of the test session."""

import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Protocol
from uuid import uuid4

from confluent_kafka import Producer
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions
from kafka_changes import produce
from servers import Servers
from simulation.group import Group
from simulation.kafka import Partition, SimKafka, Slot
from simulation.scheduler import Scheduler
from simulation.source import SimSource
from worker_slots import wait_until

from headrace.archiver.clock import SystemClock
from headrace.archiver.kafka_source import consumer_config
from headrace.archiver.source import OffsetLost, Reached, Records, Source, SourceEvent, Start, TopicPartition
from headrace.archiver.sources import make_source

WAIT_S = 60.0


class Member:
    """A member of a group and what it was told. Partitions are read from `starts`, or from 0."""

    def __init__(self, make: Callable[["Member"], Source], starts: Mapping[TopicPartition, Start]) -> None:
        self.starts = dict(starts)
        self.held: set[TopicPartition] = set()
        self.calls: list[tuple[str, list[TopicPartition]]] = []
        self.events: list[SourceEvent] = []
        self.source = make(self)

    def assigned(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Start]:
        self.calls.append(("assigned", sorted(partitions)))
        self.held.update(partitions)
        return {partition: self.starts.get(partition, Start(0)) for partition in partitions}

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        self.calls.append(("revoked", sorted(partitions)))
        self.held.difference_update(partitions)

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        self.calls.append(("lost", sorted(partitions)))
        self.held.difference_update(partitions)

    def poll(self) -> None:
        self.events += self.source.poll(1000, 0.1)

    def values(self, partition: int = 0) -> list[tuple[int, bytes | None]]:
        """Return the (offset, value) pairs of a partition that came, in the order in which they came."""
        found: list[tuple[int, bytes | None]] = []
        for event in self.events:
            if isinstance(event, Records):
                columns = (event.batch.column(name).to_pylist() for name in ("partition", "offset", "value"))
                found += [(o, v) for p, o, v in zip(*columns, strict=True) if p == partition]
        return found

    def reached(self) -> list[int]:
        return [event.offset for event in self.events if isinstance(event, Reached)]

    def lost_offsets(self) -> int:
        return sum(isinstance(event, OffsetLost) for event in self.events)


class Bed(Protocol):
    """What a test does to a Kafka."""

    def new_topic(self, partitions: int = 1) -> str: ...

    def write(self, topic: str, values: list[bytes], partition: int = 0) -> None: ...

    def transaction(self, topic: str, values: list[bytes]) -> Callable[[bool], None]:
        """Write in a transaction; return what ends it: commit or abort."""
        ...

    def delete_before(self, topic: str, offset: int) -> None: ...

    def delete_topic(self, topic: str) -> None: ...

    def make_again(self, topic: str) -> None: ...

    def add_partitions(self, topic: str, total: int) -> None: ...

    def member(
        self,
        topic: str,
        group: str = "",
        *,
        instance: str | None = None,
        starts: Mapping[TopicPartition, Start] | None = None,
    ) -> Member: ...

    def give_up_on(self, member: Member) -> None:
        """Have the group give up on a member that goes on to live."""
        ...

    def poll_until(self, condition: Callable[[], bool], what: str, *members: Member) -> None: ...

    def close(self) -> None: ...


class SimBed:
    """The simulated Kafka, without a schedule: calls do at once what they do."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(1)
        self.kafka = SimKafka()
        self.groups: dict[str, Group] = {}
        self._txns = 0

    def new_topic(self, partitions: int = 1) -> str:
        name = f"t{len(self.kafka.incarnations)}"
        self.kafka.create(name, partitions)
        return name

    def _log(self, topic: str, partition: int = 0) -> Partition:
        return self.kafka.topics[topic].partitions[partition]

    def write(self, topic: str, values: list[bytes], partition: int = 0) -> None:
        for value in values:
            self._log(topic, partition).append(Slot(None, value, (), 1))

    def transaction(self, topic: str, values: list[bytes]) -> Callable[[bool], None]:
        self._txns += 1
        txn = self._txns
        for value in values:
            self._log(topic).append(Slot(None, value, (), 1, txn))
        return lambda commit: self._log(topic).decide(txn, commit)

    def delete_before(self, topic: str, offset: int) -> None:
        self._log(topic).retain(offset)

    def delete_topic(self, topic: str) -> None:
        self.kafka.delete(topic)

    def make_again(self, topic: str) -> None:
        self.kafka.create(topic, 1)

    def add_partitions(self, topic: str, total: int) -> None:
        partitions = self.kafka.topics[topic].partitions
        partitions.extend(Partition() for _ in range(total - len(partitions)))
        for group in self.groups.values():
            group.balance()

    def member(
        self,
        topic: str,
        group: str = "",
        *,
        instance: str | None = None,
        starts: Mapping[TopicPartition, Start] | None = None,
    ) -> Member:
        del topic  # the simulated group is subscribed to everything
        joined = self.groups.setdefault(group or f"g{len(self.groups)}", Group(self.kafka, self.scheduler.random))
        return Member(
            lambda member: SimSource(
                self.scheduler, self.kafka, joined, member, instance=instance, on_commit=lambda _offsets: None
            ),
            starts or {},
        )

    def give_up_on(self, member: Member) -> None:
        for group in self.groups.values():
            source = member.source
            if isinstance(source, SimSource) and source.member in group.members:
                group.leave(source.member)

    def poll_until(self, condition: Callable[[], bool], what: str, *members: Member) -> None:
        for _ in range(200):
            if condition():
                return
            for member in members:
                member.poll()
            for group in self.groups.values():
                group.balance()  # a coordinator may do so at any time
        raise AssertionError(f"not in 200 polls: {what}")

    def close(self) -> None:
        """Nothing stays."""


class RealBed:
    """The session's Kafka, and one of the production sources on it."""

    def __init__(self, servers: Servers, reading: str) -> None:
        self._servers = servers
        self._reading = reading
        self._admin = AdminClient({"bootstrap.servers": servers.kafka})
        self._members: list[Member] = []

    def new_topic(self, partitions: int = 1) -> str:
        return self._servers.new_topic(partitions)

    def write(self, topic: str, values: list[bytes], partition: int = 0) -> None:
        produce(self._servers.kafka, topic, values, partition)

    def transaction(self, topic: str, values: list[bytes]) -> Callable[[bool], None]:
        writer = Producer({"bootstrap.servers": self._servers.kafka, "transactional.id": uuid4().hex})
        writer.init_transactions(WAIT_S)
        writer.begin_transaction()
        for value in values:
            writer.produce(topic, value=value, partition=0)
        assert writer.flush(WAIT_S) == 0

        def end(commit: bool) -> None:
            if commit:
                writer.commit_transaction(WAIT_S)
            else:
                writer.abort_transaction(WAIT_S)

        return end

    def delete_before(self, topic: str, offset: int) -> None:
        for future in self._admin.delete_records([KafkaPartition(topic, 0, offset)]).values():
            future.result(timeout=WAIT_S)

    def delete_topic(self, topic: str) -> None:
        self._admin.delete_topics([topic])[topic].result(WAIT_S)
        wait_until(lambda: topic not in self._admin.list_topics(timeout=10).topics, "the topic to be gone")

    def make_again(self, topic: str) -> None:
        self._servers.new_topic(1, name=topic)

    def add_partitions(self, topic: str, total: int) -> None:
        self._admin.create_partitions([NewPartitions(topic, total)])[topic].result(WAIT_S)

    def member(
        self,
        topic: str,
        group: str = "",
        *,
        instance: str | None = None,
        starts: Mapping[TopicPartition, Start] | None = None,
        session_ms: int = 6000,
    ) -> Member:
        config = consumer_config(
            self._servers.kafka,
            f"{group}-{topic}" if group else uuid4().hex,
            instance_id=instance,
            queue_kb_max=4096,
            # As short as the broker lets them be: what takes seconds here is the group, not the source.
            extra={
                "session.timeout.ms": session_ms,
                "heartbeat.interval.ms": 500,
                "max.poll.interval.ms": session_ms,
                "topic.metadata.refresh.interval.ms": 500,
            },
        )
        made = Member(
            lambda member: make_source(
                self._reading,
                config,
                [topic],
                member,
                clock=SystemClock(threading.Event()),
                warn=lambda _text: None,
                random_bytes=os.urandom,
            ),
            starts or {},
        )
        self._members.append(made)
        return made

    def give_up_on(self, member: Member) -> None:
        """It is not polled for longer than max.poll.interval.ms: poll_until() on the others waits for that."""

    def poll_until(self, condition: Callable[[], bool], what: str, *members: Member) -> None:
        until = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < until, f"not in {WAIT_S} s: {what}; {[m.calls for m in members]}"
            for member in members:
                member.poll()

    def close(self) -> None:
        for member in self._members:
            member.source.close()
