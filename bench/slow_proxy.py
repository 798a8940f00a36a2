"""A TCP proxy that holds each piece on its way to the server back for a while: a store that is far away, or busy."""

import socket
import threading
import time
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

PIECE = 1 << 20


class SlowProxy:
    """Forwards connections to `url`; each piece of at most a megabyte takes `seconds` longer."""

    def __init__(self, url: str, seconds: float) -> None:
        parts = urlsplit(url)
        self._target = (str(parts.hostname), int(parts.port or 80))
        self._seconds = seconds
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self) -> Self:
        """Begin to accept connections."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Accept no more."""
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            threading.Thread(target=_forward, args=(client, server, self._seconds), daemon=True).start()
            threading.Thread(target=_forward, args=(server, client, 0.0), daemon=True).start()


def _forward(source: socket.socket, target: socket.socket, seconds: float) -> None:
    try:
        while piece := source.recv(PIECE):
            time.sleep(seconds)
            target.sendall(piece)
    except OSError:
        pass
    finally:
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
