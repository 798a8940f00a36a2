"""Audit events of an event log over a fake broker: what they tell, when, and that they tell it without counting."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError
from fake_producer import HOLD, FakeBroker

from headrace.producer import EventLog
from headrace.producer.audited_log import AuditedLog
from headrace.producer.auditing import AuditSettings
from headrace.producer.spool.limits import SpoolLimits
from headrace.schemas import FeedLoad, Pin
from headrace.schemas.catalog import AUDIT_TOPIC, builtin
from headrace.schemas.frame import decode

PIN = Pin(user_id=7, pin_id=9, action="SAVE")
FEED = FeedLoad(kind="HOME", success=True, items=1, latency_ms=1)


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def make(broker: FakeBroker) -> Iterator[Callable[..., EventLog]]:
    """Makes logs over the fake broker, with audit, and closes them."""
    made: list[EventLog] = []

    def build(**settings: Any) -> EventLog:
        chosen: dict[str, Any] = {"service": "web", "kafka": "x", "make_producer": broker.make_producer, "audit": True}
        log = EventLog(**{**chosen, **settings})
        made.append(log)
        return log

    yield build
    broker.decide = lambda *_: None
    for log in made:
        log.close(1)


def audits(broker: FakeBroker, topic: str = "pin") -> list[dict[str, Any]]:
    found = [decode(value, builtin()) for value in broker.values(AUDIT_TOPIC)]
    return [each for each in found if each["about_topic"] == topic]


def lost(*told: dict[str, Any]) -> list[tuple[int, int, str]]:
    return [
        each for one in told for each in zip(one["lost_from"], one["lost_to"], one["lost_reason"], strict=True)
    ]  # fmt: skip


def until(true: Callable[[], bool], timeout_s: float = 180) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("spooled", [False, True])
def test_the_last_account_closes(
    make: Callable[..., EventLog], broker: FakeBroker, tmp_path: Path, *, spooled: bool
) -> None:
    """At close each topic's account tells: so many numbers, all acknowledged, nothing waits. The audit events are in
    no count, and none tells of them."""
    log = make(spool=tmp_path if spooled else None)
    for _ in range(5):
        log.emit(PIN)
    log.emit(FEED)
    assert log.close(60)
    (pins,), (feeds,) = audits(broker), audits(broker, "feed_load")
    assert pins["closed"]
    assert (pins["first_seq"], pins["last_seq"], pins["accepted"], pins["acked"], pins["waiting"]) == (1, 5, 5, 5, 0)
    assert (pins["reporter"], pins["durability"]) == ("OWN", "DISK" if spooled else "MEMORY")
    assert (pins["dropped"], pins["dropped_elsewhere"], lost(pins)) == ({}, {}, [])
    assert pins["about_session"] == pins["session_id"]
    assert feeds["last_seq"] == 1
    assert audits(broker, AUDIT_TOPIC) == []
    counts = log.counts()
    assert (counts.accepted, counts.acked, counts.queued, counts.dropped) == (6, 6, 0, {})
    assert not spooled or list((tmp_path / "web").iterdir()) == []


def test_it_is_off_unless_asked_for(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """Without audit nothing goes to the audit topic."""
    log = make(audit=False)
    log.emit(PIN)
    assert log.close(60)
    assert {topic for topic, *_ in broker.log} == {"pin", "headrace.schemas"}


def test_the_environment_switches_it_on(monkeypatch: pytest.MonkeyPatch, broker: FakeBroker) -> None:
    """HEADRACE_AUDIT=1 is audit=True, and HEADRACE_STATSD names where the metrics go."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(60)
        monkeypatch.setenv("HEADRACE_AUDIT", "1")
        monkeypatch.setenv("HEADRACE_STATSD", f"127.0.0.1:{server.getsockname()[1]}")
        with EventLog.from_env(service="web", kafka="x", make_producer=broker.make_producer) as log:
            log.emit(PIN)
            assert server.recv(65536).startswith(b"headrace_producer_accepted:")
    assert audits(broker)[-1]["closed"]


