"""The logging.Handler: what becomes of error records, and that it never harms the code that logs."""

import logging
import logging.config
import logging.handlers
import queue
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from fake_producer import FakeBroker

from headrace.producer import EventLog
from headrace.producer.logging_handler import ErrorEventHandler
from headrace.schemas import Error, Event
from headrace.schemas.catalog import builtin
from headrace.schemas.frame import decode


class Kept:
    """Keeps what it is given to emit, and calls what a test wants to happen inside of emit()."""

    def __init__(self) -> None:
        self.events: list[Error] = []
        self.inside: Callable[[], object] = lambda: None
        self.accepts = True

    def emit(self, event: Event, /) -> bool:
        self.inside()
        if self.accepts and isinstance(event, Error):
            self.events.append(event)
        return self.accepts


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def app() -> logging.Logger:
    """The app's logger, apart from everybody else's and out of the sight of pytest's handlers."""
    return logging.Logger("shop.checkout")  # noqa: LOG001 - on purpose: getLogger() would give it a parent


def attach(app: logging.Logger, kept: Kept, **settings: Any) -> ErrorEventHandler:
    handler = ErrorEventHandler(kept, **settings)
    app.addHandler(handler)
    return handler


class PaymentError(Exception):
    pass


def pay(amount: int) -> None:
    raise PaymentError(f"no cover for {amount}")


def test_an_exception_becomes_an_error_event(app: logging.Logger, kept: Kept) -> None:
    """Level, message, class, stack, fingerprint, logger and the fields of `extra` are in the event."""
    attach(app, kept)
    try:
        pay(5)
    except PaymentError:
        app.exception("order %d failed", 17, extra={"user_id": 7, "path": "/orders"})
    (event,) = kept.events
    assert (event.level, event.message, event.logger) == ("ERROR", "order 17 failed", "shop.checkout")
    assert event.exception_type == f"{__name__}.PaymentError"
    assert (event.user_id, event.path) == (7, "/orders")
    assert event.stack is not None
    assert event.stack.startswith("Traceback (most recent call last):\n")
    assert event.stack.endswith("PaymentError: no cover for 5\n")
    assert "in pay\n" in event.stack
    assert event.fingerprint is not None
    assert len(event.fingerprint) == 16
    assert event.occurred_at is not None


def test_records_below_the_level_are_left_alone(app: logging.Logger, kept: Kept) -> None:
    """Error and worse by default; another level by argument, as a number or a name."""
    attach(app, kept)
    app.warning("hm")
    app.error("no")
    app.critical("help")
    assert [event.level for event in kept.events] == ["ERROR", "CRITICAL"]
    attach(app, kept, level="WARNING")
    app.warning("hm")
    assert [event.level for event in kept.events[2:]] == ["WARNING"]


def fingerprint_of(source: str, amount: int, name: str = "shop.code") -> str:
    """The fingerprint of what a piece of source code raises, as if it were a module."""
    kept = Kept()
    space: dict[str, Any] = {"__name__": name}
    exec(compile(source, "/srv/releases/7/shop.py", "exec"), space)
    try:
        space["run"](amount)
    except (ArithmeticError, LookupError, ValueError):
        error = sys.exc_info()
        ErrorEventHandler(kept).emit(logging.LogRecord("shop", logging.ERROR, "x", 1, "failed", (), error))
    (event,) = kept.events
    assert event.fingerprint is not None
    return event.fingerprint


SOURCE = "def run(n):\n    check(n)\n\ndef check(n):\n    raise ValueError(f'bad {n}')\n"


