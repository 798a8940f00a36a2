"""A TCP proxy before the S3 server that breaks single requests in the ways in which networks and stores do.

It knows enough HTTP to tell one request from the next. Faults come in an order that is given, each after so many whole
requests, and hit the next request of their method; `fired` hears of each that did. What a fault does to the store and
what the client hears are two things, and `FAULTS` says both.
"""

import contextlib
import itertools
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Self

UPSTREAM_TIMEOUT_S = 60.0

# Name: (methods, what happens). "Applied": the store did what was asked.
FAULTS = {
    "drop-before": ("PUT GET", "not applied; the connection is reset"),
    "drop-after": ("PUT DELETE", "applied; the connection is reset instead of an answer"),
    "late": ("PUT", "the connection is reset at once, and applied seconds later"),
    "503": ("PUT GET DELETE", "not applied; 503 SlowDown, several times in a row"),
    "500-after": ("PUT", "applied; 500 InternalError"),
    "409": ("PUT", "not applied; 409 ConditionalRequestConflict"),
    "slow": ("PUT GET", "applied; the answer takes seconds"),
    "cut-request": ("PUT", "half of the body is sent, then both connections are reset"),
    "cut-response": ("GET", "half of the body arrives, then the connection is reset"),
}
REFUSALS = {"503": (503, "SlowDown"), "500-after": (500, "InternalError"), "409": (409, "ConditionalRequestConflict")}


