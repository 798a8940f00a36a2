"""A producer that keeps a journal of what Kafka acknowledged: the first witness of the chaos oracle.

Plain confluent-kafka. The journal is kept by topic id, since offsets of a topic that was made again begin anew; whoever
makes a topic again has the producer rest meanwhile. Of a value only a hash is kept: a run has millions.
"""

import hashlib
import os
import threading
import time
from array import array
from dataclasses import dataclass, field
from typing import Any, Self

from confluent_kafka import KafkaError, Message, Producer

from headrace.schemas import Pin
from headrace.schemas.event import Envelope

HASH_BYTES = 16
TICK_S = 0.05
FLUSH_TIMEOUT_S = 120.0


def hash_of(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=HASH_BYTES).digest()


@dataclass
class Acked:
    """The acknowledged records of one partition of one topic id."""

    offsets: "array[int]" = field(default_factory=lambda: array("q"))
    hashes: bytearray = field(default_factory=bytearray)

    @property
    def end(self) -> int:
        return max(self.offsets, default=-1) + 1

    def by_offset(self) -> dict[int, bytes]:
        hashes = bytes(self.hashes)
        pieces = (hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES))
        found = dict(zip(self.offsets, pieces, strict=True))
        assert len(found) == len(self.offsets), "Kafka acknowledged one offset twice"
        return found


class JournalProducer:
    """Produces pin events to all partitions of a topic in a thread, at a steady rate, until it is stopped."""

    def __init__(self, bootstrap: str, topic: str, topic_id: str, *, partitions: int, events_per_s: int) -> None:
        self.journal: dict[tuple[str, int], Acked] = {}
        self.failed = 0  # records whose delivery was given up: not acknowledged, perhaps in Kafka
        self._config: dict[str, Any] = {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": 5,
            "message.timeout.ms": 600_000,
            "topic.metadata.refresh.interval.ms": 5_000,
            "log_level": 0,
            "error_cb": lambda _error: None,
        }
        self._topic = topic
        self._partitions = partitions
        self._events_per_s = events_per_s
        self._seq = 0
        self._envelope = Envelope(service="journal", host="test", session_id=os.urandom(16))
        self._lock = threading.Lock()  # held for one tick, or for as long as the producer rests
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal")
        self._begin(topic_id)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def stop(self) -> None:
        """Stop producing and wait until everything is acknowledged."""
        self._stop.set()
        self._thread.join()
        with self._lock:
            self._flush()

    def acknowledged(self) -> int:
        return sum(len(acked.offsets) for acked in self.journal.values())

    def ends(self, topic_id: str) -> dict[int, int]:
        """The end of what is acknowledged of each partition."""
        return {p: acked.end for (of, p), acked in self.journal.items() if of == topic_id}

    def rest(self) -> None:
        """Produce nothing more until go_on(); all that was produced is acknowledged then."""
        self._lock.acquire()
        self._flush()

    def go_on(self, topic_id: str | None = None) -> None:
        """Go on after rest(), with a new topic if one is named. The client is a new one then: it knows ids by name."""
        if topic_id is not None:
            self._begin(topic_id)
        self._lock.release()

    def burst(self, count: int) -> None:
        """While it rests: produce so many events to each partition, and wait until they are acknowledged."""
        self._produce(count * self._partitions)
        self._flush()

    def _begin(self, topic_id: str) -> None:
        self._producer = Producer(self._config)
        self._acked = [self.journal.setdefault((topic_id, p), Acked()) for p in range(self._partitions)]

    def _flush(self) -> None:
        """Wait until all is acknowledged; give up what is not after a while, and go on with a new client.

        A client that has been through some dozens of broker restarts was seen to deliver nothing more. What it is told
        to forget may be in Kafka: `failed` counts it.
        """
        if self._producer.flush(FLUSH_TIMEOUT_S) == 0:
            return
        self._producer.purge()
        left = self._producer.flush(FLUSH_TIMEOUT_S)
        assert left == 0, f"{self._topic}: {left} events could not be given up"
        self._producer = Producer(self._config)

    def _run(self) -> None:
        while not self._stop.wait(TICK_S):
            if self._lock.acquire(timeout=TICK_S):
                try:
                    self._produce(max(1, int(self._events_per_s * TICK_S)))
                finally:
                    self._lock.release()

    def _produce(self, count: int) -> None:
        for _ in range(count):
            self._seq += 1
            seq = self._seq
            event = Pin(user_id=seq % 97, pin_id=seq, action="SAVE")
            value = event.kafka_value(self._envelope, os.urandom(16), seq, time.time_ns() // 1000, None)
            partition = seq % self._partitions
            while True:
                try:
                    self._producer.produce(
                        self._topic,
                        value,
                        str(seq % 97),
                        partition,
                        on_delivery=self._delivered,
                        headers=[("n", b"%d" % seq)],
                    )
                except BufferError:  # Kafka has been away for long
                    self._producer.poll(0.5)
                else:
                    break
        self._producer.poll(0)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        partition, offset, value = message.partition(), message.offset(), message.value()
        if error is not None:
            self.failed += 1
            return
        assert partition is not None
        assert offset is not None
        assert isinstance(value, bytes)
        acked = self._acked[partition]
        acked.offsets.append(offset)
        acked.hashes += hash_of(value)
