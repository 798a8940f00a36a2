"""A broker and its producers for tests, without threads: delivery happens in poll(), as the test decides.

It has what the shipper uses of confluent_kafka.Producer. test_kafka.py proves the same behaviour against a real one.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException

Delivered = Callable[[KafkaError | None, Any], None]
Waiting = tuple[str, bytes | None, bytes, int, Delivered]
HOLD = object()
_HELD_S = 0.001


class FakeBroker:
    """Decides what becomes of each record, and keeps those it took, in order."""

    def __init__(self) -> None:
        self.log: list[tuple[str, bytes | None, bytes, int]] = []
        self.producers: list[FakeProducer] = []
        self.decide: Callable[[str, bytes], KafkaError | object | None] = lambda _topic, _value: None
        self.refuse_produce: Callable[[str, bytes], KafkaError | None] = lambda _topic, _value: None
        self.room = 1_000_000
        self.dead = False
        self.fatal: KafkaError | None = None
        self.fatal_in_wait = False

    def make_producer(self, config: Mapping[str, Any]) -> "FakeProducer":
        """What the shipper calls in place of confluent_kafka.Producer."""
        if self.dead:
            raise KafkaException(KafkaError(KafkaError._INVALID_ARG, "no such setting"))
        producer = FakeProducer(self, config)
        self.producers.append(producer)
        return producer

    def values(self, topic: str) -> list[bytes]:
        return [value for name, _, value, _ in self.log if name == topic]


class FakeMessage:
    """What a report tells of its record."""

    def __init__(self, key: bytes | None, value: bytes) -> None:
        self._key, self._value = key, value

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes:
        return self._value


class FakeProducer:
    """One producer: a queue that poll() delivers in batches, each of one topic, all of a batch or nothing of it."""

    def __init__(self, broker: FakeBroker, config: Mapping[str, Any]) -> None:
        self.config = dict(config)
        self.purged = 0
        self._broker = broker
        self._waiting: list[Waiting] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def produce(  # noqa: PLR0917 - confluent_kafka's
        self,
        topic: str,
        value: bytes,
        key: bytes | None = None,
        partition: int = -1,
        callback: Delivered | None = None,
        on_delivery: Delivered | None = None,
        timestamp: int = 0,
    ) -> None:
        del partition
        report = callback or on_delivery
        assert report is not None
        refusal = self._broker.refuse_produce(topic, value)
        if refusal is not None:
            raise KafkaException(refusal)
        if len(self._waiting) >= self._broker.room:
            raise BufferError("queue full")
        self._waiting.append((topic, key, value, timestamp, report))

    def poll(self, timeout: float) -> int:
        """Deliver what waits. A refusal for good takes its whole batch with it, as brokers do.

        A fatal error is raised once, as confluent_kafka does (test_fatal.py has a real one); `fatal_in_wait`: by a
        call that waits.
        """
        fatal = self._broker.fatal
        if fatal is not None and (timeout > 0 or not self._broker.fatal_in_wait):
            self._broker.fatal = None
            raise KafkaException(fatal)
        waiting, self._waiting = self._waiting, []
        for batch in self._batches(waiting):
            verdicts = [self._broker.decide(topic, value) for topic, _, value, _, _ in batch]
            if any(verdict is HOLD for verdict in verdicts):
                self._waiting += batch
                continue
            failed = next((verdict for verdict in verdicts if verdict is not None), None)
            if failed is None:
                self._broker.log += [each[:4] for each in batch]
            for each in batch:
                self._report(each, failed)  # type: ignore[arg-type] # HOLD was handled above
        if self._waiting and timeout > 0:
            time.sleep(_HELD_S)  # as a real one waits, so that threads of others get on
        return 0

    def _report(self, waiting: Waiting, error: KafkaError | None) -> None:
        """Report as confluent_kafka does: it may be set to tell of failures only, and then lets go of the rest."""
        if error is not None or not self.config.get("delivery.report.only.error"):
            _, key, value, _, report = waiting
            report(error, FakeMessage(key, value))

    def _batches(self, waiting: list[Waiting]) -> list[list[Waiting]]:
        size = int(self.config.get("batch.num.messages", 10_000))
        batches: list[list[Waiting]] = []
        for each in waiting:
            if batches and batches[-1][0][0] == each[0] and len(batches[-1]) < size:
                batches[-1].append(each)
            else:
                batches.append([each])
        return batches

    def purge(self, *, in_queue: bool, in_flight: bool, blocking: bool) -> None:
        del in_queue, in_flight, blocking
        waiting, self._waiting = self._waiting, []
        self.purged += len(waiting)
        for each in waiting:
            self._report(each, KafkaError(KafkaError._PURGE_QUEUE))