@dataclass(frozen=True)
class S3Fault:
    """After `after` whole requests: one fault for the next `times` of a method. `seconds`: how slow or how late."""

    name: str
    method: str
    after: int = 0
    seconds: float = 0.0
    times: int = 1


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True)
class _Answer:
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes

    def encode(self, method: str) -> bytes:
        lines = [f"HTTP/1.1 {self.status} {self.reason}"]
        # The body is whole here, however it was sent. An answer to HEAD keeps the length that it stated.
        dropped = {"transfer-encoding", "connection"} | (set() if method == "HEAD" else {"content-length"})
        lines += [f"{name}: {value}" for name, value in self.headers if name.lower() not in dropped]
        if method != "HEAD" and self.status not in (204, 304):
            lines.append(f"Content-Length: {len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (b"" if method == "HEAD" else self.body)


class S3Proxy:
    """Listens on a port of its own of 127.0.0.1 while the context lasts. `fired(fault)` is called from its threads."""

    def __init__(self, upstream_port: int, fired: Callable[[S3Fault], None] = lambda _: None) -> None:
        self._upstream_port = upstream_port
        self._fired = fired
        self._faults: Iterator[S3Fault] = iter(())
        self._next: S3Fault | None = None
        self._whole = 0  # requests left alone since the last fault
        self._left = 0  # requests that the present fault still hits
        self._lock = threading.Lock()
        self._late: list[threading.Thread] = []
        self._stop = threading.Event()
        self._healed = threading.Event()
        self.server_errors = 0  # 5xx answers of the store itself
        proxy = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                # Clients that are killed leave broken connections behind.
                with contextlib.suppress(OSError, HTTPException, ValueError):
                    proxy._serve(self)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 64

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="s3-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._healed.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def begin(self, faults: Iterable[S3Fault], *, again: bool = True) -> None:
        """Break requests by these faults in their order; `again`: and by the same after the last one."""
        listed = list(faults)
        for fault in listed:
            if fault.method not in FAULTS[fault.name][0].split():
                raise ValueError(f"no fault {fault.name} for {fault.method}")
        with self._lock:
            self._healed = threading.Event()
            self._faults = itertools.cycle(listed) if again else iter(listed)
            self._advance()

    def _advance(self) -> None:
        self._next = next(self._faults, None)
        self._whole, self._left = 0, self._next.times if self._next else 0

    def heal(self) -> None:
        """Break nothing more, let slow answers go, and wait until what is to be applied late has been."""
        with self._lock:
            self._healed.set()
            self._faults = iter(())
            self._next = None
        self.settle()

    def settle(self) -> None:
        """Wait until what is to be applied late has been."""
        for thread in list(self._late):
            thread.join()
            self._late.remove(thread)

    def _take(self, method: str) -> S3Fault | None:
        with self._lock:
            fault = self._next
            if fault is None or fault.method != method or self._whole < fault.after:
                self._whole += 1
                return None
            self._left -= 1
            if self._left <= 0:
                self._advance()
        self._fired(fault)
        return fault

    def _serve(self, client: socketserver.StreamRequestHandler) -> None:
        upstream = HTTPConnection("127.0.0.1", self._upstream_port, timeout=UPSTREAM_TIMEOUT_S)
        try:
            while (request := _read_request(client)) is not None:
                fault = self._take(request.method)
                if fault is None:
                    client.wfile.write(self._forward(upstream, request).encode(request.method))
                elif not self._break(fault, upstream, request, client):
                    return
        finally:
            upstream.close()

    def _forward(self, upstream: HTTPConnection, request: _Request) -> _Answer:
        answer = _exchange(upstream, request)
        if answer.status >= 500:
            with self._lock:
                self.server_errors += 1
        return answer

    def _break(
        self, fault: S3Fault, upstream: HTTPConnection, request: _Request, client: socketserver.StreamRequestHandler
    ) -> bool:
        """Do what the fault says; return whether the client's connection lives on."""
        name = fault.name
        if name == "late":
            thread = threading.Thread(target=self._apply_late, args=(request, fault.seconds), daemon=True)
            self._late.append(thread)
            thread.start()
        elif name == "cut-request":
            self._send_half(request)
        elif name in ("drop-after", "500-after", "slow", "cut-response"):
            answer = self._forward(upstream, request)
            if name == "slow":
                self._healed.wait(fault.seconds)
                client.wfile.write(answer.encode(request.method))
                return True
            if name == "cut-response":
                whole = answer.encode(request.method)
                client.wfile.write(whole[: len(whole) - (len(answer.body) + 1) // 2])
        if name in REFUSALS:
            client.wfile.write(_refusal(*REFUSALS[name]).encode(request.method))
            return True
        _reset(client.connection)
        return False

    def _apply_late(self, request: _Request, seconds: float) -> None:
        self._stop.wait(seconds)
        upstream = HTTPConnection("127.0.0.1", self._upstream_port, timeout=UPSTREAM_TIMEOUT_S)
        with contextlib.suppress(OSError, HTTPException), contextlib.closing(upstream):
            _exchange(upstream, request)

    def _send_half(self, request: _Request) -> None:
        with socket.create_connection(("127.0.0.1", self._upstream_port), timeout=UPSTREAM_TIMEOUT_S) as upstream:
            lines = [f"{request.method} {request.path} HTTP/1.1"]
            lines += [f"{name}: {value}" for name, value in request.headers]
            upstream.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
            upstream.sendall(request.body[: len(request.body) // 2])
            _reset(upstream)


def _read_request(client: socketserver.StreamRequestHandler) -> _Request | None:
    first = client.rfile.readline()
    if not first.strip():
        return None
    method, path, _ = first.decode("latin-1").split(" ", 2)
    headers: list[tuple[str, str]] = []
    while (line := client.rfile.readline().decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers.append((name.strip(), value.strip()))
    by_name = {name.lower(): value for name, value in headers}
    if "transfer-encoding" in by_name:
        raise ValueError("a body of unknown length: boto3 sends none")
    if by_name.get("expect", "").lower() == "100-continue":
        client.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    headers = [(name, value) for name, value in headers if name.lower() not in ("expect", "connection")]
    return _Request(method, path, headers, client.rfile.read(int(by_name.get("content-length", "0"))))


def _exchange(upstream: HTTPConnection, request: _Request) -> _Answer:
    upstream.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
    for name, value in request.headers:
        upstream.putheader(name, value)
    upstream.endheaders(request.body or None)
    answer = upstream.getresponse()
    return _Answer(answer.status, answer.reason, answer.getheaders(), answer.read())


def _refusal(status: int, code: str) -> _Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>by the fault proxy</Message></Error>".encode()
    return _Answer(status, code, [("Content-Type", "application/xml")], body)


def _reset(connection: socket.socket) -> None:
    """Close without a goodbye: the other end sees "connection reset"."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
