"""Quix Streams' Application with the three places that the monitor needs: each checkpoint, the state, and rebalances.

The engine reads topics in a consumer group, keeps state in RocksDB with a changelog topic, and commits offsets, state
and what was produced in one Kafka transaction. Its own windows close only when a message comes, so that a stream that
stops would never be seen to stop: the monitor's windows are its own (evaluator.py), and this class is all that knows
the engine.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from quixstreams import Application, message_context
from quixstreams.kafka import ConnectionConfig
from quixstreams.models import TopicConfig
from quixstreams.sinks.base import BaseSink
from quixstreams.state.base.state import State

POLL_S = 0.1
SESSION_TIMEOUT_MS = 10_000
"""So long after a worker's death the others take over its partitions."""
_CONSUMER = {"isolation.level": "read_committed", "max.poll.interval.ms": 900_000}  # a new rule's past takes its time
ASSIGNED = Callable[[list[tuple[str, int]]], None]


class _AtCheckpoint(BaseSink):  # type: ignore[misc] # the extra has no types of its own here
    """Called by the engine as the first step of a checkpoint, before state is written and the transaction ends."""

    def __init__(self, call: Callable[[], None]) -> None:
        super().__init__(on_client_connect_success=lambda: None)
        self._call = call

    def flush(self) -> None:
        self._call()

    def add(self, *_record: Any, **_more: Any) -> None:
        """Nothing is sent here record by record."""


class EngineApplication(Application):  # type: ignore[misc] # as above
    """One worker. `at_checkpoint`: called before each commit; what it raises ends the worker, uncommitted.

    `moved`: called when partitions come or go, with those that are assigned then: whatever is in memory belongs to the
    state as it was, and must be read from it again.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        group: str,
        state_folder: Path,
        *,
        commit_interval_s: float,
        at_checkpoint: Callable[[], None],
        moved: ASSIGNED,
    ) -> None:
        connection, extra = _connection(kafka)
        self._moved = moved
        super().__init__(
            connection,
            consumer_group=group,
            auto_offset_reset="earliest",  # positions are committed before the first start; see start_offsets.py
            commit_interval=commit_interval_s,
            consumer_extra_config={"session.timeout.ms": SESSION_TIMEOUT_MS, **extra, **_CONSUMER},
            producer_extra_config={**extra, "compression.type": "lz4", "linger.ms": 5},
            state_dir=state_folder,
            consumer_poll_timeout=POLL_S,
            processing_guarantee="exactly-once",
            loglevel=None,
            # State that is older than what Kafka still has would give wrong numbers: better to say so and end.
            auto_recover_from_source_offset_out_of_range=False,
        )
        self._sink_manager.register(_AtCheckpoint(at_checkpoint))

    def records(self, topic: str, each: Callable[[str, int, bytes | None, int], None]) -> str:
        """Read a source topic: `each` takes topic, partition, value and timestamp (ms). Return its state's name."""
        frame = self.dataframe(self.topic(topic, value_deserializer="bytes"))
        frame.register_store()

        def take(value: bytes | None, _key: object, timestamp: int, _headers: object) -> None:
            each(topic, message_context().partition, value, timestamp)

        frame.update(take, metadata=True)
        return str(frame.stream_id)

    def cells(self, topic: str, config: TopicConfig, each: Callable[[int, str, bytes], None]) -> str:
        """Read the topic of cells, making it if need be: `each` takes partition, rule and message."""
        frame = self.dataframe(self.topic(topic, value_deserializer="bytes", config=config))
        frame.register_store()

        def take(value: bytes, key: bytes, _timestamp: int, _headers: object) -> None:
            each(message_context().partition, key.decode(), value)

        frame.update(take, metadata=True)
        return str(frame.stream_id)

    def state(self, stream: str, partition: int, prefix: str) -> State[Any, Any]:
        """Return the state of a partition under a prefix: what is written is committed with this checkpoint."""
        transaction = self._processing_context.checkpoint.get_store_transaction(stream, partition)
        return transaction.as_state(prefix=prefix.encode())

    def produce(self, topic: str, partition: int, key: bytes, value: bytes) -> None:
        """Send a record in this checkpoint's transaction."""
        self._producer.produce(topic, value, key, partition=partition)

    def _on_assign(self, consumer: Any, topic_partitions: list[Any]) -> None:
        super()._on_assign(consumer, topic_partitions)
        self._moved([(each.topic, each.partition) for each in topic_partitions])

    def _on_revoke(self, consumer: Any, topic_partitions: list[Any]) -> None:
        try:
            super()._on_revoke(consumer, topic_partitions)
        finally:
            self._moved([])

    def _on_lost(self, consumer: Any, topic_partitions: list[Any]) -> None:
        self._moved([])
        super()._on_lost(consumer, topic_partitions)


def topic_config(partitions: int, replicas: int) -> TopicConfig:
    """Return how a topic of the monitor's own is made: its messages matter for a day at most."""
    return TopicConfig(partitions, replicas, extra_config={"retention.ms": "86400000"})


def _connection(kafka: Mapping[str, Any]) -> tuple[ConnectionConfig, dict[str, Any]]:
    """Split librdkafka's settings into what the engine calls the connection, and the rest."""
    logging.getLogger("quixstreams").setLevel(logging.WARNING)
    named = set(ConnectionConfig.model_fields)
    own = {name: value for name, value in kafka.items() if name.replace(".", "_") in named}
    rest = {name: value for name, value in kafka.items() if name not in own}
    return ConnectionConfig.from_librdkafka_dict(own), rest
