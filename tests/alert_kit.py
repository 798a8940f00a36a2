"""Alerts for tests: transitions, a record of what was told without Kafka, an HTTP server that notes what it gets."""

import json
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from headrace.monitor.alerts_event import Told
from headrace.monitor.alerts_notifier import Notifier
from headrace.monitor.transition import State, Transition

MINUTE_US = 60_000_000
START_US = 1_795_580_460_000_000  # 2026-11-25T04:21:00Z
WAIT_S = 60.0


def transition(state: State = "firing", minute: int = 0, rule: str = "failed-logins", **changed: Any) -> Transition:
    """A transition decided by the window that ends so many minutes after the start."""
    end_us = START_US + minute * MINUTE_US
    given: dict[str, Any] = {
        "rule": rule, "state": state, "labels": {"service": "web"}, "value": 41.0, "severity": "critical",
        "message": "41 of 50 log-ins failed", "runbook": "https://runbooks.example/logins",
        "window_start_us": end_us - MINUTE_US, "window_end_us": end_us, "at_us": end_us + 5_000_000,
        "expected": (2.0, 9.5), **changed,
    }  # fmt: skip
    return Transition(**given)


class KeptRecord:
    """What remembers what was told, in a list that several tellers may share. `tell` fails while `broken`."""

    def __init__(self, topic: list[Told] | None = None) -> None:
        self.topic: list[Told] = [] if topic is None else topic
        self.read_to = 0
        self.broken: Exception | None = None
        self.closed = False

    def read(self) -> list[Told]:
        found = self.topic[self.read_to :]
        self.read_to = len(self.topic)
        return found

    def tell(self, news: Sequence[Told]) -> None:
        if self.broken:
            raise self.broken
        self.topic.extend(news)

    def close(self) -> None:
        self.closed = True


class KeptNotifier(Notifier):
    """Notes what it is offered, at once; has no thread."""

    def __init__(self) -> None:
        super().__init__("kept")
        self.offered: list[Told] = []
        self.resumed: list[Told] = []

    def offer(self, news: Sequence[Told]) -> None:
        self.offered.extend(news)

    def resume(self, firing: Sequence[Told]) -> None:
        self.resumed.extend(firing)

    def start(self) -> None:
        pass

    def _round(self) -> float | None:
        return None

    def _empty(self) -> bool:
        return True

    def _let_go(self) -> None:
        pass


@dataclass
class Got:
    """A request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """A real HTTP server. `answers`: statuses for the next requests, 200 after them; `held` makes it wait."""

    url: str = ""
    got: list[Got] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    free: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def until(self, count: int) -> list[Got]:
        """Wait for so many requests."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.got) >= count, WAIT_S), self.got
            return list(self.got)


@contextmanager
def receiving(certificate: tuple[Path, Path] | None = None) -> Iterator[Receiver]:
    """Run a receiver on a free port; by TLS with a certificate and its key."""
    receiver = Receiver()
    receiver.free.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.free.wait(WAIT_S)
            with receiver.changed:
                receiver.got.append(Got(self.path, dict(self.headers), body))
                status = receiver.answers.pop(0) if receiver.answers else 200
                receiver.changed.notify_all()
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that refuses the certificate goes away: that is what a test is about."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    receiver.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
    try:
        yield receiver
    finally:
        receiver.free.set()
        server.shutdown()
        server.server_close()


def wait_until(condition: Any) -> None:
    """Wait until something is so."""
    gate, deadline = threading.Event(), WAIT_S
    while not condition():
        assert deadline > 0
        gate.wait(0.01)
        deadline -= 0.01
