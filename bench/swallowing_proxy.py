"""A TCP proxy before a broker that can swallow everything: a network that drops packets, as a client sees it.

Clients learn the broker's address from the broker, so the proxy puts its own port into what the broker says: the
address as text, then the port in four bytes, and the length stays the same.
"""

import contextlib
import socket
import threading

_CHUNK_BYTES = 1 << 16
_HOST = "127.0.0.1"


class SwallowingProxy:
    """Passes bytes between clients and one broker, until `swallow` is set: then it reads, and passes nothing on."""

    def __init__(self, bootstrap: str) -> None:
        host, _, port = bootstrap.rpartition(":")
        self._broker = (host, int(port))
        self._listener = socket.create_server((_HOST, 0))
        self._port = self._listener.getsockname()[1]
        self._swallow = threading.Event()
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def bootstrap(self) -> str:
        """What clients are given."""
        return f"{_HOST}:{self._port}"

    def swallow(self) -> None:
        """Pass nothing on from now on, on old and new connections. Nobody is told: no reset, no end."""
        self._swallow.set()

    def heal(self) -> None:
        """Pass on again. What was swallowed is gone, so the old connections end, as they would in a while."""
        self._swallow.clear()
        connections, self._connections = self._connections, []
        for each in connections:
            _end(each)

    def close(self) -> None:
        """End all."""
        _end(self._listener)
        self.heal()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._connections.append(client)
                try:
                    broker = socket.create_connection(self._broker)
                except OSError:
                    if not self._swallow.is_set():
                        _end(client)
                    continue
                self._connections.append(broker)
                for source, target, patched in ((client, broker, False), (broker, client, True)):
                    threading.Thread(target=self._pump, args=(source, target, patched), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, patched: bool) -> None:
        theirs = _HOST.encode() + self._broker[1].to_bytes(4, "big")
        ours = _HOST.encode() + self._port.to_bytes(4, "big")
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                if not self._swallow.is_set():
                    target.sendall(data.replace(theirs, ours) if patched else data)
        if not self._swallow.is_set():
            _end(source)
            _end(target)


def _end(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