def test_fingerprints_survive_what_changes_without_the_error_changing() -> None:
    """Other lines, other values and another depth of recursion are the same error; another function or class is not."""
    same = fingerprint_of(SOURCE, 1)
    assert fingerprint_of(SOURCE, 2) == same
    assert fingerprint_of("# a comment\n\n\n" + SOURCE.replace("\n    check", "\n\n    check"), 1) == same
    assert fingerprint_of(SOURCE.replace("check", "verify"), 1) != same
    assert fingerprint_of(SOURCE.replace("ValueError", "KeyError"), 1) != same
    assert fingerprint_of(SOURCE, 1, name="shop.other") != same
    deep = "def run(n):\n    return 1 / n if n == 0 else run(n - 1)\n"
    assert fingerprint_of(deep, 3) == fingerprint_of(deep, 30)
    caused = SOURCE.replace("raise", "1 / 0\n    raise")
    chained = "def run(n):\n    try:\n        1 / 0\n    except Exception as e:\n        raise ValueError(n) {}\n"
    assert fingerprint_of(caused, 1) != same
    assert fingerprint_of(chained.format("from e"), 1) == fingerprint_of(chained.format(""), 1)
    assert fingerprint_of(chained.format("from None"), 1) != fingerprint_of(chained.format(""), 1)


def test_messages_without_an_exception_are_told_apart_by_their_template(app: logging.Logger, kept: Kept) -> None:
    """The arguments of a message do not count, the message does; a fingerprint that is given wins."""
    attach(app, kept)
    for name in ("a", "b"):
        app.error("cannot reach %s", name)
    app.error("cannot read")
    app.error("cannot read", extra={"fingerprint": "mine"})
    prints = [event.fingerprint for event in kept.events]
    assert prints[0] == prints[1] != prints[2]
    assert prints[3] == "mine"
    assert kept.events[0].stack is None


def test_long_messages_and_stacks_are_cut(app: logging.Logger, kept: Kept) -> None:
    """What is left out is told; of a stack the end stays, where the error is."""
    attach(app, kept, message_chars_max=100, stack_chars_max=1000)
    try:
        raise ValueError("begin" + "x" * 10_000 + "end of it")
    except ValueError:
        app.exception("y" * 1000)
    (event,) = kept.events
    assert len(event.message) == 100
    assert "characters left out" in event.message
    assert event.stack is not None
    assert len(event.stack) <= 1000
    assert event.stack.startswith("Traceback (most")
    assert event.stack.endswith("xend of it\n")


def endless() -> None:
    endless()


def test_a_recursion_error_is_an_event_too(app: logging.Logger, kept: Kept) -> None:
    """A stack of a thousand frames is told shortly."""
    attach(app, kept)
    try:
        endless()
    except RecursionError:
        app.exception("too deep")
    (event,) = kept.events
    assert event.stack is not None
    assert "Previous line repeated" in event.stack


