"""How a connection to a broker is made safe: TLS and SASL, from librdkafka's own settings.

What is not known here is refused by unsupported(), and the archiver then reads with librdkafka.
Sources: RFC 4616 (PLAIN), RFC 5802 and 7677 (SCRAM); https://kafka.apache.org/protocol.html#sasl_handshake.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any

from .fetch_protocol import SASL_AUTHENTICATE, SASL_HANDSHAKE, ProtocolError, Reader, bytes32, text16

_HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
MECHANISMS = ("PLAIN", *_HASHES)
_ITERATIONS_MAX = 1_000_000  # what a broker may make a client compute
# Settings that change how a connection is made, or where records are read, in ways that only librdkafka knows.
_FOREIGN = ("ssl.keystore.", "ssl.engine.", "ssl.providers", "ssl.curves", "ssl.sigalgs", "client.rack", "sasl.oauth")
_FOREIGN_NAMES = ("socket.nagle.disable", "resolve_cb", "connect_cb", "socket_cb", "oauth_cb", "plugin.library.paths")
_FALSE = ("", "0", "false", "none")

Ask = Callable[[int, bytes], Reader]
"""Sends a request of a kind, and returns the answer behind its header."""


def protocol_of(config: Mapping[str, Any]) -> str:
    """Return security.protocol in upper case; librdkafka takes either."""
    return str(config.get("security.protocol", "PLAINTEXT")).upper()


def mechanism_of(config: Mapping[str, Any]) -> str:
    """Return the SASL mechanism; librdkafka's own default is Kerberos."""
    return str(config.get("sasl.mechanism", config.get("sasl.mechanisms", "GSSAPI"))).upper()


def unsupported(config: Mapping[str, Any]) -> str | None:
    """Return the setting for which connections are left to librdkafka, or None."""
    protocol = protocol_of(config)
    if protocol not in ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"):
        return f"security.protocol {protocol}"
    if protocol.startswith("SASL") and mechanism_of(config) not in MECHANISMS:
        return f"sasl.mechanism {mechanism_of(config)}"
    for name, value in config.items():
        if name in _FOREIGN_NAMES or (name.startswith(_FOREIGN) and str(value).lower() not in _FALSE):
            return name
    return None


def log_in(config: Mapping[str, Any], ask: Ask, nonce: str) -> None:
    """Authenticate, where the protocol has that. Raises ProtocolError with what the broker says.

    `nonce`: a text that nobody can guess, another each time.
    """
    if not protocol_of(config).startswith("SASL"):
        return
    mechanism, user = mechanism_of(config), str(config.get("sasl.username", ""))
    password = str(config.get("sasl.password", ""))
    answer = ask(SASL_HANDSHAKE, text16(mechanism))
    (error,) = answer.numbers("h")
    if error:
        raise ProtocolError(f"the broker does not offer sasl.mechanism {mechanism} (error {error})")

    def say(text: bytes) -> bytes:
        found = ask(SASL_AUTHENTICATE, bytes32(text))
        (refused,) = found.numbers("h")
        told = found.text()
        if refused:
            raise ProtocolError(f"the broker refuses sasl.username {user!r}: {told or f'error {refused}'}")
        return found.sized()

    if mechanism == "PLAIN":
        say(f"\0{user}\0{password}".encode())
    else:
        _scram(_HASHES[mechanism], user, password, say, nonce)


def _scram(name: str, user: str, password: str, say: Callable[[bytes], bytes], nonce: str) -> None:
    """Run both rounds, and check that the broker knows the password, too."""
    escaped = user.replace("=", "=3D").replace(",", "=2C")
    first = f"n={escaped},r={nonce}"
    challenge = say(f"n,,{first}".encode()).decode()
    parts = dict(part.split("=", 1) for part in challenge.split(",") if "=" in part)
    iterations = int(parts.get("i", "0"))
    if not parts.get("r", "").startswith(nonce) or "s" not in parts or not 0 < iterations <= _ITERATIONS_MAX:
        raise ProtocolError("the broker's SCRAM challenge is not one")
    salted = hashlib.pbkdf2_hmac(name, password.encode(), base64.b64decode(parts["s"]), iterations)
    key = hmac.digest(salted, b"Client Key", name)
    bare = f"c=biws,r={parts['r']}"
    signed = f"{first},{challenge},{bare}".encode()
    signature = hmac.digest(hashlib.new(name, key).digest(), signed, name)
    proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
    final = say(f"{bare},p={base64.b64encode(proof).decode()}".encode()).decode()
    verifier = hmac.digest(hmac.digest(salted, b"Server Key", name), signed, name)
    if not hmac.compare_digest(final.encode(), b"v=" + base64.b64encode(verifier)):
        raise ProtocolError("the broker's SCRAM signature is wrong: it does not know this user's password")
