"""The topics that the archiver is measured on: pins of 84 bytes, errors of 2 kB, two schema versions, headers."""

import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from headrace.producer.published import publish
from headrace.schemas import Error, Pin
from headrace.schemas.canonical import fingerprint
from headrace.schemas.event import Envelope
from headrace.schemas.frame import MARKER

PIN_BYTES, ERROR_BYTES = 84, 2048
DAY_US = 86_400_000_000
BELIEVED_DATES = 30  # event times further back are only believed when the broker's timestamps are there, too
ENVELOPE = Envelope(service="web", host="web-host-0001", session_id=os.urandom(16))
HEADERS = [("trace", b"0123456789abcdef"), ("tenant", b"7")]


def _older_pin() -> str:
    schema = json.loads(Pin.SCHEMA)
    schema["fields"] = [field for field in schema["fields"] if field["name"] != "board_id"]
    return json.dumps(schema)


OLDER_PIN = _older_pin()
OLDER_FINGERPRINT = fingerprint(json.loads(OLDER_PIN))


@dataclass(frozen=True)
class Kind:
    """What is in a topic. `per_pin`: so many of them are archived for each pin, since they are larger."""

    name: str
    schemas: dict[bytes, str]
    per_pin: float = 1.0
    headers: bool = False


PIN = Kind("pin", {Pin.FRAME: Pin.SCHEMA})
MIXED = Kind("mixed", {Pin.FRAME: Pin.SCHEMA, MARKER + OLDER_FINGERPRINT: OLDER_PIN})
HEADED = Kind("headers", {Pin.FRAME: Pin.SCHEMA}, headers=True)
ERROR = Kind("error", {Error.FRAME: Error.SCHEMA}, per_pin=0.2)


def values(kind: Kind, events: int, dates: int, first: int = 0) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield (key, value, event time in ms) from event `first` on; the times spread over so many days, up to today."""
    rng = random.Random(events)  # noqa: S311 - the same events each time
    now_us = time.time_ns() // 1000
    words = [f"module_{n:x}.function_{n * 7:x}" for n in range(400)]
    for n in range(first, events):
        at_us = now_us - n % dates * DAY_US
        if kind is ERROR:
            yield b"web", _error(rng, words, n, at_us), at_us // 1000
            continue
        user = 2_000_000 + n * 7919 % 100_003
        pin = Pin(user_id=user, pin_id=200_000_000 + n, action="SAVE")
        value = pin.kafka_value(ENVELOPE, rng.randbytes(16), 2_000_000 + n, at_us, None)
        if n == 0 and len(value) != PIN_BYTES:
            raise RuntimeError(f"a pin has {len(value)} bytes, not {PIN_BYTES}")
        if kind is MIXED and n % 2:
            # The last two bytes are board_id, which the older schema has not, and the action.
            value = MARKER + OLDER_FINGERPRINT + value[10:-2] + value[-1:]
        yield str(user).encode(), value, at_us // 1000


def _error(rng: random.Random, words: list[str], n: int, at_us: int) -> bytes:
    stack = ""
    while len(stack) < ERROR_BYTES - 185:
        stack += f'File "{rng.choice(words)}.py", line {rng.randrange(2000)}\n'
    stack = stack[: ERROR_BYTES - 185]
    error = Error(level="ERROR", message=f"request {n} failed", exception_type="ValueError", stack=stack)
    return error.kafka_value(ENVELOPE, rng.randbytes(16), n, at_us, None)


def make(kafka: str, topic: str, partitions: int) -> None:
    """Make a topic that keeps everything, takes records of up to 2 MiB, and believes any timestamp."""
    admin = AdminClient({"bootstrap.servers": kafka})
    config = {
        "retention.ms": "-1",
        "max.message.bytes": str(2 << 20),
        "message.timestamp.before.max.ms": str(2**63 - 1),
    }
    admin.create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result(60)


def fill(
    kafka: str, topic: str, events: int, *, kind: Kind = PIN, partitions: int = 4, dates: int = 1, first: int = 0
) -> None:
    """Put events from `first` up to `events` into a topic, made for the first; older schemas are published."""
    if not first:
        make(kafka, topic, partitions)
    if kind is MIXED:
        publish(kafka, {OLDER_FINGERPRINT: OLDER_PIN}, timeout_s=30)
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 50, "compression.type": "lz4"})
    more: dict[str, Any] = {"headers": HEADERS} if kind.headers else {}
    for n, (key, value, at_ms) in enumerate(values(kind, events, dates, first)):
        if kind is ERROR or dates > BELIEVED_DATES:
            # By number where the keys would leave partitions empty: errors all have one key.
            more["partition"] = n % partitions
        if dates > BELIEVED_DATES:
            more["timestamp"] = at_ms
        produce(producer, topic, value=value, key=key, **more)
    producer.flush(120)


def produce(producer: Producer, topic: str, **record: Any) -> None:
    """Hand over a record, when there is room for it."""
    while True:
        try:
            producer.produce(topic, **record)
            return
        except BufferError:
            producer.poll(0.1)
