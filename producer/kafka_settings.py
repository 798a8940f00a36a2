"""What the event log asks of librdkafka, and the one place where a producer is made."""

import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Producer

IN_FLIGHT_RECORDS_MAX = 20_000
SINGLY = {"batch.num.messages": 1, "linger.ms": 0, "enable.gapless.guarantee": False}
"""What makes each record a batch of its own, refused or delivered alone: no order depends on it."""
_TIMEOUT_MS = 30_000
_TIMEOUT_NAMES = ("message.timeout.ms", "delivery.timeout.ms")
"""Two names of one setting. We set the second, so that the first, where it is there, is the user's."""


def _worth_telling(line: logging.LogRecord) -> bool:
    """Drop what no app without a logging set-up should find on stderr: what librdkafka tries again by itself at once,
    asking for a producer id at the very moment at which it changes from a bootstrap address to the broker's own; and
    that a setting which we chose is experimental."""
    text = line.getMessage()
    tried_again = "Failed to acquire idempotence PID" in text and "retrying" in text
    return not (tried_again or (text.startswith("CONFWARN") and "enable.gapless.guarantee" in text))


_logger = logging.getLogger("headrace.producer.librdkafka")
_logger.addFilter(_worth_telling)


def connect(config: Mapping[str, Any]) -> Producer:
    """Make a producer; raise KafkaException for settings that librdkafka refuses."""
    return Producer(dict(config))


def settled(config: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    """Return settings with which nothing overtakes what failed, and the seconds after which a delivery has failed.

    For that time is the shipper's to keep: librdkafka would give up what is too old message by message, and send what
    is younger (0 is for ever, as by its convention). And what a broker refuses for good ends the producer, by the
    gapless guarantee, before it sends the batches behind; by default it goes on with those.
    """
    found = {name: value for name, value in config.items() if name not in _TIMEOUT_NAMES} | {"delivery.timeout.ms": 0}
    if str(config.get("enable.idempotence")).lower() == "true":
        found.setdefault("enable.gapless.guarantee", True)
    timeout_ms = float(next((config[name] for name in _TIMEOUT_NAMES if name in config), _TIMEOUT_MS))
    return found, timeout_ms / 1000 or float("inf")


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
        "delivery.timeout.ms": _TIMEOUT_MS,
        "allow.auto.create.topics": False,
        "queue.buffering.max.messages": 2 * IN_FLIGHT_RECORDS_MAX,
        "queue.buffering.max.kbytes": 64 << 10,
        "logger": _logger,
    }
