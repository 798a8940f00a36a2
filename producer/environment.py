"""Reads an event log's settings from environment variables: what EventLog.from_env() takes, and `headrace ship`.

A file that HEADRACE_CONFIG names is read too, and comes to the same as variables that are not set otherwise.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .kafka_environment import Deferred, kafka_settings_from
from .setting_table import PRODUCER_SETTINGS, SECTIONS
from .settings_file import SettingsFile, read_file
from .spool.limits import SpoolLimits
from .statsd import StatsD

_LIMITS = {
    "HEADRACE_SPOOL_BYTES_MAX": ("bytes_max", int),
    "HEADRACE_SPOOL_AGE_S_MAX": ("age_s_max", float),
    "HEADRACE_SPOOL_FREE_BYTES_MIN": ("free_bytes_min", int),
    "HEADRACE_SPOOL_SEGMENT_BYTES": ("segment_bytes", int),
    "HEADRACE_SPOOL_DEAD_LETTER_BYTES_MAX": ("dead_letter_bytes_max", int),
    "HEADRACE_SPOOL_CLASSES": ("classes", dict),
}
_SHIP = {"": "here", "here": "here", "separate": "separate"}


def with_file(env: Mapping[str, str]) -> tuple[Mapping[str, str], Mapping[str, Deferred]]:
    """Return an environment with what the file that it names adds, and what that says of Kafka. Raises ValueError.

    No other file is looked for: an app does not take settings from wherever it happens to be started.
    """
    path = env.get("HEADRACE_CONFIG")
    if not path:
        return env, {}
    found = read_file(Path(path), PRODUCER_SETTINGS, SECTIONS)
    return merged(env, found), found.kafka


def merged(env: Mapping[str, str], found: SettingsFile) -> dict[str, str]:
    """Return an environment in which what the file says stands where no variable does."""
    said = {each.variable: found.stated[each.key].text for each in PRODUCER_SETTINGS if each.key in found.stated}
    return {**said, **{name: text for name, text in env.items() if text or name not in said}}


def settings_from(env: Mapping[str, str], kafka: Mapping[str, Deferred] | None = None) -> dict[str, Any]:
    """Return EventLog's arguments as far as the environment gives them; raise ValueError for what cannot be read.

    `kafka`: what a settings file says of librdkafka's settings.
    """
    ship = env.get("HEADRACE_SHIP", "")
    if ship not in _SHIP:
        raise ValueError(f"HEADRACE_SHIP must be 'here' or 'separate', not {ship!r}")
    settings: dict[str, Any] = {
        "service": env.get("HEADRACE_SERVICE", ""),
        "kafka": env.get("HEADRACE_KAFKA", ""),
        "topic_prefix": env.get("HEADRACE_TOPIC_PREFIX", ""),
        "strict": env.get("HEADRACE_STRICT", "").lower() in ("1", "true", "yes"),
        "spool": env.get("HEADRACE_SPOOL") or None,
        "spool_limits": limits_from(env),
        "ship": _SHIP[ship],
        "audit": audit_from(env),
        "statsd": StatsD(env["HEADRACE_STATSD"]) if env.get("HEADRACE_STATSD") else None,
    }
    if kafka_config := kafka_settings_from(env, kafka):
        settings["kafka_config"] = kafka_config
    return settings


def audit_from(env: Mapping[str, str]) -> bool:
    """Return whether HEADRACE_AUDIT asks for audit events."""
    return env.get("HEADRACE_AUDIT", "").lower() in ("1", "true", "yes")


def limits_from(env: Mapping[str, str]) -> SpoolLimits:
    """Return the spool's bounds: HEADRACE_SPOOL_BYTES_MAX and so on, else the defaults; raise ValueError."""
    given: dict[str, Any] = {}
    for variable, (name, kind) in _LIMITS.items():
        text = env.get(variable, "")
        if not text:
            continue
        try:
            given[name] = _object(variable, text) if kind is dict else kind(text)
        except ValueError as error:
            if str(error).startswith(variable):
                raise
            raise ValueError(f"{variable} must be a number ({kind.__name__}), not {text!r}") from error
    try:
        return SpoolLimits(**given)
    except ValueError as error:
        raise ValueError(f"HEADRACE_SPOOL_...: {error}") from error


def _object(variable: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{variable} must be a JSON object of settings: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{variable} must be a JSON object of settings, not a {type(found).__name__}")
    return found
