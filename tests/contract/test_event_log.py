"""What every event log must do, proved on the recording fake and on the real one over a real Kafka alike.

The real one runs with its queue in memory and with a spool. What the fake cannot have (threads, outages, a full queue)
is in tests/producer.
"""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from team_schemas import classes_of, field, record

from headrace.producer import EventLog
from headrace.producer.pii_keys import FixedKeys, MissingPiiKey
from headrace.producer.testing import RecordingLog
from headrace.producer.topics import create_topic
from headrace.schemas import Error, InvalidEvent, Login, Pin
from headrace.schemas.catalog import builtin
from headrace.schemas.frame import Decoder, MappedTexts

PIN = Pin(user_id=7, pin_id=9, action="SAVE")
KEYS = {"k1": bytes(32)}
Read = list[tuple[bytes | None, dict[str, Any], int]]  # key, fields, timestamp in ms


class Kind:
    """One kind of event log: makes logs, and reads what became of their events."""

    def __init__(self, name: str, folder: Path, kafka: str, order: Any) -> None:
        self.name = name
        self.prefix = f"c{uuid.uuid4().hex[:8]}."
        self.order = order
        self._folder = folder
        self._kafka = kafka
        self._made: list[EventLog] = []
        self._decoder = Decoder(MappedTexts(builtin().texts() | {order.FINGERPRINT: order.SCHEMA}))

    def arguments(self, **settings: Any) -> dict[str, Any]:
        spool = {"spool": self._folder / "spool"} if self.name == "spool" else {}
        return {"service": "web", "kafka": self._kafka, "topic_prefix": self.prefix, "host": "h1", **spool, **settings}

    def topics(self, *names: str) -> None:
        """Make topics of one partition, so that what is in them has one order."""
        if self.name != "fake":
            for name in names:
                assert create_topic(self._kafka, self.prefix + name, 1, timeout_s=20)

    @property
    def kind(self) -> type[EventLog]:
        return RecordingLog if self.name == "fake" else EventLog

    def make(self, **settings: Any) -> EventLog:
        log = self.kind(**self.arguments(**settings))
        self._made.append(log)
        return log

    def close(self) -> None:
        for log in self._made:
            log.close(1)

    def read(self, log: EventLog, topic: str) -> Read:
        """Return what is in a topic, after all was delivered."""
        assert log.flush(30)
        name = self.prefix + topic
        if isinstance(log, RecordingLog):
            found = [(each.key, each.value, each.timestamp_ms) for each in log.logged if each.topic == name]
        else:
            found = list(consumed(self._kafka, name))
        return [(key, self._decoder.decode(value), timestamp) for key, value, timestamp in found]


