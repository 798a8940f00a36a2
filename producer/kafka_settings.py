"""What the event log asks of librdkafka, and the one place where a producer is made."""

import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Producer

IN_FLIGHT_RECORDS_MAX = 20_000


def _worth_telling(line: logging.LogRecord) -> bool:
    """Drop what librdkafka tries again by itself at once: asking for a producer id at the very moment at which it
    changes from a bootstrap address to the broker's own. An app without a logging set-up would find it on stderr."""
    text = line.getMessage()
    return not ("Failed to acquire idempotence PID" in text and "retrying" in text)


_logger = logging.getLogger("headrace.producer.librdkafka")
_logger.addFilter(_worth_telling)


def connect(config: Mapping[str, Any]) -> Producer:
    """Make a producer; raise KafkaException for settings that librdkafka refuses."""
    return Producer(dict(config))


def producer_config(service: str, kafka: str) -> dict[str, Any]:
    """Return librdkafka's settings: idempotent, keys where Java's clients put them, failing early and often."""
    return {
        "bootstrap.servers": kafka,
        "client.id": f"headrace-{service}",
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",
        "linger.ms": 20,
        "compression.type": "lz4",
        # A topic that is missing is parked and tried again, so there is no need to hope for it for 30 s.
        "topic.metadata.propagation.max.ms": 5_000,
        # Failing after 30 s only starts a new producer; the default of 300 s would hide an outage for as long.
        "delivery.timeout.ms": 30_000,
        "allow.auto.create.topics": False,
        "queue.buffering.max.messages": 2 * IN_FLIGHT_RECORDS_MAX,
        "queue.buffering.max.kbytes": 64 << 10,
        "logger": _logger,
    }
