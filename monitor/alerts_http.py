"""One POST to somebody's server: what became of it, and how long to wait before the next attempt.

No redirect is followed and no proxy is asked: what is sent goes to the address that was given, or nowhere. An answer's
body is read to a bound and never repeated in full, the address's password is refused where it is read.
"""

import http.client
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from headrace.schemas.safe_text import safe_line

ANSWER_BYTES_MAX = 64 << 10
SAID_CHARS_MAX = 200
RETRY_AFTER_S_MAX = 300.0
_TOO_MANY = 429
_TIMEOUT = 408


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to post to. `shown` names it in logs and metrics: no query, which may hold a token."""

    host: str
    port: int
    path: str
    tls: bool

    @property
    def shown(self) -> str:
        """The address without its path and query."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{name}:{self.port}"


def endpoint(what: str, url: str, path: str = "") -> Endpoint:
    """Read an address, and append `path`. Raises ValueError, which does not repeat a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"{what}: must be http://HOST[:PORT]/... or https://..., with a port up to 65535") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{what}: must be http://HOST[:PORT]/... or https://...")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{what}: leave user and password out of the address, where logs and process lists show them")
    if any(ord(each) <= 0x20 or ord(each) == 0x7F for each in url) or not url.isascii():
        raise ValueError(f"{what}: has a blank, or a character that must be written as %XX")
    tls = parts.scheme == "https"
    full = parts.path.rstrip("/") + path if path else parts.path or "/"
    query = f"?{parts.query}" if parts.query else ""
    return Endpoint(parts.hostname, port or (443 if tls else 80), full + query, tls)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a POST. `after_s`: the server asks to be left alone for so long; `text`: for the log."""

    kind: Literal["sent", "retry", "refused"]
    text: str = ""
    after_s: float = 0.0


def post(
    to: Endpoint, body: bytes, headers: Mapping[str, str], *, timeout_s: float, trust: ssl.SSLContext | None = None
) -> Outcome:
    """Post JSON. `retry`: it may work later; `refused`: the same would be refused again."""
    connection: http.client.HTTPConnection
    if to.tls:
        context = trust or ssl.create_default_context()
        connection = http.client.HTTPSConnection(to.host, to.port, timeout=timeout_s, context=context)
    else:
        connection = http.client.HTTPConnection(to.host, to.port, timeout=timeout_s)
    try:
        connection.request("POST", to.path, body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        said = answer.read(ANSWER_BYTES_MAX).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return Outcome("retry", safe_line(f"{to.shown}: {type(error).__name__}: {error}")[:SAID_CHARS_MAX])
    finally:
        connection.close()
    if 200 <= answer.status < 300:
        return Outcome("sent")
    text = safe_line(f"{to.shown} answered {answer.status} {answer.reason}: {said}")[:SAID_CHARS_MAX]
    if answer.status >= 500 or answer.status in (_TOO_MANY, _TIMEOUT):
        return Outcome("retry", text, _seconds(answer.getheader("Retry-After")))
    return Outcome("refused", text)


def _seconds(text: str | None) -> float:
    """Return what Retry-After asks for in seconds; its form as a date is not looked at."""
    return min(float(text), RETRY_AFTER_S_MAX) if text is not None and text.isascii() and text.isdigit() else 0.0


class Backoff:
    """Waits between attempts: doubled from `first_s` to `most_s`, each somewhere between its half and its whole."""

    def __init__(self, first_s: float, most_s: float, draw: Callable[[], float]) -> None:
        """`draw()` is a random number from 0 to 1."""
        self._first_s, self._most_s, self._draw = first_s, most_s, draw
        self._next_s = first_s

    def failed(self) -> float:
        """Return how long to wait after another failure."""
        wait_s = self._next_s * (0.5 + self._draw() / 2)
        self._next_s = min(2 * self._next_s, self._most_s)
        return wait_s

    def worked(self) -> None:
        """Begin at the first wait again."""
        self._next_s = self._first_s
