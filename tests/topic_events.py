"""What tests read back of a topic: decoded events by partition, in order, with a consumer of their own."""

import faulthandler
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from headrace.schemas.catalog import builtin
from headrace.schemas.frame import Decoder


def events_of(kafka: str, topic: str, partitions: int) -> dict[int, list[dict[str, Any]]]:
    """Read a topic of our own events to its end."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": topic, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    decoder, ended = Decoder(builtin()), 0
    found: dict[int, list[dict[str, Any]]] = {partition: [] for partition in range(partitions)}
    while ended < partitions:
        message = consumer.poll(120)
        assert message is not None
        error = message.error()
        if error is None:
            value, partition = message.value(), message.partition()
            assert value is not None
            assert partition is not None
            found[partition].append(decoder.decode(value))
        else:
            assert error.code() == KafkaError._PARTITION_EOF, error
            ended += 1
    consumer.close()
    return found


def check_order(found: dict[int, list[dict[str, Any]]]) -> None:
    """Check that each session's events first came in the order of their numbers, in each partition."""
    for events in found.values():
        sessions: dict[bytes, list[int]] = {}
        for event in events:
            sessions.setdefault(event["session_id"], []).append(event["seq"])
        for seqs in sessions.values():
            first = list(dict.fromkeys(seqs))
            assert first == sorted(first)


def left_in(service: Path) -> list[Path]:
    """What lies in a service's folder, but for what a process that was killed while it made its own left half made.

    Two threads that emit a process's first events at the same moment may each begin to make one: the one that is not
    taken may be half made when the other's events are on disk. It holds none, and is swept after an hour.
    """
    return [path for path in service.iterdir() if not path.name.startswith(".")]


def until(true: Callable[[], bool], timeout_s: float = 180, told: Callable[[], object] = lambda: "") -> None:
    """Wait for a condition; one that does not come about fails with what `told` says, and what each thread was at."""
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            faulthandler.dump_traceback()
            pytest.fail(f"not within {timeout_s} s; {told()}")
        time.sleep(0.02)
