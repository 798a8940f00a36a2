"""Personal fields on their way through an event log: raw values get nowhere."""

import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_producer import HOLD, FakeBroker
from team_schemas import classes_of, field, record

from headrace.producer import EventLog
from headrace.producer.logging_handler import ErrorEventHandler
from headrace.producer.pii_keys import FixedKeys, MissingPiiKey
from headrace.schemas import InvalidEvent
from headrace.schemas.frame import decode

CANARY = "canary-a7c3f09e"
KEYS = {"k1": bytes(32)}
SIGNUP = record(
    field("email", "string", **{"headrace.pii": "hmac"}),
    field("phone", ["null", "string"], default=None, **{"headrace.pii": "drop"}),
    field("device", ["null", "bytes"], default=None, **{"headrace.pii": "hmac"}),
    field("answers", {"type": "map", "values": "string"}, default={}, **{"headrace.pii": "drop"}),
    field("note", "string", default="", **{"headrace.pii": "none", "headrace.pii_reason": "only to be long"}),
    key="email",
)


def all_bytes(folder: Path) -> bytes:
    """What is in all files of a folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return classes_of(tmp_path_factory.mktemp("signup"), SIGNUP).Order


def fields() -> dict[str, Any]:
    return {
        "email": f"{CANARY}@example.org", "phone": f"+1 {CANARY}", "device": CANARY.encode(),
        "answers": {CANARY: CANARY},
    }  # fmt: skip


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def all_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Every log record of every logger."""
    with caplog.at_level(logging.DEBUG):
        yield caplog


def make(broker: FakeBroker, **settings: Any) -> EventLog:
    chosen: dict[str, Any] = {
        "service": "web", "kafka": "x", "make_producer": broker.make_producer, "pii_keys": KEYS, **settings
    }  # fmt: skip
    return EventLog(**chosen)


def test_no_raw_value_leaves_the_app(
    order: Any, broker: FakeBroker, tmp_path: Path, all_logged: pytest.LogCaptureFixture
) -> None:
    """No canary is in a spool file, dead letter, Kafka record or log line, whatever becomes of the event."""
    spool = tmp_path / "spool"
    broker.decide = lambda *_: HOLD
    with make(broker, spool=spool, close_timeout_s=0.1, event_bytes_max=1000) as log:
        assert log.emit(order(**fields()))
        assert log.emit(order, **fields())
        # None of these can be accepted: of a wrong type, too large, with a name that is none of its fields.
        assert not log.emit(order, **{**fields(), "email": CANARY.encode()})
        assert not log.emit(order, **{**fields(), "phone": 5, "answers": {CANARY: 1}})
        assert not log.emit(order, **{**fields(), "nickname": CANARY})
        assert not log.emit(CANARY)  # type: ignore[arg-type] # wrong on purpose
        assert not log.emit(order(**fields(), note="x" * 2000))
        assert log.counts().dropped == {"invalid": 3, "not_an_event": 1, "oversize": 1}
        spooled = all_bytes(spool)
        assert b"k1:" in spooled
        broker.decide = lambda *_: None
        assert log.flush(60)
    token = FixedKeys(KEYS).token(fields()["email"].encode())
    sent = [(key, value) for topic, key, value, _ in broker.log if topic == "order"]
    assert [key for key, _ in sent] == [token.encode()] * 2
    decoded = [decode(value, {order.FINGERPRINT: order.SCHEMA}) for _, value in sent]
    assert [(event["email"], event["phone"], event["answers"]) for event in decoded] == [(token, None, {})] * 2
    assert decoded[0]["device"] == FixedKeys(KEYS).token(CANARY.encode()).encode()
    # Files that are left after the end are looked at too: those of dead letters are.
    for place in (
        spooled,
        all_bytes(spool),
        repr(broker.log).encode(),
        all_logged.text.encode(),
        repr(log.counts()).encode(),
    ):
        assert CANARY.encode() not in place


def test_without_a_key_the_event_is_refused(order: Any, broker: FakeBroker) -> None:
    """It is counted as `pii_key`; strict raises, without the value. Types without hashed fields go on."""
    log = make(broker, pii_keys=None)
    assert not log.emit(order(**fields()))
    assert log.counts().dropped == {"pii_key": 1}
    assert (log.counts().emitted, log.counts().accepted) == (1, 0)
    with pytest.raises(MissingPiiKey, match="HEADRACE_PII_KEYS") as caught:
        make(broker, pii_keys=None, strict=True).emit(order(**fields()))
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert log.close(60)
    assert broker.values("order") == []


def test_strict_errors_show_no_raw_value(order: Any, broker: FakeBroker) -> None:
    """What strict raises for a personal value that does not fit tells its field and class."""
    log = make(broker, strict=True)
    with pytest.raises(InvalidEvent) as caught:
        log.emit(order, email=[CANARY])
    assert str(caught.value) == "order.email: must be string; the list that was given is personal and not shown"


def test_an_oversize_event_is_judged_by_what_would_be_sent(order: Any, broker: FakeBroker) -> None:
    """A long raw value becomes a short token: the bound is for the latter."""
    log = make(broker, event_bytes_max=200)
    assert log.emit(order(email=CANARY * 100, phone=CANARY * 100))
    assert log.close(60)
    assert len(broker.values("order")) == 1


def test_a_rotated_key_is_used_without_a_restart(order: Any, broker: FakeBroker) -> None:
    """The tokens tell by their key id which of them compare."""

    class Rotating:
        now = FixedKeys(KEYS)

        def token(self, value: bytes) -> str:
            return self.now.token(value)

    keys = Rotating()
    log = make(broker, pii_keys=keys)
    log.emit(order(email="a@b.c"))
    keys.now = FixedKeys({"k2": bytes(31) + b"2", **KEYS})
    log.emit(order(email="a@b.c"))
    assert log.close(60)
    assert [key[:3] for topic, key, _, _ in broker.log if topic == "order" and key] == [b"k1:", b"k2:"]


def test_keys_come_from_the_environment(
    order: Any, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """HEADRACE_PII_KEYS or HEADRACE_PII_KEY_FILE; an argument wins, also the argument None."""
    monkeypatch.setenv("HEADRACE_SERVICE", "web")
    monkeypatch.setenv("HEADRACE_KAFKA", "x")
    path = tmp_path / "keys"
    path.write_text("k7:" + "A" * 43 + "=\n")
    monkeypatch.setenv("HEADRACE_PII_KEY_FILE", str(path))
    with EventLog.from_env(make_producer=broker.make_producer) as log:
        assert log.emit(order(email="a@b.c"))
    with EventLog.from_env(make_producer=broker.make_producer, pii_keys=None) as log:
        assert not log.emit(order(email="a@b.c"))
    assert [key[:3] for topic, key, _, _ in broker.log if topic == "order" and key] == [b"k7:"]


def test_an_event_in_a_log_message_shows_no_raw_value(order: Any, broker: FakeBroker) -> None:
    """An app that logs the event object itself, or an error about it, leaks nothing by that."""
    log = make(broker)
    handler = ErrorEventHandler(log)
    handler.handle(logging.LogRecord("app", logging.ERROR, "x", 1, "cannot use %s", (order(**fields()),), None))
    assert log.close(60)
    assert b"email=<personal>" in broker.values("error")[0]
    assert CANARY.encode() not in broker.values("error")[0]
