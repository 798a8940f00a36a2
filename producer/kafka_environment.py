"""librdkafka's settings from the environment: HEADRACE_KAFKA_<SETTING>, secrets also from a file or a command.

HEADRACE_KAFKA_SASL_USERNAME is `sasl.username`, and so on: lower case, dots for underscores. A secret may instead be
named by ..._FILE (its content) or ..._COMMAND (what a program prints, run without a shell), so that it never stands in
a process's environment. HEADRACE_KAFKA_CONFIG_FILE names a file of `name=value` lines, HEADRACE_KAFKA_CONFIG is a JSON
object, or @FILE that holds one. What is named more closely wins: headrace.toml, file, object, then single variables.
Messages name a variable or a line of the file, never its value.
"""

import json
import shlex
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

PREFIX = "HEADRACE_KAFKA_"
COMMAND_TIMEOUT_S = 30
SECRETS = frozenset({
    "sasl.password",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
})  # fmt: skip
"""Settings that are shown to nobody. (ssl.certificate.pem and ssl.ca.pem are public.)"""
REDACTED = "(secret)"
_UNDERSCORED = {"log.level": "log_level"}
_NOT_SETTINGS = {"CONFIG", "CONFIG_FILE"}
_FIXED = {"bootstrap.servers": "HEADRACE_KAFKA", "metadata.broker.list": "HEADRACE_KAFKA"}


class Setting(NamedTuple):
    """A setting's value and where it comes from."""

    value: Any
    source: str


class Deferred(NamedTuple):
    """A setting whose value is read when it is needed: a secret in a file, or one that a program prints."""

    read: Callable[[], Any]
    source: str


def kafka_settings_from(env: Mapping[str, str], base: Mapping[str, Deferred] | None = None) -> dict[str, Any]:
    """Return the settings beside the bootstrap servers. Raises ValueError for what cannot be read."""
    return {name: setting.value for name, setting in sourced_settings(env, base).items()}


def sourced_settings(
    env: Mapping[str, str], base: Mapping[str, Deferred] | None = None, *, secrets: bool = True
) -> dict[str, Setting]:
    """Return the settings with their sources, sorted by name. Raises ValueError for what cannot be read.

    `base`: what a settings file says; all that the environment says wins over it. Without `secrets` no secret is read
    and no program is run: REDACTED stands for them.
    """
    found: dict[str, Deferred] = dict(base or {})
    variable = f"{PREFIX}CONFIG_FILE"
    if path := env.get(variable):
        found.update({name: _known(value, path) for name, value in _properties(variable, path).items()})
    variable = f"{PREFIX}CONFIG"
    if text := env.get(variable):
        found.update({name: _known(value, variable) for name, value in kafka_object(variable, text).items()})
    single: dict[str, Deferred] = {}
    for variable in sorted(name for name in env if name.startswith(PREFIX)):
        suffix = variable.removeprefix(PREFIX)
        if suffix in _NOT_SETTINGS or not env[variable]:
            continue
        name, deferred = _single(variable, suffix, env[variable])
        if name in single:
            raise ValueError(f"{variable} and {single[name].source} both give {name}; leave one of them out")
        single[name] = deferred
    found.update(single)
    for name, each in found.items():
        if name in _FIXED:
            raise ValueError(f"{each.source}: {name} is given by {_FIXED[name]} or --kafka; leave it out")
    hidden = frozenset() if secrets else SECRETS
    return {
        name: Setting(REDACTED if name in hidden else each.read(), each.source) for name, each in sorted(found.items())
    }


def secret_of(name: str, value: Any, source: str) -> tuple[str, Deferred]:
    """Return which setting NAME, NAME_file or NAME_command gives, and its value. The last two are for secrets."""
    for ending, read in (("_file", _from_file), ("_command", _from_command)):
        secret = name.removesuffix(ending)
        if name.endswith(ending) and secret in SECRETS:
            return secret, Deferred(partial(read, f"{source}: {name}", str(value)), source)
    return name, _known(str(value).lower() if isinstance(value, bool) else value, source)


def named_secret(env: Mapping[str, str], variable: str) -> str | None:
    """Return a secret that is no setting of Kafka's, by VARIABLE, VARIABLE_FILE or VARIABLE_COMMAND; None without one.

    Raises ValueError for one that cannot be read, and where two of them are set.
    """
    ways: tuple[tuple[str, Callable[[str, str], str]], ...] = (
        ("", lambda _variable, text: text),
        ("_FILE", _from_file),
        ("_COMMAND", _from_command),
    )
    said = [(variable + ending, read) for ending, read in ways if env.get(variable + ending)]
    if len(said) > 1:
        raise ValueError(f"{said[0][0]} and {said[1][0]} both give a secret; leave one of them out")
    for name, read in said:
        secret = read(name, env[name])
        if not secret:
            raise ValueError(f"{name}: there is nothing in it")
        return secret
    return None


def _known(value: Any, source: str) -> Deferred:
    return Deferred(lambda: value, source)


def redacted(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they may be shown."""
    return {name: REDACTED if name in SECRETS else value for name, value in settings.items()}


def kafka_object(variable: str, text: str) -> dict[str, Any]:
    """Read a JSON object of librdkafka settings. Raises ValueError, which does not repeat the text."""
    if text.startswith("@"):
        text = _read(variable, text[1:])
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", "too deep")
        raise ValueError(f"{variable} must be a JSON object of librdkafka settings: {reason}") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{variable} must be a JSON object of librdkafka settings, not a {type(settings).__name__}")
    for name, value in settings.items():
        if not isinstance(value, str | int | float):
            raise ValueError(f"{variable}: the value of {name!r} must be a text, a number, true or false")
    return settings


def _setting_name(suffix: str) -> str:
    name = suffix.lower().replace("_", ".")
    return _UNDERSCORED.get(name, name)


def _single(variable: str, suffix: str, text: str) -> tuple[str, Deferred]:
    for ending, read in (("_FILE", _from_file), ("_COMMAND", _from_command)):
        name = _setting_name(suffix.removesuffix(ending))
        if suffix.endswith(ending) and name in SECRETS:
            return name, Deferred(partial(read, variable, text), variable)
    return _setting_name(suffix), _known(text, variable)


def _from_file(variable: str, path: str) -> str:
    return _read(variable, path).rstrip("\r\n")


def _read(variable: str, path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise ValueError(f"{variable}: cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise ValueError(f"{variable}: {path} is no text in UTF-8") from None


def _from_command(variable: str, text: str) -> str:
    try:
        words = shlex.split(text)
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT_S)
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        reason = "it took too long" if isinstance(error, subprocess.TimeoutExpired) else str(error)
        raise ValueError(f"{variable}: the command cannot be run: {reason}") from None
    if done.returncode != 0 or not done.stdout.strip():
        raise ValueError(f"{variable}: the command ended with {done.returncode} and gave no secret; run it by hand")
    return done.stdout.rstrip("\r\n")


def _properties(variable: str, path: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(_read(variable, path).splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"{variable}: {path} line {number} is no name=value")
        found[name.strip()] = value.strip()
    return found