class Odd:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "log",
    [
        lambda app: app.error("%d", "x"),
        lambda app: app.error("%s", Odd()),
        lambda app: app.error(Odd()),
        lambda app: app.error("x", extra={"user_id": "7", "path": 5, "fingerprint": 7}),
        lambda app: app.error("x", extra={"user_id": 2**70}),
        lambda app: app.error("lone \udc80"),
        lambda app: app.error("lone", extra={"path": "\udc80"}),
        lambda app: app.error("x", exc_info=ValueError(Odd())),
        lambda app: app.error("x", exc_info=(None, None, None)),
        lambda app: app.error("x", stack_info=True),
    ],
)
def test_odd_records_never_raise(
    app: logging.Logger, kept: Kept, log: Callable[[logging.Logger], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is logged becomes an event; the code that logs sees no exception, and stderr no traceback."""
    handler = attach(app, kept)
    log(app)
    assert (len(kept.events), handler.failed) == (1, 0)
    assert capsys.readouterr().err == ""


def test_a_log_that_refuses_or_raises_is_counted(app: logging.Logger, kept: Kept) -> None:
    """emit() that says False, or raises because the log is strict, does not reach the app."""
    handler = attach(app, kept)
    kept.accepts = False
    app.error("no")

    def strict() -> None:
        raise ValueError("strict")

    kept.inside = strict
    app.error("no")
    assert handler.failed == 2


def test_it_does_not_answer_to_itself(app: logging.Logger, kept: Kept) -> None:
    """A record logged while one is handled, and headrace's own records, make no event: nothing can go in circles."""
    handler = attach(app, kept)
    kept.inside = lambda: app.error("logged inside of emit()")
    app.error("outer")
    assert [event.message for event in kept.events] == ["outer"]
    kept.inside = lambda: None
    for name in ("headrace", "headrace.producer", "headrace.producer.librdkafka"):
        handler.handle(logging.LogRecord(name, logging.ERROR, "x", 1, "ours", (), None))
    handler.handle(logging.LogRecord("headraces", logging.ERROR, "x", 1, "not ours", (), None))
    assert [event.message for event in kept.events] == ["outer", "not ours"]


def test_other_threads_are_not_kept_waiting(app: logging.Logger, kept: Kept) -> None:
    """A record that is being handled holds no lock: another thread's is handled meanwhile."""
    attach(app, kept)
    entered, may_leave = threading.Event(), threading.Event()

    def slow() -> None:
        if threading.current_thread() is thread:
            entered.set()
            assert may_leave.wait(180)

    kept.inside = slow
    thread = threading.Thread(target=lambda: app.error("slow"))
    thread.start()
    assert entered.wait(180)
    app.error("quick")
    assert [event.message for event in kept.events] == ["quick"]
    may_leave.set()
    thread.join()
    assert [event.message for event in kept.events] == ["quick", "slow"]


def test_a_flood_of_one_error_is_bounded(app: logging.Logger, kept: Kept) -> None:
    """per_minute_max holds for each fingerprint by itself, and again in the next minute."""
    now = SimpleNamespace(s=0.0)
    handler = attach(app, kept, per_minute_max=2, monotonic=lambda: now.s)
    for _ in range(5):
        app.error("the same")
    app.error("another")
    assert [event.message for event in kept.events] == ["the same", "the same", "another"]
    assert handler.suppressed == 3
    now.s = 60.0
    app.error("the same")
    assert [event.message for event in kept.events][3:] == ["the same"]


def test_the_bounds_memory_is_bounded(app: logging.Logger, kept: Kept) -> None:
    """However many different errors there are, a thousand are remembered."""
    handler = attach(app, kept, per_minute_max=1)
    for number in range(1500):
        app.error("x", extra={"fingerprint": str(number)})
    assert len(kept.events) == 1500
    assert len(handler._windows) == 1000


def test_what_came_through_a_queue_keeps_its_stack(kept: Kept) -> None:
    """QueueHandler turns the exception into text: class and function are gone then, the stack is not."""
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    try:
        pay(1)
    except PaymentError:
        record = logging.LogRecord("shop", logging.ERROR, "x", 1, "failed", (), sys.exc_info())
        logging.handlers.QueueHandler(waiting).handle(record)
    ErrorEventHandler(kept).handle(waiting.get())
    (event,) = kept.events
    assert "PaymentError: no cover for 1" in f"{event.stack}{event.message}"


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"log": None}, TypeError, "ext://"),
        ({"per_minute_max": 0}, ValueError, "at least 1"),
        ({"stack_chars_max": 0}, ValueError, "at least 1"),
        ({"level": "LOUD"}, ValueError, "LOUD"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    kept: Kept, settings: dict[str, Any], error: type[Exception], said: str
) -> None:
    """A wrong argument is told when the handler is made, not in silence later."""
    with pytest.raises(error, match=said):
        ErrorEventHandler(**{"log": kept, **settings})


def test_it_works_from_a_logging_config(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dictConfig names the class and the app's EventLog; the event gets to Kafka as any other."""
    broker = FakeBroker()
    log = EventLog(service="web", kafka="x", make_producer=broker.make_producer)
    module = SimpleNamespace(log=log)
    monkeypatch.setitem(sys.modules, "an_app", module)
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {
            "events": {
                "class": "headrace.producer.logging_handler.ErrorEventHandler",
                "level": "ERROR",
                "log": "ext://an_app.log",
                "per_minute_max": 100,
            }
        },
        "loggers": {"an_app": {"handlers": ["events"], "propagate": False}},
    }
    logging.config.dictConfig(config)
    try:
        logging.getLogger("an_app").error("no")
        assert log.close(60)
    finally:
        logging.getLogger("an_app").handlers.clear()
    (event,) = [decode(value, builtin()) for value in broker.values("error")]
    assert (event["message"], event["logger"], event["service"]) == ("no", "an_app", "web")
