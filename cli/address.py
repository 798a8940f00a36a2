"""An address to listen on, as text and as host and port."""

from typing import NamedTuple


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The address as a browser takes it."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def address_of(text: str) -> Address | None:
    """Read HOST:PORT, or PORT for 127.0.0.1; port 0 takes a free one. None: it is no address."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal()) or int(port) > 65_535 or ("[" in host) != (":" in host):
        return None
    return Address(host.strip("[]") or "127.0.0.1", int(port))
