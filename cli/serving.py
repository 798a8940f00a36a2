"""Serves a few pages over HTTP to a person's browser and to Prometheus. The light install has it too.

What it guards against: a web page elsewhere that makes a browser ask 127.0.0.1 under a name of its own (DNS rebinding),
by refusing Host headers that are no IP address, not localhost and not named by whoever runs it; frames and scripts from
elsewhere, by headers; slow or many clients, by bounds. It reads no request body and takes GET and HEAD only.
"""

import ipaddress
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import click

from .address import Address, address_of
from .configuration import Decorator, setting_option
from .options import EXIT_USAGE, fail
from .setting_table import SETTINGS

REQUESTS_AT_ONCE_MAX = 32
REQUEST_TIMEOUT_S = 20.0
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
    """The server. `host_names`: names that a Host header may have beside IP addresses and localhost."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: Address, pages: Mapping[str, Page], host_names: Collection[str]) -> None:
        self.pages = pages
        self.host_names = {name.lower() for name in (*host_names, address.host, "localhost")}
        self.slots = threading.BoundedSemaphore(REQUESTS_AT_ONCE_MAX)
        if ":" in address.host:
            self.address_family = socket.AF_INET6
        super().__init__((address.host, address.port), _Handler)

    def allows(self, host: str | None) -> bool:
        """Whether a Host header is one of ours."""
        name = (host or "").lower()
        name = name[1:].partition("]")[0] if "]" in name else name.partition(":")[0]
        return name in self.host_names or _is_ip(name)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that went away is its own business."""


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version = "headrace"
    sys_version = ""
    timeout = REQUEST_TIMEOUT_S

    def do_GET(self) -> None:
        self._answer(send_body=True)

    def do_HEAD(self) -> None:
        self._answer(send_body=False)

    def _answer(self, *, send_body: bool) -> None:
        if not self.server.slots.acquire(blocking=False):
            self._send(503, "text/plain", b"too many requests at once\n", send_body=send_body)
            return
        try:
            if not self.server.allows(self.headers.get("Host")):
                text = b"this name is not allowed here: start it with --allow-host NAME\n"
                self._send(403, "text/plain", text, send_body=send_body)
                return
            page = self.server.pages.get(self.path.partition("?")[0])
            if page is None:
                self._send(404, "text/plain", b"there is no such page\n", send_body=send_body)
            else:
                self._send(200, page.media_type, page.body(), send_body=send_body)
        finally:
            self.server.slots.release()

    def _send(self, code: int, media_type: str, body: bytes, *, send_body: bool) -> None:
        self.send_response(code)
        for name, value in {**_HEADERS, "Content-Type": media_type, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if send_body:
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
