"""One connection to one broker: made in the caller's time, then never waited for.

A fetch is sent, and its answer picked up in pieces, as they come. Other requests are waited for, with a bound. Nothing
is tried again here: a connection that fails is closed, and whoever uses it makes another.
"""

import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any

from .broker_login import log_in, protocol_of
from .fetch_protocol import (
    API_VERSIONS,
    FETCH,
    METADATA,
    SASL_AUTHENTICATE,
    SASL_HANDSHAKE,
    VERSIONS,
    Broker,
    ProtocolError,
    Reader,
    framed,
    read_versions,
)
from .oncall.kafka_python_settings import tls_context

CONNECT_TIMEOUT_S = 5.0
ANSWER_BYTES_MAX = 1 << 30
NONCE_BYTES = 16
_FAMILIES = {"v4": socket.AF_INET, "v6": socket.AF_INET6}

ConnectionTrouble = (OSError, ProtocolError, ValueError)
"""What making and using a connection raises."""


class BrokerConnection:
    """A connection to `broker`, made by the constructor, which raises ConnectionTrouble. `config`: librdkafka's.

    `random_bytes(n)` gives n bytes that nobody can guess.
    """

    def __init__(
        self,
        broker: Broker,
        config: Mapping[str, Any],
        *,
        context: ssl.SSLContext | None,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self.broker = broker
        self.waiting = False  # whether an answer is to come
        self._client = str(config.get("client.id", "headrace"))
        self._correlation = 0
        self._size = bytearray(4)
        self._answer: memoryview | None = None  # while it comes; None while its size does
        self._got = 0
        self._socket = _connected(broker, _FAMILIES.get(str(config.get("broker.address.family", "any")), 0))
        try:
            if context is not None:
                self._socket = context.wrap_socket(self._socket, server_hostname=broker.host)
            self._refuse_other_versions(sasl=protocol_of(config).startswith("SASL"))
            log_in(config, self.ask, random_bytes(NONCE_BYTES).hex())
        except BaseException:
            self._socket.close()
            raise

    @property
    def progress(self) -> tuple[int, int]:
        """Return what changes with each byte of answers."""
        return self._correlation, self._got

    def fileno(self) -> int:
        """Return the socket's number, for select()."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def send(self, api: int, body: bytes) -> None:
        """Send a request whose answer receive() will return."""
        if self.waiting:
            raise ProtocolError("a request was to be sent before the last one's answer had come")
        self._correlation += 1
        self._socket.settimeout(CONNECT_TIMEOUT_S)
        self._socket.sendall(framed(api, self._correlation, self._client, body))
        self.waiting = True

    def receive(self, *, wait: bool = False) -> Reader | None:
        """Return the answer when all of it has come, None before that. Raises ConnectionTrouble."""
        self._socket.settimeout(CONNECT_TIMEOUT_S if wait else 0)
        try:
            if self._answer is None:
                self._fill(memoryview(self._size))
                size = int.from_bytes(self._size, "big")
                if not 4 <= size <= ANSWER_BYTES_MAX:
                    raise ProtocolError(f"an answer of {size} bytes; does security.protocol fit this listener?")
                self._answer, self._got = memoryview(bytearray(size)), 0
            self._fill(self._answer)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        answer, self._answer, self._got, self.waiting = self._answer, None, 0, False
        reader = Reader(answer)
        if reader.numbers("i")[0] != self._correlation:
            raise ProtocolError("an answer to another request")
        return reader

    def ask(self, api: int, body: bytes) -> Reader:
        """Send a request and wait for its answer."""
        self.send(api, body)
        answer = self.receive(wait=True)
        if answer is None:
            raise ProtocolError("no answer came")
        return answer

    def _fill(self, view: memoryview) -> None:
        while self._got < len(view):
            got = self._socket.recv_into(view[self._got :])
            if not got:
                raise ConnectionResetError("the broker closed the connection")
            self._got += got

    def _refuse_other_versions(self, *, sasl: bool) -> None:
        taken = read_versions(self.ask(API_VERSIONS, b""))
        for api in (METADATA, FETCH, *((SASL_HANDSHAKE, SASL_AUTHENTICATE) if sasl else ())):
            least, most = taken.get(api, (0, -1))
            if not least <= VERSIONS[api] <= most:
                raise ProtocolError(f"the broker has no version {VERSIONS[api]} of request {api}: {least} to {most}")


def tls_of(config: Mapping[str, Any]) -> ssl.SSLContext | None:
    """Return how connections are encrypted, None where they are not. Raises ValueError, OSError."""
    return tls_context(config) if protocol_of(config).endswith("SSL") else None


def brokers_of(bootstrap: str) -> list[Broker]:
    """Return the addresses of a bootstrap.servers setting. Raises ValueError."""
    found: list[Broker] = []
    for each in filter(None, (part.strip() for part in bootstrap.split(","))):
        host, colon, port = each.rpartition("://")[2].rpartition(":")
        if not colon or "]" in port:
            host, port = each.rpartition("://")[2], "9092"
        found.append(Broker(host.strip("[]"), int(port)))
    return found


def _connected(broker: Broker, family: int) -> socket.socket:
    """Connect to the first address of the name that answers. Raises OSError."""
    last: OSError = ConnectionError(f"{broker.host} has no address")
    for found, kind, protocol, _, address in socket.getaddrinfo(
        broker.host, broker.port, family=family, type=socket.SOCK_STREAM
    ):
        made = socket.socket(found, kind, protocol)
        try:
            made.settimeout(CONNECT_TIMEOUT_S)
            made.connect(address)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except OSError as error:
            made.close()
            last = error
        else:
            return made
    raise last
