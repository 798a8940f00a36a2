"""A real fatal error: a real Kafka refuses an idempotent producer's next batch for good, and its instance is finished.

The trigger: one batch written by hand in the producer's name, with its id, its epoch and the next sequence numbers.
What the producer then sends is out of order for the broker, which librdkafka can't mend and calls fatal. The Python
client then raises it from poll(), and does not call error_cb.
"""

import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from kafka_oracle import read_topic
from kafka_wire import WireRecord, produce_on_the_wire
from servers import Servers
from topic_events import until

from headrace.producer import EventLog
from headrace.producer.kafka_settings import connect
from headrace.schemas import Pin
from headrace.schemas.catalog import builtin
from headrace.schemas.frame import decode

pytestmark = pytest.mark.servers

STOLEN = 7001
"""More than any batch of the test holds: one of the same numbers would pass for a batch that was sent twice."""


def producer_of(kafka: str, topic: str) -> tuple[int, int, int]:
    """Return producer id, epoch and next sequence number, as the first batch of partition 0 has them."""
    body = struct.pack(">hhihiiiib", 1, 4, 1, -1, -1, 5000, 1, 1 << 20, 0)  # Fetch version 4
    body += struct.pack(">ih", 1, len(topic)) + topic.encode() + struct.pack(">iiqi", 1, 0, 0, 1 << 20)
    host, _, port = kafka.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=15) as connection, connection.makefile("rb") as answer:
        connection.sendall(struct.pack(">i", len(body)) + body)
        data = answer.read(struct.unpack(">i", answer.read(4))[0])
    at = data.index(topic.encode()) + len(topic) + 4 + 4 + 2 + 8 + 8
    aborted = struct.unpack_from(">i", data, at)[0]
    batch = data[at + 4 + max(aborted, 0) * 16 + 4 :]
    identity, epoch, sequence, count = struct.unpack_from(">qhii", batch, 43)
    return identity, epoch, sequence + count


@pytest.mark.parametrize("where", ["memory", "spool"])
def test_a_fatal_error_costs_nothing_but_the_producer(servers: Servers, tmp_path: Path, where: str) -> None:
    """librdkafka reports a fatal error; a new producer, with an id of its own, takes over: every event arrives once, in
    order, and no loss is counted."""
    topic = servers.new_topic()
    made: list[Any] = []

    def watched(config: Mapping[str, Any]) -> Any:
        made.append(connect(config))
        return made[-1]

    spool = tmp_path if where == "spool" else None
    with EventLog(service="web", kafka=servers.kafka, topic=topic, spool=spool, make_producer=watched) as log:
        assert log.emit(Pin(user_id=1, pin_id=0, action="SAVE"))
        assert log.flush(120)
        identity = producer_of(servers.kafka, topic)
        thief = [WireRecord(None, b"thief")] * STOLEN
        produce_on_the_wire(servers.kafka, topic, 0, thief, producer=identity)
        for number in range(1, 5001):
            assert log.emit(Pin(user_id=1, pin_id=number, action="SAVE"))
        until(lambda: log.counts().restarts > 0)
        assert log.flush(60), log.counts()
        counts = log.counts()
    assert "FATAL,code=OUT_OF_ORDER_SEQUENCE_NUMBER" in (counts.last_error or "")
    assert len(made) == 1 + counts.restarts
    assert (counts.acked, counts.queued, counts.dropped) == (5001, 0, {})
    values = [seen.value or b"" for _, seen in sorted(read_topic(servers.kafka, topic).records.items())]
    assert values[1 : 1 + STOLEN] == [b"thief"] * STOLEN
    pins = [decode(value, builtin())["pin_id"] for value in values if value != b"thief"]
    assert pins == list(range(5001))
