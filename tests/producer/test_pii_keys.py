"""The keys of personal fields: tokens, where keys come from, rotation."""

import base64
import hashlib
import hmac
import os
from pathlib import Path

import pytest

from headrace.producer.pii_keys import FixedKeys, KeyFile, MissingPiiKey, as_keys, keys_from_env, parse_keys

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
VALUE = b"a@example.org"


def line(name: str, key: bytes) -> str:
    return f"{name}:{base64.b64encode(key).decode()}\n"


def expected(name: str, key: bytes) -> str:
    """What the documentation says a token is, worked out by the textbook."""
    digest = hmac.new(key, VALUE, hashlib.sha256).digest()
    return f"{name}:{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def test_a_token_is_the_documented_hash() -> None:
    """HMAC-SHA-256 under the first key, base64url without padding, after the key's id."""
    keys = FixedKeys({"k2026-11": NEW, "k2026-10": OLD})
    assert keys.token(VALUE) == expected("k2026-11", NEW)
    assert keys.tokens(VALUE) == [expected("k2026-11", NEW), expected("k2026-10", OLD)]
    assert len(keys.token(VALUE)) == len("k2026-11:") + 43


def test_keys_are_not_printed() -> None:
    """repr names ids only."""
    assert repr(FixedKeys({"k1": OLD})) == "FixedKeys(k1)"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "at least one key"),
        ({"a:b": OLD}, "no key id"),
        ({"": OLD}, "no key id"),
        ({"k1": OLD[:15]}, "at least 16"),
        ({"k1": "text"}, "must be bytes"),
    ],
)
def test_keys_that_cannot_be_used_are_refused(keys: dict[str, bytes], said: str) -> None:
    """A short key, or an id that could not be told from the hash, is refused when it is given."""
    with pytest.raises(ValueError, match=said):
        FixedKeys(keys)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no key"),
        ("k1", "entry 1 is not <id>:<base64 key>"),
        ("\n# old\nk1:se!cret", "entry 3: its key is not base64"),
        ("k1:c2hvcnQ=", "entry 1: its key has fewer than 16 bytes"),
        (line("k1", OLD) + line("k1", NEW), "entry 2 has an id that was there before"),
    ],
)
def test_bad_lines_are_named_without_their_text(text: str, said: str) -> None:
    """An error names the line, and never shows what is in it: it may be a key."""
    with pytest.raises(ValueError, match=said) as caught:
        parse_keys(text.splitlines(), "keys")
    assert "cret" not in str(caught.value)
    assert "c2hvcnQ" not in str(caught.value)


def test_base64_and_base64url_are_read() -> None:
    """Both alphabets, since key generators differ."""
    key = b"\xfb\xff" * 16
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert parse_keys([f"k1:{encode(key).decode()}"], "x") == {"k1": key}


class Clock:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def test_a_changed_key_file_is_read_again(tmp_path: Path) -> None:
    """A new first line is in use a second later, in the running process; in between the file is not looked at."""
    path, clock = tmp_path / "keys", Clock()
    path.write_text(line("k1", OLD))
    keys = KeyFile(path, monotonic=clock)
    assert keys.token(VALUE) == expected("k1", OLD)
    path.write_text("# rotated\n" + line("k2", NEW) + line("k1", OLD))
    assert keys.token(VALUE) == expected("k1", OLD)
    clock.s = 1.0
    assert keys.token(VALUE) == expected("k2", NEW)
    assert keys.tokens(VALUE) == [expected("k2", NEW), expected("k1", OLD)]


def test_a_replaced_key_file_is_read_again(tmp_path: Path) -> None:
    """Also when another file of the same size and time took its place, as mounted secrets do."""
    path, other, clock = tmp_path / "keys", tmp_path / "other", Clock()
    path.write_text(line("k1", OLD))
    keys = KeyFile(path, monotonic=clock)
    other.write_text(line("k2", NEW))
    times = path.stat()
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(path)
    clock.s = 1.0
    assert keys.token(VALUE) == expected("k2", NEW)


def test_a_broken_key_file_changes_nothing(tmp_path: Path) -> None:
    """While a file is gone or half written, the keys read last are used; it is told in `problem`."""
    path, clock = tmp_path / "keys", Clock()
    path.write_text(line("k1", OLD))
    keys = KeyFile(path, monotonic=clock)
    half = line("k2", NEW)[:-5]  # 27 of 32 bytes: long enough for a key
    for break_it in (path.unlink, lambda: path.write_text(half), lambda: path.write_bytes(b"\xff\n")):
        break_it()
        clock.s += 1.0
        assert keys.token(VALUE) == expected("k1", OLD)
        assert keys.problem is not None
        assert str(path) in keys.problem
    path.write_text(line("k2", NEW))
    clock.s += 1.0
    assert keys.token(VALUE) == expected("k2", NEW)
    assert keys.problem is None


def test_a_missing_key_file_has_no_token(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A log can be made before the file is there: a warning then, no token until it is, and then tokens."""
    path, clock = tmp_path / "keys", Clock()
    keys = KeyFile(path, monotonic=clock)
    assert "events with personal fields are refused until it can be read" in caplog.text
    with pytest.raises(MissingPiiKey, match="No such file"):
        keys.token(VALUE)
    path.write_text(line("k1", OLD))
    clock.s = 1.0
    assert keys.token(VALUE) == expected("k1", OLD)


def test_where_keys_come_from(tmp_path: Path) -> None:
    """A mapping, a path, an object of one's own, or the environment: keys themselves or the path of a file."""
    path = tmp_path / "keys"
    path.write_text(line("k1", OLD))
    given = FixedKeys({"k1": OLD})
    assert as_keys(given) is given
    made = [as_keys({"k1": OLD}), as_keys(path), as_keys(str(path))]
    environments = [{"HEADRACE_PII_KEYS": f"{line('k1', OLD)},{line('k0', NEW)}"}, {"HEADRACE_PII_KEY_FILE": str(path)}]
    for keys in [*made, *map(keys_from_env, environments)]:
        assert keys is not None
        assert keys.token(VALUE) == expected("k1", OLD)
    assert keys_from_env({}) is None
    with pytest.raises(MissingPiiKey, match="HEADRACE_PII_KEYS"):
        as_keys(None).token(VALUE)
    with pytest.raises(ValueError, match="both set"):
        keys_from_env({"HEADRACE_PII_KEYS": "a", "HEADRACE_PII_KEY_FILE": "b"})
    with pytest.raises(ValueError, match="HEADRACE_PII_KEYS: entry 1"):
        keys_from_env({"HEADRACE_PII_KEYS": "a"})
