"""The producer's cost in the calling thread, beside the least that encoding takes with fastavro."""

import io
import json
import os
import statistics
import time
from collections.abc import Callable

import fastavro
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from headrace.producer import EventLog
from headrace.schemas import Pin
from headrace.schemas.event import Envelope

EVENTS = 50_000
ROUNDS = 5
PACE_EVENTS = 200  # emitted in a burst, then the shipper gets its turn, as in a server that also does other things


def measure_producer(kafka: str) -> dict[str, float]:
    """Return microseconds for one event, by step."""
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic("pin", 4, 1)])["pin"].result(30)
    schema = fastavro.parse_schema(json.loads(Pin.SCHEMA))
    fields = {
        "event_id": os.urandom(16),
        "occurred_at": 1_700_000_000_000_000,
        "service": "web",
        "host": "web-1",
        "session_id": os.urandom(16),
        "seq": 123_456,
        "trace_id": None,
        **Pin(user_id=7_654_321, pin_id=123_456_789, action="SAVE").as_dict(),
    }
    fields = {name: value for name, value in fields.items() if name in {f["name"] for f in schema["fields"]}}
    fields["trace_id"] = None
    fields["occurred_at"] = 1_700_000_000_000_000

    def with_fastavro() -> None:
        fastavro.schemaless_writer(io.BytesIO(), schema, fields)

    envelope, event_id = Envelope(service="web", host="web-1", session_id=os.urandom(16)), os.urandom(16)

    def made_and_encoded() -> None:
        Pin(user_id=7_654_321, pin_id=123_456_789, action="SAVE").kafka_value(envelope, event_id, 123_456, 1, None)

    times = _emit_times(kafka)
    return {
        "fastavro encodes a dict": _best(with_fastavro),
        "event made, checked and encoded": _best(made_and_encoded),
        "emit() median": statistics.median(times) * 1e6,
        "emit() p99.9": statistics.quantiles(times, n=1000)[-1] * 1e6,
    }


def _best(step: Callable[[], None]) -> float:
    """Microseconds of CPU for one call, the best of several rounds."""
    rounds = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(EVENTS):
            step()
        rounds.append((time.process_time() - begun) / EVENTS * 1e6)
    return min(rounds)


def _emit_times(kafka: str) -> list[float]:
    log = EventLog(service="web", kafka=kafka)
    times = []
    for n in range(EVENTS):
        event = Pin(user_id=n, pin_id=n, action="SAVE")
        begun = time.perf_counter()
        log.emit(event)
        times.append(time.perf_counter() - begun)
        if n % PACE_EVENTS == 0:
            log.flush(timeout_s=0.001)
    log.close(timeout_s=30)
    return times
