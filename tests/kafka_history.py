"""Writes a topic's history the way Kafka can be written: plain, in transactions that interleave, abort and commit, with
deletions in between. Keeps a journal of what was acknowledged where.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from random import Random
from typing import cast
from uuid import uuid4

from confluent_kafka import KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from kafka_oracle import Seen
from record_zoo import ZooRecord

ACK_TIMEOUT_S = 120.0
WRITERS = 3


class TopicHistory:
    """Writes to one topic. `journal`: what was acknowledged and never aborted, by (partition, offset)."""

    def __init__(self, kafka: str, topic: str, partitions: int, rng: Random) -> None:
        self.topic = topic
        self.journal: dict[tuple[int, int], ZooRecord] = {}
        self.aborted: set[tuple[int, int]] = set()
        self._partitions = partitions
        self._rng = rng
        self._kafka = kafka
        self._admin = AdminClient({"bootstrap.servers": kafka})
        self._plain = Producer({"bootstrap.servers": kafka, "enable.idempotence": True, "linger.ms": 2})

    def write(self, records: Iterable[ZooRecord], *, partition: int | None = None) -> None:
        """Write records outside of any transaction, to one partition or to any."""
        acked: list[tuple[Message, ZooRecord]] = []
        for record in records:
            self._produce(self._plain, record, acked, partition)
        self._settle(self._plain)
        self._note(acked)

    def write_in_transactions(self, records: Iterable[ZooRecord], *, abort: float = 0.4) -> None:
        """Let several transactional producers write in turns; each commits, or aborts, after some records."""
        writers = [self._transactional() for _ in range(WRITERS)]
        open_: dict[int, list[tuple[Message, ZooRecord]]] = {}
        for record in records:
            index = self._rng.randrange(WRITERS)
            if index not in open_:
                writers[index].begin_transaction()
                open_[index] = []
            self._produce(writers[index], record, open_[index], None)
            if self._rng.random() < 0.15:
                self._end(writers[index], open_.pop(index), aborting=self._rng.random() < abort)
        for index, acked in open_.items():
            self._end(writers[index], acked, aborting=self._rng.random() < abort)

    def write_transaction(self, records: Iterable[ZooRecord], *, aborting: bool, partition: int) -> None:
        """Write one transaction to one partition, so that it ends with the transaction's marker."""
        writer = self._transactional()
        writer.begin_transaction()
        acked: list[tuple[Message, ZooRecord]] = []
        for record in records:
            self._produce(writer, record, acked, partition)
        self._end(writer, acked, aborting=aborting)

    def delete_before(self, offsets: Mapping[int, int]) -> None:
        """Delete all records of partitions before the given offsets, as retention would."""
        asked = [TopicPartition(self.topic, partition, offset) for partition, offset in offsets.items()]
        for future in self._admin.delete_records(asked).values():
            future.result(timeout=ACK_TIMEOUT_S)

    # -- single steps ------------------------------------------------------------------------------------------------

    def _transactional(self) -> Producer:
        writer = Producer({"bootstrap.servers": self._kafka, "transactional.id": uuid4().hex, "linger.ms": 2})
        writer.init_transactions(ACK_TIMEOUT_S)
        return writer

    def _produce(
        self,
        producer: Producer,
        record: ZooRecord,
        acked: list[tuple[Message, ZooRecord]],
        partition: int | None,
    ) -> None:
        producer.produce(
            self.topic,
            key=record.key,
            value=record.value,
            headers=cast("list[tuple[str, str | bytes | None]]", list(record.headers)),
            timestamp=record.timestamp,
            partition=self._rng.randrange(self._partitions) if partition is None else partition,
            on_delivery=_keeping(acked, record),
        )
        producer.poll(0)

    def _end(self, writer: Producer, acked: list[tuple[Message, ZooRecord]], *, aborting: bool) -> None:
        # An aborting producer drops what it has not sent; only what is in the log is worth aborting.
        self._settle(writer)
        if aborting:
            writer.abort_transaction(ACK_TIMEOUT_S)
            self.aborted.update(_place(message) for message, _ in acked)
        else:
            writer.commit_transaction(ACK_TIMEOUT_S)
            self._note(acked)

    def _note(self, acked: Sequence[tuple[Message, ZooRecord]]) -> None:
        self.journal.update({_place(message): record for message, record in acked})

    def _settle(self, producer: Producer) -> None:
        left = producer.flush(ACK_TIMEOUT_S)
        assert left == 0, f"{left} records to {self.topic} were not acknowledged"


def _keeping(acked: list[tuple[Message, ZooRecord]], record: ZooRecord) -> Callable[[KafkaError | None, Message], None]:
    def delivered(error: KafkaError | None, message: Message) -> None:
        assert error is None, f"Kafka refused {record.what}: {error}"
        acked.append((message, record))

    return delivered


def _place(message: Message) -> tuple[int, int]:
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return partition, offset


def contradictions(journal: Mapping[tuple[int, int], ZooRecord], seen: Iterable[Seen], *, stamped: bool) -> list[str]:
    """Name the visible records that are not what was written there; `stamped`: the broker set their timestamps."""
    found: list[str] = []
    for record in seen:
        written = journal.get((record.partition, record.offset))
        where = f"{record.partition}/{record.offset}"
        if written is None:
            found.append(f"{where}: visible, and never acknowledged as committed")
            continue
        pairs = {
            "key": (written.key, record.key),
            "value": (written.value, record.value),
            "headers": (written.headers, record.headers),
            "timestamp": (record.timestamp if stamped else written.timestamp, record.timestamp),
            "timestamp type": (1 if stamped else 0, record.timestamp_type),
        }
        found += [f"{where} ({written.what}): {name} {a!r} became {b!r}" for name, (a, b) in pairs.items() if a != b]
    return found


def grouped_offsets(places: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    """Return the offsets of each partition, ascending."""
    grouped: dict[int, list[int]] = defaultdict(list)
    for partition, offset in sorted(places):
        grouped[partition].append(offset)
    return grouped


def take(records: Iterable[ZooRecord], count: int) -> list[ZooRecord]:
    """Return the next records of a stream."""
    return list(islice(records, count))