def test_an_idle_session_says_nothing(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """Accounts come at the interval while numbers change, and not when nothing did: audit events are no reason."""
    log = make(audit=AuditSettings(interval_s=0.01))
    log.emit(PIN)
    until(lambda: bool(audits(broker)) and audits(broker)[-1]["acked"] == 1)
    told = len(audits(broker))
    reported = log._process.reporter  # type: ignore[union-attr] # it has emitted
    for _ in range(5):
        reported.report(last=False)
    assert log.flush(60)
    assert len(audits(broker)) == told
    log.emit(PIN)
    until(lambda: audits(broker)[-1]["last_seq"] == 2)


def test_refused_numbers_are_listed(make: Callable[..., EventLog], broker: FakeBroker, tmp_path: Path) -> None:
    """A full spool's refusals are told of by topic, range and reason, through the full spool itself."""
    broker.decide = lambda *_: HOLD
    log = make(spool=tmp_path, spool_limits=SpoolLimits(bytes_max=1 << 20, free_bytes_min=0))
    while log.emit(PIN):
        pass
    accepted = log.counts().accepted
    for _ in range(9):
        log.emit(PIN)
    log.emit(FEED)
    log.emit(Pin, user_id=7, pin_id=1 << 70, action="SAVE")
    broker.decide = lambda *_: None
    assert log.close(120)
    pins, feeds = audits(broker)[-1], audits(broker, "feed_load")[-1]
    assert pins["last_seq"] == accepted + 10
    assert pins["dropped"] == {"shed": 10}
    assert lost(*audits(broker)) == [(accepted + 1, accepted + 10, "shed")]
    assert lost(feeds) == [(1, 1, "shed")]
    assert pins["dropped_elsewhere"] == {"invalid": 1}


def test_losses_are_told_of_soon(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """Long before the interval is over, what was refused is told of, so that a SIGKILL hides little."""
    broker.decide = lambda topic, _: None if topic == AUDIT_TOPIC else HOLD
    log = make(queue_records_max=3, audit=AuditSettings(interval_s=1e9, losses_s=0.01))
    for _ in range(5):
        log.emit(PIN)
    # The first account may come between the two refusals.
    until(lambda: sum(last - first + 1 for first, last, _ in lost(*audits(broker))) == 2)
    accounts = audits(broker)
    assert {seq: why for first, last, why in lost(*accounts) for seq in (first, last)} == {4: "full", 5: "full"}
    assert [(told["closed"], told["waiting"], told["acked"]) for told in accounts] == [(False, 3, 0)] * len(accounts)


def test_what_kafka_refuses_is_listed(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """An event that the broker refuses for good is lost by number, not acknowledged."""
    bad = Pin(user_id=1, pin_id=666, action="SAVE")
    marked = bad.kafka_value

    def decide(topic: str, value: bytes) -> KafkaError | None:
        return KafkaError(KafkaError.MSG_SIZE_TOO_LARGE) if topic == "pin" and value.endswith(bad._own) else None

    assert marked is not None
    broker.decide = decide
    log = make()
    for event in (PIN, bad, PIN):
        log.emit(event)
    assert log.close(120)
    (told,) = audits(broker)
    assert lost(told) == [(2, 2, "refused")]
    assert (told["accepted"], told["acked"], told["waiting"], told["closed"]) == (3, 2, 0, True)
    assert log.counts().dropped == {"refused": 1}


def test_undelivered_events_of_memory_are_listed(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """Memory that is lost at exit, because a topic is missing, is named by number in the last account."""
    broker.decide = lambda topic, _: KafkaError(KafkaError._UNKNOWN_TOPIC) if topic == "pin" else None
    log = make()
    for _ in range(4):
        log.emit(PIN)
    log.emit(FEED)
    assert not log.close(0.5)
    (pins,), (feeds,) = audits(broker), audits(broker, "feed_load")
    assert lost(pins) == [(1, 4, "undelivered")]
    assert lost(feeds) == []
    assert feeds["acked"] == 1
    assert log.counts().dropped == {"undelivered": 4}


def test_many_ranges_take_several_events(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """Accounts are bounded: more ranges than fit one are told of in several, and none is left out."""
    log = make()
    log.emit(PIN)
    process = log._process
    assert isinstance(process, AuditedLog)
    process.seqs["pin"] = 10_000
    for seq in range(2, 5000, 2):
        process._lost("pin", seq, seq, "full")
    assert log.close(60)
    told = audits(broker)
    assert len(told) == 3
    assert lost(*told) == [(seq, seq, "full") for seq in range(2, 5000, 2)]
