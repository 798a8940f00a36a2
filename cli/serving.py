"""Serves a few pages over HTTP to a person's browser and to Prometheus. The light install has it too.

What it guards against: a web page elsewhere that makes a browser ask 127.0.0.1 under a name of its own (DNS rebinding),
by refusing Host headers that are no IP address, not localhost and not named by whoever runs it; frames and scripts from
elsewhere, by headers; slow, large or many requests, by bounds. It reads no request body, takes GET and HEAD only, and
repeats nothing of a request in an answer.
"""

import http.client
import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import click

from .address import Address, address_of
from .configuration import Decorator, setting_option
from .options import EXIT_USAGE, fail
from .setting_table import SETTINGS

log = logging.getLogger("headrace.serving")

REQUESTS_AT_ONCE_MAX = 32
"""So many pages are made at once; who comes then is told to come again."""
WAITING_MAX = 64
"""So many connections wait for their clients, to send or to read: one more, and the oldest of them is closed."""
REQUEST_TIMEOUT_S = 20.0
"""So long a client may take to send a request, and again to read the answer."""
REQUEST_BYTES_MAX = 32 << 10
BACKLOG = 128
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def parse_address(_context: click.Context, _option: click.Parameter, value: str | None) -> Address | None:
    """Read HOST:PORT, or PORT for 127.0.0.1; port 0 takes a free one. A click callback."""
    if value is None:
        return None
    address = address_of(value)
    if address is None:
        raise click.BadParameter(f"{value!r} is no HOST:PORT, such as 127.0.0.1:9477 or [::1]:9477")
    return address


def listen_option(key: str) -> Decorator:
    """Return the option of a setting that is an address to listen on."""
    flag = SETTINGS[key].flags[0]
    return setting_option(key, flag, f"{flag.strip('-')}_at", callback=parse_address, metavar="HOST:PORT")


allow_host_option = setting_option("http.allow_hosts")


@dataclass(frozen=True)
class Page:
    """What is served under a path: made anew for each request."""

    media_type: str
    body: Callable[[], bytes]


class PageServer(ThreadingHTTPServer):
    """The server. `host_names`: names that a Host header may have beside IP addresses and localhost.

    A connection has a thread, and either waits for its client or has a page made. Both are bounded, so that whoever
    holds connections open only loses them, the oldest first, and never keeps others out.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = BACKLOG

    def __init__(
        self,
        address: Address,
        pages: Mapping[str, Page],
        host_names: Collection[str],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pages = pages
        self.host_names = {name.lower() for name in (*host_names, address.host, "localhost")}
        self.slots = threading.BoundedSemaphore(REQUESTS_AT_ONCE_MAX)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._waiting: dict[socket.socket, float] = {}  # the oldest first
        if ":" in address.host:
            self.address_family = socket.AF_INET6
        super().__init__((address.host, address.port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection in, in a thread of its own."""
        self.waits(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        self.waits_no_more(request)
        super().shutdown_request(request)

    def waits(self, connection: socket.socket) -> None:
        """Note that a connection waits for its client; close the oldest one that does when there are too many."""
        with self._lock:
            self._waiting[connection] = self._monotonic()
            if len(self._waiting) > WAITING_MAX:
                self._end(next(iter(self._waiting)))

    def waits_no_more(self, connection: socket.socket) -> bool:
        """Note that it does not; return whether it had been waiting until now."""
        with self._lock:
            return self._waiting.pop(connection, None) is not None

    def service_actions(self) -> None:
        """End the connections whose clients took too long; called several times a second."""
        with self._lock:
            late = self._monotonic() - REQUEST_TIMEOUT_S
            for connection in [each for each, since in self._waiting.items() if since < late]:
                self._end(connection)

    def _end(self, connection: socket.socket) -> None:
        """Wake the thread of a connection, which then finds that it is at its end."""
        del self._waiting[connection]
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    def allows(self, hosts: Sequence[str]) -> bool:
        """Whether a request's Host headers are one, and that is one of ours."""
        if len(hosts) != 1:
            return False
        name = hosts[0].strip().lower()
        if name.startswith("["):
            name, bracket, port = name[1:].partition("]")
            return bool(bracket) and port[:1] in ("", ":") and _is_ip(name)
        name = name.partition(":")[0]
        return name in self.host_names or _is_ip(name)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that went away is its own business."""


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class _BoundedLines:
    """A request's lines, up to a number of bytes. Raises LineTooLong beyond."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._left = REQUEST_BYTES_MAX

    def readline(self, size: int = -1) -> bytes:
        line: bytes = self._stream.readline(self._left + 1 if size < 0 else min(size, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise http.client.LineTooLong("request")
        return line

    def close(self) -> None:
        self._stream.close()

    @property
    def closed(self) -> bool:
        return bool(self._stream.closed)


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version = "headrace"
    sys_version = ""
    timeout = REQUEST_TIMEOUT_S

    def setup(self) -> None:
        super().setup()
        self.rfile = _BoundedLines(self.rfile)  # type: ignore[assignment]
        self.requestline = self.request_version = self.command = ""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except http.client.LineTooLong:
            self.send_error(431)

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        if not self.server.allows(self.headers.get_all("Host") or []):
            self._send(403, "text/plain", b"this name is not allowed here: start it with --allow-host NAME\n")
            return
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            self._send(404, "text/plain", b"there is no such page\n")
        elif not self.server.waits_no_more(self.connection):
            self.close_connection = True  # it was ended meanwhile, for others
        elif not self.server.slots.acquire(blocking=False):
            self._send(503, "text/plain", b"too many requests at once\n")
        else:
            try:
                body = page.body()
            except Exception:
                log.exception("the page %s cannot be made", self.path.partition("?")[0])
                self._send(500, "text/plain", b"it cannot be shown: the log of the process says why\n")
                return
            finally:
                self.server.slots.release()
            self.server.waits(self.connection)
            self._send(200, page.media_type, body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002 - the base class's: they may hold what the client sent
        self.close_connection = True
        self._send(code, "text/plain", f"{http.client.responses.get(code, 'no')}\n".lower().encode())

    def _send(self, code: int, media_type: str, body: bytes) -> None:
        self.send_response(code)
        for name, value in {**_HEADERS, "Content-Type": media_type, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a scrape every few seconds is no news."""


@contextmanager
def serving(address: Address, pages: Mapping[str, Page], host_names: Collection[str] = ()) -> Iterator[Address]:
    """Serve pages for as long as the block lasts, and yield the address; end the command when it cannot be had."""
    try:
        server = PageServer(address, pages, host_names)
    except OSError as error:
        fail(
            f"cannot listen on {address.host}:{address.port}: {error.strerror or error}; is something else there, or "
            f"is the address another machine's?",
            EXIT_USAGE,
        )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)
    thread.start()
    try:
        yield Address(address.host, server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
