"""EventLog over a fake broker: what emit() accepts, numbers, counts and never does."""

import gc
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from fake_producer import HOLD, FakeBroker

from headrace.producer import EventLog
from headrace.producer.process_log import kafka_timestamp_ms
from headrace.schemas import Error, Event, InvalidEvent, Login, Pin
from headrace.schemas.catalog import builtin
from headrace.schemas.frame import decode

NOW_NS = 1_764_000_000_123_456_789
PIN = Pin(user_id=7, pin_id=9, action="SAVE")


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def make(broker: FakeBroker) -> Iterator[Callable[..., EventLog]]:
    """Makes logs over the fake broker, and closes them."""
    made: list[EventLog] = []

    def build(**settings: Any) -> EventLog:
        chosen: dict[str, Any] = {
            "service": "web", "kafka": "x", "host": "h1", "clock_ns": lambda: NOW_NS,
            "make_producer": broker.make_producer, **settings,
        }  # fmt: skip
        log = EventLog(**chosen)
        made.append(log)
        return log

    yield build
    broker.decide = lambda *_: None
    for log in made:
        log.close(1)


def delivered(broker: FakeBroker, topic: str = "pin") -> list[dict[str, Any]]:
    return [decode(value, builtin()) for value in broker.values(topic)]


def test_the_envelope_is_filled_in(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """Id, time, service, host, session and number come from the log; key and timestamp go to Kafka."""
    log = make()
    assert log.emit(PIN)
    assert log.emit(PIN)
    assert log.flush(60)
    first, second = delivered(broker)
    assert first["service"] == "web"
    assert first["host"] == "h1"
    assert first["occurred_at"] == datetime(2025, 11, 24, 16, 0, 0, 123456, UTC)
    assert (first["seq"], second["seq"]) == (1, 2)
    assert first["session_id"] == second["session_id"]
    assert first["event_id"] < second["event_id"]
    assert int.from_bytes(first["event_id"][:6], "big") == NOW_NS // 1_000_000
    assert [(key, timestamp) for topic, key, _, timestamp in broker.log if topic == "pin"] == [
        (b"7", NOW_NS // 1_000_000)
    ] * 2


def test_numbers_count_by_topic(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """seq is 1, 2, 3... in each topic of a session; another log is another session."""
    log = make(topic_prefix="eu.")
    for _ in range(3):
        log.emit(PIN)
        log.emit(Error(level="ERROR", message="no"))
    log.flush()
    assert [event["seq"] for event in delivered(broker, "eu.pin")] == [1, 2, 3]
    assert [event["seq"] for event in delivered(broker, "eu.error")] == [1, 2, 3]
    other = make(topic_prefix="eu.")
    other.emit(PIN)
    other.flush()
    assert delivered(broker, "eu.pin")[3]["session_id"] != delivered(broker, "eu.pin")[0]["session_id"]


def test_one_topic_for_all_types(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """`topic` sends every type to one topic, numbered there."""
    log = make(topic="all")
    log.emit(PIN)
    log.emit(Login(method="SSO", success=True))
    log.flush()
    assert [event["seq"] for event in delivered(broker, "all")] == [1, 2]


def test_time_and_trace_can_be_given(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """An event's own time and trace win; the record's timestamp stays near now, for retention's sake."""
    log = make(trace_id=lambda: b"c" * 16)
    last_year = datetime(2024, 11, 24, tzinfo=UTC)
    log.emit(Pin(user_id=7, pin_id=9, action="SAVE", occurred_at=last_year, trace_id=b"t" * 16))
    log.emit(PIN)
    log.flush()
    given, current = delivered(broker)
    assert (given["occurred_at"], given["trace_id"]) == (last_year, b"t" * 16)
    assert current["trace_id"] == b"c" * 16
    assert [timestamp for topic, _, _, timestamp in broker.log if topic == "pin"] == [NOW_NS // 1_000_000] * 2


@pytest.mark.parametrize(
    ("offset", "kept"),
    [(timedelta(0), True), (timedelta(minutes=-59), True), (timedelta(hours=-2), False), (timedelta(seconds=1), False)],
)
def test_a_records_timestamp_is_the_events_time_unless_far_from_now(offset: timedelta, kept: bool) -> None:
    """Future and long past become now; within the last hour it is when it happened."""
    now = 1_764_000_000_000
    occurred = now + offset // timedelta(milliseconds=1)
    assert kafka_timestamp_ms(occurred, now) == (occurred if kept else now)


def test_nothing_is_made_before_the_first_event(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """A log that is only constructed (in a prefork master) has no thread and no connection."""
    before = threading.active_count()
    log = make()
    assert log.flush(60)
    assert log.counts().accepted == 0
    assert log.close(60)
    assert threading.active_count() == before
    assert broker.producers == []


def test_a_full_queue_drops_counts_and_leaves_a_hole(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """Beyond the bound emit() returns False at once; the number of a refused event is used up."""
    broker.decide = lambda *_: HOLD
    log = make(queue_records_max=3)
    assert [log.emit(PIN) for _ in range(5)] == [True, True, True, False, False]
    counts = log.counts()
    assert (counts.emitted, counts.accepted, counts.queued, counts.dropped) == (5, 3, 3, {"full": 2})
    assert not log.flush(0.01)
    broker.decide = lambda *_: None
    assert log.flush(60)
    assert log.emit(PIN)
    assert log.flush(60)
    assert [event["seq"] for event in delivered(broker)] == [1, 2, 3, 6]


def test_blocking_waits_for_room(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """With when_full="block" nothing is dropped while Kafka takes events within the deadline."""
    log = make(queue_records_max=3, when_full="block")
    assert all(log.emit(PIN) for _ in range(50))
    assert log.flush(60)
    assert [event["seq"] for event in delivered(broker)] == list(range(1, 51))


def test_blocking_ends_at_its_deadline(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """A queue that stays full drops the event after block_s_max."""
    broker.decide = lambda *_: HOLD
    log = make(queue_records_max=1, when_full="block", block_s_max=0.02)
    assert [log.emit(PIN), log.emit(PIN)] == [True, False]
    assert log.counts().dropped == {"full": 1}


WRONG: list[tuple[Callable[[EventLog], bool], str, type[Exception]]] = [
    (lambda log: log.emit("pin"), "not_an_event", TypeError),  # type: ignore[arg-type] # wrong on purpose
    (lambda log: log.emit(None), "not_an_event", TypeError),  # type: ignore[arg-type] # wrong on purpose
    (lambda log: log.emit(int), "not_an_event", TypeError),  # type: ignore[arg-type] # wrong on purpose
    (lambda log: log.emit(Pin, user_id="7", pin_id=9, action="SAVE"), "invalid", InvalidEvent),  # type: ignore[arg-type] # wrong on purpose
    (lambda log: log.emit(Pin, usr_id=7), "invalid", TypeError),  # type: ignore[arg-type] # wrong on purpose
    (lambda log: log.emit(Error(level="ERROR", message="x" * 1001)), "oversize", ValueError),
]


@pytest.mark.parametrize(("call", "reason", "raised"), WRONG)
def test_wrong_events_are_counted_or_raised_when_strict(
    make: Callable[..., EventLog], call: Callable[[EventLog], bool], reason: str, raised: type[Exception]
) -> None:
    """emit() never raises into the app; strict does, for development."""
    log = make(event_bytes_max=1000)
    assert call(log) is False
    assert log.counts().dropped == {reason: 1}
    assert (log.counts().emitted, log.counts().accepted) == (1, 0)
    with pytest.raises(raised):
        call(make(event_bytes_max=1000, strict=True))


def test_an_event_can_be_made_inside_of_emit(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """emit(Pin, ...) is emit(Pin(...)), with errors counted."""
    log = make()
    assert log.emit(Pin, user_id=7, pin_id=9, action="SAVE")
    log.flush()
    assert delivered(broker)[0]["pin_id"] == 9


class Broken(Pin):
    """A class that fails when it is asked for its key."""

    __slots__ = ()

    def kafka_key(self, service: str) -> bytes | None:
        raise RuntimeError(service)


def test_errors_of_other_code_are_counted(make: Callable[..., EventLog]) -> None:
    """What an event class or a tracer raises does not reach the app either."""
    log = make()
    assert not log.emit(Broken(user_id=7, pin_id=9, action="SAVE"))

    def no_trace() -> bytes | None:
        raise RuntimeError

    other = make(trace_id=no_trace)
    assert not other.emit(PIN)
    assert log.counts().dropped == other.counts().dropped == {"internal": 1}
    assert log.emit(PIN)


def test_a_closed_log_refuses(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """close() delivers what was accepted; later events are refused and counted."""
    log = make()
    log.emit(PIN)
    assert log.close(60)
    assert not log.emit(PIN)
    assert log.counts().dropped == {"closed": 1}
    assert log.close(60)
    assert len(delivered(broker)) == 1


def test_a_log_closed_before_its_first_event_refuses(make: Callable[..., EventLog]) -> None:
    """Closed is closed, also when nothing was emitted before."""
    log = make()
    log.close()
    assert not log.emit(PIN)


def test_close_counts_what_it_had_to_leave(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """With Kafka away, close() returns False in time and the loss is counted."""
    broker.decide = lambda *_: HOLD
    log = make()
    for _ in range(3):
        log.emit(PIN)
    started = time.monotonic()
    assert not log.close(0.05)
    assert time.monotonic() - started < 60
    assert log.counts().dropped == {"undelivered": 3}
    assert log.counts().emitted == 3


def test_a_with_block_closes(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """Leaving the block delivers everything."""
    with make() as log:
        log.emit(PIN)
    assert len(delivered(broker)) == 1
    assert not log.emit(PIN)


def test_threads_share_a_log(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """Events of many threads get each number once, arrive in the order of their numbers, and none is missing."""
    log = make()
    go = threading.Barrier(8)

    def work(user: int) -> None:
        go.wait()
        for index in range(500):
            assert log.emit(Pin(user_id=user, pin_id=index, action="SAVE"))

    threads = [threading.Thread(target=work, args=(user,)) for user in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.flush(120)
    events = delivered(broker)
    assert [event["seq"] for event in events] == list(range(1, 4001))
    assert [event["event_id"] for event in events] == sorted(event["event_id"] for event in events)
    for user in range(8):
        assert [event["pin_id"] for event in events if event["user_id"] == user] == list(range(500))


def test_emit_inside_of_emit_by_the_same_thread(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """An emit() that interrupts another one of its thread is accepted, follows it, and deadlocks nothing."""
    log = make()
    inner = iter([True])

    class Nested(Pin):
        __slots__ = ()

        def kafka_key(self, service: str) -> bytes | None:
            if next(inner, False):
                assert log.emit(Error(level="ERROR", message="inner"))
                assert log.emit(Pin(user_id=8, pin_id=9, action="SAVE"))
            return super().kafka_key(service)

    assert log.emit(Nested(user_id=7, pin_id=9, action="SAVE"))
    assert log.flush(60)
    assert [(event["user_id"], event["seq"]) for event in delivered(broker)] == [(7, 1), (8, 2)]
    assert len(delivered(broker, "error")) == 1
    assert log.counts().accepted == 3


def test_signal_handlers_may_emit(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """A handler that emits, fired thousands of times into a busy emit(), neither deadlocks nor loses a count."""
    log = make(queue_records_max=1_000_000)
    fired = 0

    def handler(*_: object) -> None:
        nonlocal fired
        fired += 1
        assert log.emit(Error(level="INFO", message="tick"))

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    try:
        emitted = 0
        while fired < 500:
            assert log.emit(PIN)
            emitted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert log.flush(120)
    assert log.counts().accepted == emitted + fired
    assert [event["seq"] for event in delivered(broker)] == list(range(1, emitted + 1))
    assert [event["seq"] for event in delivered(broker, "error")] == list(range(1, fired + 1))


def test_destructors_and_log_handlers_may_emit(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """__del__ run by the garbage collector, and logging done while emitting, come through."""
    log = make()

    class Tracked:
        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            log.emit(Error(level="INFO", message="collected"))

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            log.emit(Error(level="WARNING", message=record.getMessage()))

    logger = logging.getLogger("test.producer")
    handler = Handler()
    logger.addHandler(handler)
    old = gc.get_threshold()
    gc.set_threshold(5)
    try:
        for index in range(200):
            Tracked()
            log.emit(Pin(user_id=index, pin_id=1, action="SAVE"))
            logger.warning("event %d", index)
    finally:
        gc.set_threshold(*old)
        logger.removeHandler(handler)
    gc.collect()
    assert log.flush(10)
    messages = [event["message"] for event in delivered(broker, "error")]
    assert messages.count("collected") == 200
    assert len(messages) == 400
    assert len(delivered(broker)) == 200


def test_without_a_thread_close_ships(
    make: Callable[..., EventLog], broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late in an interpreter's exit no thread can be started: events are accepted, and close() delivers them itself."""

    def refuse(*_: object) -> int:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr("_thread.start_new_thread", refuse)
    log = make(queue_records_max=2, when_full="block")
    assert all(log.emit(PIN) for _ in range(5))
    assert log.close(60)
    assert len(delivered(broker)) == 5


@pytest.mark.parametrize(
    ("module", "function", "name"),
    [("gevent.monkey", "is_module_patched", "gevent"), ("eventlet.patcher", "is_monkey_patched", "eventlet")],
)
def test_greenlets_in_place_of_threads_are_refused(
    make: Callable[..., EventLog], monkeypatch: pytest.MonkeyPatch, module: str, function: str, name: str
) -> None:
    """A log that would stop the whole process is refused with advice; a library that patched nothing is fine."""
    patched = False
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(**{function: lambda _: patched}))
    make()
    patched = True
    with pytest.raises(ValueError, match=f"{name} has replaced .* gthread"):
        make()


def test_the_trace_id_is_taken_from_opentelemetry(
    make: Callable[..., EventLog], broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the app has imported OpenTelemetry, the current span's trace id is the event's; zero means no trace."""
    current = SimpleNamespace(trace_id=0xABC)
    span = SimpleNamespace(get_span_context=lambda: current)
    fake = SimpleNamespace(get_current_span=lambda: span)
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", fake)
    log = make()
    log.emit(PIN)
    current.trace_id = 0
    log.emit(PIN)
    assert log.flush(60)
    assert [event["trace_id"] for event in delivered(broker)] == [bytes(14) + b"\x0a\xbc", None]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"service": ""}, "service: give the name"),
        ({"kafka": ""}, "kafka: give the bootstrap"),
        ({"topic_prefix": "a b"}, "topic_prefix: 'a b' cannot begin"),
        ({"topic": ""}, "topic: '' cannot be"),
        ({"topic": "a/b"}, "topic: 'a/b' cannot be"),
        ({"when_full": "wait"}, "must be 'drop' or 'block'"),
        ({"queue_records_max": 0}, "at least 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    make: Callable[..., EventLog], settings: dict[str, Any], said: str
) -> None:
    """A wrong setting is told when the log is made, not by lost events."""
    with pytest.raises(ValueError, match=said):
        make(**settings)


def test_from_env(monkeypatch: pytest.MonkeyPatch, broker: FakeBroker) -> None:
    """The environment configures a log; arguments win."""
    monkeypatch.setenv("HEADRACE_SERVICE", "web")
    monkeypatch.setenv("HEADRACE_KAFKA", "b1:9092")
    monkeypatch.setenv("HEADRACE_TOPIC_PREFIX", "eu.")
    monkeypatch.setenv("HEADRACE_STRICT", "1")
    monkeypatch.setenv("HEADRACE_KAFKA_CONFIG", '{"linger.ms": 5}')
    with EventLog.from_env(service="api", make_producer=broker.make_producer) as log:
        with pytest.raises(TypeError):
            log.emit("pin")  # type: ignore[arg-type] # wrong on purpose
        log.emit(PIN)
        assert log.flush(60)
    assert delivered(broker, "eu.pin")[0]["service"] == "api"
    assert broker.producers[0].config["bootstrap.servers"] == "b1:9092"
    assert broker.producers[0].config["linger.ms"] == 5


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"HEADRACE_KAFKA": "x"}, "HEADRACE_SERVICE is not set"),
        ({"HEADRACE_SERVICE": "x"}, "HEADRACE_KAFKA is not set"),
        ({"HEADRACE_SERVICE": "x", "HEADRACE_KAFKA": "x", "HEADRACE_KAFKA_CONFIG": "["}, "must be a JSON object"),
        ({"HEADRACE_SERVICE": "x", "HEADRACE_KAFKA": "x", "HEADRACE_KAFKA_CONFIG": "1"}, "must be a JSON object"),
        ({"HEADRACE_SERVICE": "x", "HEADRACE_KAFKA": "x", "HEADRACE_STATSD": "x:y"}, "StatsD: 'x:y' is no address"),
    ],
)
def test_from_env_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, env: dict[str, str], said: str) -> None:
    """Each variable that is missing or wrong is named."""
    for name in ("SERVICE", "KAFKA", "TOPIC_PREFIX", "STRICT", "SPOOL", "AUDIT", "STATSD", "KAFKA_CONFIG"):
        monkeypatch.delenv(f"HEADRACE_{name}", raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=said):
        EventLog.from_env()


def test_the_kafka_settings_are_those_of_a_careful_producer(make: Callable[..., EventLog], broker: FakeBroker) -> None:
    """Idempotent, all replicas, keys placed as Java's clients do, no timeout of its own; users may override."""
    log = make(kafka_config={"compression.type": "zstd"})
    log.emit(PIN)
    log.flush()
    config = broker.producers[0].config
    assert config["enable.idempotence"] is True
    assert (config["acks"], config["partitioner"]) == ("all", "murmur2_random")
    assert config["delivery.timeout.ms"] == 0  # the shipper keeps the 30 s, see kafka_settings.settled()
    assert config["compression.type"] == "zstd"


def test_events_of_any_class_made_by_generate_are_taken(make: Callable[..., EventLog]) -> None:
    """emit() asks for an Event, not for one of our own types."""
    log = make()
    assert issubclass(Broken, Event)
    assert log.counts().durability == "memory"