def consumed(kafka: str, topic: str) -> Iterator[tuple[bytes | None, bytes, int]]:
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": topic, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        while True:
            message = consumer.poll(30)
            assert message is not None
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF
                return
            value = message.value()
            assert value is not None
            yield message.key(), value, message.timestamp()[1]
    finally:
        consumer.close()


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A type with a hashed key and a dropped field."""
    fields = [
        field("email", "string", **{"headrace.pii": "hmac"}),
        field("phone", ["null", "string"], default=None, **{"headrace.pii": "drop"}),
    ]
    return classes_of(tmp_path_factory.mktemp("order"), record(*fields, key="email")).Order


@pytest.fixture(
    params=["fake", pytest.param("memory", marks=pytest.mark.servers), pytest.param("spool", marks=pytest.mark.servers)]
)
def kind(request: pytest.FixtureRequest, tmp_path: Path, order: Any) -> Iterator[Kind]:
    """Each kind of event log."""
    kafka = "recording" if request.param == "fake" else request.getfixturevalue("servers").kafka
    made = Kind(request.param, tmp_path, kafka, order)
    yield made
    made.close()


def test_accepted_events_arrive_with_their_envelope(kind: Kind) -> None:
    """In order, numbered 1, 2, 3... within the topic, with ids that rise, one session, the service and the host."""
    kind.topics("pin", "login")
    log = kind.make()
    before = datetime.now(UTC)
    assert all(log.emit(Pin(user_id=n, pin_id=9, action="SAVE")) for n in range(5))
    assert log.emit(Login(method="SSO", success=True))
    pins = [fields for _, fields, _ in kind.read(log, "pin")]
    assert [(event["user_id"], event["seq"]) for event in pins] == [(n, n + 1) for n in range(5)]
    assert [event["event_id"] for event in pins] == sorted({event["event_id"] for event in pins})
    assert {(event["service"], event["host"], event["trace_id"]) for event in pins} == {("web", "h1", None)}
    assert len({event["session_id"] for event in pins}) == 1
    assert all(before <= event["occurred_at"] <= datetime.now(UTC) for event in pins)
    ((_, login, _),) = kind.read(log, "login")
    assert (login["seq"], login["session_id"]) == (1, pins[0]["session_id"])


def test_keys_and_timestamps(kind: Kind) -> None:
    """The key is the type's, the service, or none; the timestamp is the event's time unless that is far away."""
    kind.topics("pin", "login", "error")
    log = kind.make()
    log.emit(PIN)
    log.emit(Pin(user_id=7, pin_id=9, action="SAVE", occurred_at=datetime(2020, 1, 1, tzinfo=UTC)))
    log.emit(Login(method="SSO", success=True))
    log.emit(Error(level="ERROR", message="no"))
    (first, second) = kind.read(log, "pin")
    assert (first[0], second[0]) == (b"7", b"7")
    assert first[2] == int(first[1]["occurred_at"].timestamp() * 1000)
    assert second[1]["occurred_at"] == datetime(2020, 1, 1, tzinfo=UTC)
    assert second[2] >= first[2]
    assert kind.read(log, "login")[0][0] is None
    assert kind.read(log, "error")[0][0] == b"web"


def test_trace_ids(kind: Kind) -> None:
    """The current trace is taken, unless the event has one of its own."""
    kind.topics("pin")
    log = kind.make(trace_id=lambda: b"c" * 16)
    log.emit(PIN)
    log.emit(Pin(user_id=7, pin_id=9, action="SAVE", trace_id=b"o" * 16))
    assert [fields["trace_id"] for _, fields, _ in kind.read(log, "pin")] == [b"c" * 16, b"o" * 16]


def test_one_topic_for_all(kind: Kind) -> None:
    """`topic` sends every type there, numbered there."""
    kind.topics("all")
    log = kind.make(topic=kind.prefix + "all")
    assert log.emit(PIN)
    assert log.emit(Login, method="SSO", success=True)
    assert [fields["seq"] for _, fields, _ in kind.read(log, "all")] == [1, 2]


WRONG: list[tuple[Callable[[EventLog], bool], str, type[Exception]]] = [
    (lambda log: log.emit("pin"), "not_an_event", TypeError),  # type: ignore[arg-type] # wrong on purpose
    (lambda log: log.emit(int), "not_an_event", TypeError),  # type: ignore[arg-type] # wrong on purpose
    (lambda log: log.emit(Pin, user_id="7", pin_id=9, action="SAVE"), "invalid", InvalidEvent),  # type: ignore[arg-type] # wrong on purpose
    (lambda log: log.emit(Pin, usr_id=7), "invalid", TypeError),  # type: ignore[arg-type] # wrong on purpose
    (lambda log: log.emit(Error(level="ERROR", message="x" * 1001)), "oversize", ValueError),
]


@pytest.mark.parametrize(("call", "reason", "raised"), WRONG, ids=[f"{n}-{each[1]}" for n, each in enumerate(WRONG)])
def test_what_cannot_be_accepted(
    kind: Kind, call: Callable[[EventLog], bool], reason: str, raised: type[Exception]
) -> None:
    """It is counted by its reason and raises nothing; strict raises."""
    log = kind.make(event_bytes_max=1000)
    assert call(log) is False
    counts = log.counts()
    assert (counts.emitted, counts.accepted, counts.dropped) == (1, 0, {reason: 1})
    with pytest.raises(raised):
        call(kind.make(event_bytes_max=1000, strict=True))


def test_personal_fields(kind: Kind) -> None:
    """Hashed before they are queued, the key too; dropped ones are null. Without a key the event is refused."""
    kind.topics("order")
    log = kind.make(pii_keys=KEYS)
    assert log.emit(kind.order(email="a@b.c", phone="5"))
    token = FixedKeys(KEYS).token(b"a@b.c")
    ((key, fields, _),) = kind.read(log, "order")
    assert (key, fields["email"], fields["phone"]) == (token.encode(), token, None)
    without = kind.make()
    assert not without.emit(kind.order(email="a@b.c"))
    assert without.counts().dropped == {"pii_key": 1}
    with pytest.raises(MissingPiiKey):
        kind.make(strict=True).emit(kind.order(email="a@b.c"))


def test_counts_and_closing(kind: Kind) -> None:
    """What was accepted is acknowledged after flush(); a closed log refuses and counts."""
    kind.topics("pin")
    log = kind.make()
    assert log.counts().emitted == 0
    assert log.flush()
    assert [log.emit(PIN) for _ in range(3)] == [True] * 3
    assert log.flush(30)
    counts = log.counts()
    assert (counts.accepted, counts.acked, counts.queued, counts.dropped) == (3, 3, 0, {})
    assert log.close(30)
    assert log.emit(PIN) is False
    assert log.counts().dropped == {"closed": 1}
    assert log.close()


def test_it_is_a_context(kind: Kind) -> None:
    """Leaving the `with` block closes the log."""
    kind.topics("pin")
    with kind.make(close_timeout_s=30.0) as log:
        assert log.emit(PIN)
    assert log.emit(PIN) is False
    assert len(kind.read(log, "pin")) == 1


ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"service": ""}, "service: give the name"),
    ({"kafka": ""}, "kafka: give the bootstrap"),
    ({"topic_prefix": "a b"}, "topic_prefix"),
    ({"topic": "a/b"}, "topic: 'a/b' cannot be"),
    ({"when_full": "wait"}, "must be 'drop' or 'block'"),
    ({"queue_records_max": 0}, "at least 1"),
    ({"pii_keys": {}}, "at least one key"),
    ({"pii_keys": {"k1": b"short"}}, "at least 16"),
]


@pytest.mark.parametrize(("settings", "said"), ARGUMENTS)
def test_arguments_that_cannot_work_are_refused(kind: Kind, settings: dict[str, Any], said: str) -> None:
    """When it is made, with the same words."""
    with pytest.raises(ValueError, match=said):
        kind.make(**settings)


def test_unknown_arguments_are_refused(kind: Kind) -> None:
    """A misspelt argument is not swallowed."""
    with pytest.raises(TypeError, match="pii_key'"):
        kind.make(pii_key=KEYS)


def test_from_env(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings come from the environment, arguments win, and what is missing is named."""
    kind.topics("pin")
    for name in ("SERVICE", "KAFKA", "SPOOL"):
        monkeypatch.delenv(f"HEADRACE_{name}", raising=False)
    with pytest.raises(ValueError, match="HEADRACE_SERVICE is not set"):
        kind.kind.from_env()
    given = kind.arguments()
    monkeypatch.setenv("HEADRACE_SERVICE", "shop")
    monkeypatch.setenv("HEADRACE_KAFKA", given["kafka"])
    monkeypatch.setenv("HEADRACE_TOPIC_PREFIX", kind.prefix)
    if "spool" in given:
        monkeypatch.setenv("HEADRACE_SPOOL", str(given["spool"]))
    with kind.kind.from_env(host="h2", close_timeout_s=30.0) as log:
        assert log.emit(PIN)
    ((_, fields, _),) = kind.read(log, "pin")
    assert (fields["service"], fields["host"]) == ("shop", "h2")
