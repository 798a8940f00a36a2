"""What the event log asks of librdkafka, and what it lets librdkafka say."""

import logging

import pytest

from headrace.producer.kafka_settings import connect, producer_config, settled


def test_what_librdkafka_tries_again_at_once_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A producer id that comes at the second try is no news; other lines are the app's to see."""
    logger = producer_config("web", "x:1")["logger"]
    with caplog.at_level(logging.INFO, logger="headrace.producer.librdkafka"):
        logger.warning("GETPID [web#producer-1] Failed to acquire idempotence PID from broker x:1: _DESTROY: retrying")
        logger.warning("CONFWARN [web#producer-1] [thrd:app]: Configuration property enable.gapless.guarantee is ...")
        logger.error("FAIL [web#producer-1] x:1: Connect to ipv4#127.0.0.1:1 failed: Connection refused")
    assert [line.getMessage()[:4] for line in caplog.records] == ["FAIL"]


def test_nothing_overtakes_what_failed() -> None:
    """librdkafka gives up nothing for its age, which is the shipper's to do, and nothing behind a refusal is sent; a
    user's settings count, and who wants no idempotence gets a producer all the same."""
    config, timeout_s = settled(producer_config("web", "x:1"))
    assert (config["delivery.timeout.ms"], config["enable.gapless.guarantee"], timeout_s) == (0, True, 30.0)
    config, timeout_s = settled(producer_config("web", "x:1") | {"message.timeout.ms": "7000"})
    assert (config["delivery.timeout.ms"], "message.timeout.ms" in config, timeout_s) == (0, False, 7.0)
    assert settled({"delivery.timeout.ms": 0})[1] == float("inf")
    plain = settled(producer_config("web", "x:1") | {"enable.idempotence": "false"})[0]
    assert "enable.gapless.guarantee" not in plain
    connect(plain)
