"""S3 servers that misbehave: one that ignores If-None-Match, one that takes connections and never answers.

They listen on 127.0.0.1 for as long as the block lasts.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class _Forgetful(BaseHTTPRequestHandler):
    """Keeps objects in a dict, without looking at credentials or conditions."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]

    def do_PUT(self) -> None:
        self.objects[urlsplit(self.path).path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, b"")

    def do_GET(self) -> None:
        body = self.objects.get(urlsplit(self.path).path)
        if body is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code><Message>not there</Message></Error>")
        else:
            self._answer(200, body)

    def do_DELETE(self) -> None:
        self.objects.pop(urlsplit(self.path).path, None)
        self._answer(204, b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server names it so
        """Say nothing."""

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def s3_that_ignores_conditions() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield the endpoint and the objects, by path, of a server on which every create wins."""
    objects: dict[str, bytes] = {}
    handler = type("Handler", (_Forgetful,), {"objects": objects})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", objects
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Refusing(BaseHTTPRequestHandler):
    """Answers whatever it is asked as S3 answers a request whose credentials it does not take (any more)."""

    protocol_version = "HTTP/1.1"
    code: str

    def refuse(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        message = "The provided token has expired."
        body = f"<?xml version='1.0'?><Error><Code>{self.code}</Code><Message>{message}</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server names it so
        """Say nothing."""


@contextmanager
def refusing_s3(code: str = "ExpiredToken") -> Iterator[str]:
    """Yield the endpoint of a server that refuses every request with 403 and this code."""
    methods = {f"do_{method}": _Refusing.refuse for method in ("GET", "HEAD", "PUT", "POST", "DELETE")}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Refusing,), {"code": code, **methods}))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def closed_port() -> Iterator[int]:
    """Yield a port at which nobody listens, and nobody else will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def silent_port() -> Iterator[int]:
    """Yield a port that takes connections, reads, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as taken:
        ended = threading.Event()
        listening.settimeout(0.05)

        def accept() -> None:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    taken.enter_context(listening.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            ended.set()
            thread.join()


class Relay:
    """A way to a real server that can be cut and mended: while `cut`, connections end without an answer."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.cut = False
        self._target = target
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def set_cut(self, *, cut: bool) -> None:
        """Cut the way, also for what is under way, or mend it."""
        self.cut = cut
        if cut:
            self._end_all()

    def lead_to(self, endpoint: str) -> None:
        """Lead to another server from now on; what is under way ends."""
        self._target = _host_and_port(endpoint)
        self._end_all()

    def close(self) -> None:
        """Listen no more, and end all connections."""
        self._listener.close()
        self._end_all()

    def _end_all(self) -> None:
        while self._open:
            with contextlib.suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.cut:
                    client.close()
                    continue
                server = socket.create_connection(self._target)
                self._open += [client, server]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Carry bytes one way until it ends; each direction closes the socket that it reads from."""
    with source:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


def _host_and_port(endpoint: str) -> tuple[str, int]:
    parts = urlsplit(endpoint)
    return str(parts.hostname), int(parts.port or 80)


@contextmanager
def relay(endpoint: str) -> Iterator[Relay]:
    """Yield a relay to an S3 endpoint such as http://127.0.0.1:8333."""
    made = Relay(_host_and_port(endpoint))
    try:
        yield made
    finally:
        made.close()
