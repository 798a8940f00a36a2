"""A small StatsD client: sends an event log's metrics over UDP, now and then, and never waits or raises.

    log.report_to(StatsD("127.0.0.1:8125"))

Counters go as what was added since the last time, gauges as they are; infinite ones are left out. With `tags`, labels
become tags as DogStatsD has them; without, they become part of the name.
"""

import re
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic as _monotonic

from . import forks
from .metric_list import METRICS, PREFIX, Metric
from .readings import Readings

PACKET_BYTES_MAX = 1432  # fits into an Ethernet frame with its headers, also over IPv6
INTERVAL_S = 10.0
_DEFAULT_PORT = 8125
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


class StatsD:
    """A sink that sends to one address."""

    def __init__(
        self,
        address: str,
        *,
        prefix: str = PREFIX,
        tags: Mapping[str, str] | None = None,
        interval_s: float = INTERVAL_S,
        monotonic: Callable[[], float] = _monotonic,
    ) -> None:
        """Keep the settings; raise ValueError for an address that is none. `tags` (may be empty): DogStatsD's form.

        The name is looked up when something is sent, on the reporter's thread, and again after a failure.
        """
        host, colon, port = address.rpartition(":")
        if not colon:
            host, port = address, str(_DEFAULT_PORT)
        if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
            raise ValueError(f"StatsD: {address!r} is no address: give HOST:PORT, such as 'localhost:8125'")
        self._host, self._port = host.strip("[]"), int(port)
        self._prefix = prefix
        self._tags = None if tags is None else [f"{_safe(name)}:{_safe(text)}" for name, text in tags.items()]
        self._interval_s = interval_s
        self._monotonic = monotonic
        self._next = float("-inf")
        self._socket: socket.socket | None = None
        self._generation = forks.generation()
        self._told: dict[tuple[str, tuple[str, ...]], float] = {}

    def __str__(self) -> str:
        return f"StatsD at {self._host}:{self._port}"

    def report(self, readings: Readings, *, last: bool) -> None:
        """Send, if it is time or the last time. What cannot be sent at once is lost, as UDP's packets are."""
        if self._generation != forks.generation():
            self._generation, self._told, self._next = forks.generation(), {}, float("-inf")
        now = self._monotonic()
        if now < self._next and not last:
            return
        self._next = now + self._interval_s
        for packet in packets(self._lines(readings)):
            self._send(packet)
        if last:
            self.close()

    def close(self) -> None:
        """Let go of the socket; the next report opens another."""
        made, self._socket = self._socket, None
        if made is not None:
            with suppress(OSError):
                made.close()

    def _lines(self, readings: Readings) -> list[str]:
        found = []
        for metric in METRICS:
            for labels, value in metric.values(readings).items():
                line = self._line(metric, labels, value)
                if line is not None:
                    found.append(line)
        return found

    def _line(self, metric: Metric, labels: tuple[str, ...], value: float) -> str | None:
        name, kind = self._prefix + metric.name, "g"
        if metric.kind == "counter":
            told = self._told.get((metric.name, labels), 0.0)
            if value <= told:
                return None
            self._told[metric.name, labels] = value
            value, kind = value - told, "c"
        elif value == float("inf"):
            return None
        number = f"{value:.3f}".rstrip("0").rstrip(".")
        if self._tags is None:
            return ".".join([name, *map(_safe, labels)]) + f":{number}|{kind}"
        tags = [*self._tags, *(f"{key}:{_safe(each)}" for key, each in zip(metric.labels, labels, strict=True))]
        return f"{name}:{number}|{kind}" + (f"|#{','.join(tags)}" if tags else "")

    def _send(self, packet: bytes) -> None:
        try:
            if self._socket is None:
                self._socket = self._connected()
            self._socket.send(packet)
        except BlockingIOError:
            pass  # the send buffer is full
        except OSError:
            self.close()  # nobody listens, the network is away, the name is not known: looked up again next time

    def _connected(self) -> socket.socket:
        family, kind, protocol, _, address = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.setblocking(False)
            made.connect(address)
        except OSError:
            made.close()
            raise
        return made


def packets(lines: list[str], bytes_max: int = PACKET_BYTES_MAX) -> list[bytes]:
    """Return lines in as few packets as hold them; a line that is too long for one is left out."""
    made: list[bytes] = []
    for line in lines:
        data = line.encode()
        if len(data) > bytes_max:
            continue
        if made and len(made[-1]) + 1 + len(data) <= bytes_max:
            made[-1] += b"\n" + data
        else:
            made.append(data)
    return made


def _safe(text: str) -> str:
    return _UNSAFE.sub("_", text)
