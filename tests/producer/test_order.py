"""Order when Kafka comes back at the moment at which a delivery is given up: on a real Kafka, over a proxy."""

import importlib.util
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from servers import Servers
from topic_events import events_of, until

from headrace.producer import EventLog
from headrace.producer.kafka_settings import connect
from headrace.schemas import Pin

pytestmark = pytest.mark.servers

PROXY = Path(__file__).parents[2] / "bench" / "swallowing_proxy.py"
TIMEOUT_S = 4.0
IMPATIENT = {
    "delivery.timeout.ms": int(TIMEOUT_S * 1000),
    "socket.timeout.ms": 1000,
    "reconnect.backoff.max.ms": 100,
}
SCAN_S = 1.5
"""librdkafka looks for messages that are too old once a second."""


class Gate:
    """Makes real producers whose poll() can be held up, as on a machine that gives the shipper no time."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.handed: set[bytes] = set()
        """The values that a producer was given for the topic."""
        self.open, self.held = threading.Event(), threading.Event()
        self.open.set()

    def make_producer(self, config: Mapping[str, Any]) -> "GatedProducer":
        return GatedProducer(self, config)


class GatedProducer:
    """A real producer behind a gate."""

    def __init__(self, gate: Gate, config: Mapping[str, Any]) -> None:
        self._gate = gate
        self._producer = connect(config)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def __len__(self) -> int:
        return len(self._producer)

    def produce(self, topic: str, value: bytes, *more: Any, **named: Any) -> None:
        self._producer.produce(topic, value, *more, **named)
        if topic == self._gate.topic:
            self._gate.handed.add(value)

    def poll(self, timeout: float) -> int:
        if not self._gate.open.is_set():
            self._gate.held.set()
            assert self._gate.open.wait(180)
        return int(self._producer.poll(timeout))


@pytest.fixture
def proxy(servers: Servers) -> Iterator[Any]:
    """The benchmark's proxy, which can drop all packets."""
    spec = importlib.util.spec_from_file_location("swallowing_proxy", PROXY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.SwallowingProxy(servers.kafka)
    yield made
    made.close()


def test_kafka_back_at_the_moment_of_giving_up_changes_no_order(servers: Servers, proxy: Any, tmp_path: Path) -> None:
    """Packets are dropped until the older of two events has waited for longer than the delivery timeout, and the
    younger one has not; meanwhile the shipper gets no time. Neither may overtake the other: librdkafka alone would give
    the older one up, send the younger, and the shipper would send the older one again behind it."""
    gate = Gate(servers.new_topic())
    with EventLog(
        service="web", kafka=proxy.bootstrap, topic=gate.topic, spool=tmp_path, kafka_config=IMPATIENT,
        make_producer=gate.make_producer,
    ) as log:  # fmt: skip

        def emit(number: int) -> None:
            assert log.emit(Pin(user_id=1, pin_id=number, action="SAVE"))
            until(lambda: len(gate.handed) == number + 1)

        emit(0)
        assert log.flush(120)
        proxy.swallow()
        emit(1)
        older = time.monotonic()
        until(lambda: time.monotonic() > older + TIMEOUT_S - 1)
        emit(2)
        gate.open.clear()
        assert gate.held.wait(180)
        until(lambda: time.monotonic() > older + TIMEOUT_S + SCAN_S)
        proxy.heal()
        until(lambda: len(events_of(servers.kafka, gate.topic, 1)[0]) > 1)
        gate.open.set()
        assert log.flush(120), log.counts()
        assert log.counts().dropped == {}
    pins = [event["pin_id"] for event in events_of(servers.kafka, gate.topic, 1)[0]]
    assert list(dict.fromkeys(pins)) == [0, 1, 2]
