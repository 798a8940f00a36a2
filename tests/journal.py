"""The oracle of the chaos tests: a producer that remembers what Kafka acknowledged, and a comparison with the archive.

It uses plain confluent-kafka, and reads the archive through the committed files alone.
"""

import os
import threading
import time
from typing import Self

from confluent_kafka import KafkaError, Message, Producer

from headrace.archiver.commit_log import read_state
from headrace.archiver.garbage import unreferenced
from headrace.archiver.object_store import ObjectStore
from headrace.archiver.parquet_file import read_file
from headrace.archiver.restore import restore_records
from headrace.schemas import Pin
from headrace.schemas.event import Envelope

Acked = dict[tuple[int, int], bytes]
ACK_TIMEOUT_S = 120.0


class JournalProducer:
    """Produces pin events to a topic in a thread until it is stopped; `acked` maps (partition, offset) to the value."""

    def __init__(self, bootstrap: str, topic: str, *, events_per_s: int) -> None:
        self.acked: Acked = {}
        self.left = 0
        self._topic = topic
        self._events_per_s = events_per_s
        self._producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5})
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop producing and wait until everything is acknowledged."""
        self._stop.set()
        self._thread.join()
        assert self.left == 0, f"{self.left} records were not acknowledged within {ACK_TIMEOUT_S} s"

    def _run(self) -> None:
        seq = 0
        envelope = Envelope(service="journal", host="test", session_id=os.urandom(16))
        while not self._stop.wait(0.05):
            for _ in range(max(1, self._events_per_s // 20)):
                seq += 1
                event = Pin(user_id=seq % 97, pin_id=seq, action="SAVE")
                value = event.kafka_value(envelope, os.urandom(16), seq, time.time_ns() // 1000, None)
                self._producer.produce(self._topic, value=value, key=str(seq % 97), on_delivery=self._delivered)
            self._producer.poll(0)
        self.left = self._producer.flush(ACK_TIMEOUT_S)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        partition, offset, value = message.partition(), message.offset(), message.value()
        if error is None and partition is not None and offset is not None and value is not None:
            self.acked[partition, offset] = value


def archived_to_end(store: ObjectStore, topic: str, acked: Acked) -> bool:
    """Whether the log has passed the last acknowledged record of each partition."""
    state = read_state(store, topic)
    ends: dict[int, int] = {}
    for partition, offset in acked:
        ends[partition] = max(ends.get(partition, 0), offset + 1)
    return all((at := state.newest(p)) is not None and at.next >= end for p, end in ends.items())


def archived_and_clean(store: ObjectStore, topic: str, acked: Acked) -> bool:
    """Whether all is archived, and what killed writers left is gone: a worker does that once it has its partitions."""
    return archived_to_end(store, topic, acked) and not list(unreferenced(store, read_state(store, topic)))


def archived_rows(store: ObjectStore, topic: str) -> list[tuple[int, int, bytes]]:
    """All (partition, offset, value) in the committed data files; the log's invariants are checked by folding it."""
    rows: list[tuple[int, int, bytes]] = []
    for committed in read_state(store, topic).files.values():
        table, footer = read_file(store.get(committed.file.key), sha256=committed.file.sha256, kind=committed.file.kind)
        batch = restore_records(table, footer)
        columns = (batch.column(name).to_pylist() for name in ("partition", "offset", "value"))
        rows.extend(zip(*columns, strict=True))
    return rows


def assert_archived_once(store: ObjectStore, topic: str, acked: Acked) -> None:
    """Every acknowledged record is archived once with its bytes, nothing else is, and no dead object lies about."""
    rows = archived_rows(store, topic)
    found = {(partition, offset): value for partition, offset, value in rows}
    doubled, lost = len(rows) - len(found), acked.keys() - found.keys()
    assert (len(lost), doubled) == (0, 0), f"{len(acked)} acknowledged: {len(lost)} lost, {doubled} doubled"
    assert found == acked
    left_over = list(unreferenced(store, read_state(store, topic)))
    assert not left_over, f"dead objects that plain readers would count: {left_over}"
