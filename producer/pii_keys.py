"""The keys that personal fields are hashed with, and the hash: HMAC-SHA-256, written `<key id>:<base64url>`.

Keys rotate: the first one that is configured makes all new tokens, and its id travels in each, so that readers can tell
which tokens compare. A key is at least 16 bytes, best 32 random ones. There is no token without a key: what cannot be
protected is refused.
"""

import base64
import binascii
import hmac
import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

KEY_BYTES_MIN = 16
_ID = re.compile(r"[A-Za-z0-9._-]{1,32}")
_log = logging.getLogger("headrace.producer")


class MissingPiiKey(ValueError):
    """There is no key to protect personal fields with; the text says how to give one."""


class PiiKeys(Protocol):
    """Where tokens come from. Called in emit(): returns at once."""

    def token(self, value: bytes) -> str:
        """Return the token of a raw value; raise MissingPiiKey when there is no key."""


class NoKeys:
    """No key was configured."""

    def token(self, value: bytes) -> str:  # noqa: ARG002 - the contract's
        """Raise MissingPiiKey."""
        raise MissingPiiKey("personal fields need a key: give EventLog pii_keys=, or set HEADRACE_PII_KEYS")


class FixedKeys:
    """Keys that stay as they are while the process lives, by id; the first is used for new tokens."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Check the keys; raise ValueError, which names ids and never a key."""
        if not keys:
            raise ValueError("pii_keys: give at least one key")
        for name, key in keys.items():
            if not isinstance(name, str) or not _ID.fullmatch(name):
                raise ValueError(f"pii_keys: {name!r} is no key id: use 1 to 32 letters, digits, . _ -")
            if not isinstance(key, bytes) or len(key) < KEY_BYTES_MIN:
                raise ValueError(f"pii_keys: key {name} must be bytes, at least {KEY_BYTES_MIN} of them")
        self._keys = dict(keys)
        self._id, self._key = next(iter(keys.items()))

    def token(self, value: bytes) -> str:
        """Return the token of a raw value by the first key."""
        return _token(self._id, self._key, value)

    def tokens(self, value: bytes) -> list[str]:
        """Return the tokens of a raw value by each key, newest first: to look somebody up in what is archived."""
        return [_token(name, key, value) for name, key in self._keys.items()]

    def __repr__(self) -> str:
        return f"FixedKeys({', '.join(self._keys)})"


class KeyFile:
    """Keys in a file, one `<id>:<base64>` a line, newlines included, read again when the file changes.

    It is looked at again at most once in `check_interval_s`, by whoever asks for a token then. A file that cannot be
    read or has a bad line changes nothing: the keys that were read last stay in use, and a warning is logged when a log
    is made. Before the first good reading there is no key.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        check_interval_s: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = Path(path)
        self._check_interval_s = check_interval_s
        self._monotonic = monotonic
        self._keys: FixedKeys | None = None
        self._seen: tuple[int, int, int] | None = None
        self._next_check = float("-inf")
        self.problem: str | None = None
        """Why the file cannot be used now; names ids and line numbers, never a key."""
        self._look()
        if self.problem is not None:
            _log.warning("%s; events with personal fields are refused until it can be read", self.problem)

    def token(self, value: bytes) -> str:
        """Return the token of a raw value by the first key of the file."""
        return self._current().token(value)

    def tokens(self, value: bytes) -> list[str]:
        """Return the tokens of a raw value by each key of the file, newest first."""
        return self._current().tokens(value)

    def _current(self) -> FixedKeys:
        if self._monotonic() >= self._next_check:
            self._look()
        if self._keys is None:
            raise MissingPiiKey(f"personal fields need a key: {self.problem}")
        return self._keys

    def _look(self) -> None:
        """Read the file if it is another one than before. Threads that race here do the same work twice."""
        self._next_check = self._monotonic() + self._check_interval_s
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen == self._seen:
                return
            text = self._path.read_bytes().decode("utf-8", "replace")
            if not text.endswith("\n"):
                # A key that is cut off could pass for a shorter one, and its tokens would never compare with any.
                raise ValueError(f"{self._path}: does not end with a newline: is it still being written?")
            self._keys = FixedKeys(parse_keys(text.splitlines(), str(self._path)))
            self._seen, self.problem = seen, None
        except (OSError, ValueError) as error:
            self.problem = f"{self._path}: {error.strerror}" if isinstance(error, OSError) else str(error)


def parse_keys(lines: list[str], where: str) -> dict[str, bytes]:
    """Return keys by id from `<id>:<base64>` lines; blank ones and those that begin with # are passed over.

    Raises ValueError, which names the line's number and never what is in it.
    """
    keys: dict[str, bytes] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, colon, encoded = text.partition(":")
        if not colon or not _ID.fullmatch(name):
            raise ValueError(f"{where}: entry {number} is not <id>:<base64 key>")
        if name in keys:
            raise ValueError(f"{where}: entry {number} has an id that was there before")
        try:
            keys[name] = base64.b64decode(encoded, altchars=b"-_" if set("-_") & set(encoded) else None, validate=True)
        except binascii.Error:
            raise ValueError(f"{where}: entry {number}: its key is not base64") from None
        if len(keys[name]) < KEY_BYTES_MIN:
            raise ValueError(f"{where}: entry {number}: its key has fewer than {KEY_BYTES_MIN} bytes")
    if not keys:
        raise ValueError(f"{where}: holds no key")
    return keys


def as_keys(given: "PiiKeys | Mapping[str, bytes] | str | os.PathLike[str] | None") -> PiiKeys:
    """Return the keys of a constructor argument: a mapping by id, the path of a key file, or a PiiKeys."""
    if given is None:
        return NoKeys()
    if isinstance(given, Mapping):
        return FixedKeys(given)
    if isinstance(given, (str, os.PathLike)):
        return KeyFile(given)
    return given


def keys_from_env(env: Mapping[str, str]) -> PiiKeys | None:
    """Return the keys of HEADRACE_PII_KEYS (`<id>:<base64>`, apart by commas) or HEADRACE_PII_KEY_FILE (a path)."""
    inline, path = env.get("HEADRACE_PII_KEYS"), env.get("HEADRACE_PII_KEY_FILE")
    if inline and path:
        raise ValueError("HEADRACE_PII_KEYS and HEADRACE_PII_KEY_FILE are both set: set one of them")
    if inline:
        return FixedKeys(parse_keys(inline.split(","), "HEADRACE_PII_KEYS"))
    return KeyFile(path) if path else None


def _token(name: str, key: bytes, value: bytes) -> str:
    return f"{name}:{base64.urlsafe_b64encode(hmac.digest(key, value, 'sha256')).rstrip(b'=').decode()}"
