"""What the event log asks of librdkafka, and what it lets librdkafka say."""

import logging

import pytest

from headrace.producer.kafka_settings import producer_config


def test_what_librdkafka_tries_again_at_once_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A producer id that comes at the second try is no news; other lines are the app's to see."""
    logger = producer_config("web", "x:1")["logger"]
    with caplog.at_level(logging.INFO, logger="headrace.producer"):
        logger.warning("GETPID [web#producer-1] Failed to acquire idempotence PID from broker x:1: _DESTROY: retrying")
        logger.error("FAIL [web#producer-1] x:1: Connect to ipv4#127.0.0.1:1 failed: Connection refused")
    assert [line.getMessage()[:4] for line in caplog.records] == ["FAIL"]
