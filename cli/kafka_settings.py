"""The option for librdkafka's settings: security, tuning. Secrets come by environment or file, and are never said.

The light install has it too.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from confluent_kafka import Consumer, KafkaException

from .options import EXIT_USAGE, Decorator, fail

SAID_CHARS_MAX = 5
"""A longer value is not repeated in an error: it may be a secret in the wrong place."""


def parse_kafka_config(_context: click.Context, _option: click.Parameter, value: str) -> dict[str, Any]:
    """Read a JSON object, or @FILE that holds one. A click callback."""
    text = value
    if value.startswith("@"):
        try:
            text = Path(value[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no text in UTF-8"
            raise click.BadParameter(f"{value[1:]}: {reason}") from error
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        reason = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "it nests"
        raise click.BadParameter(f"must be a JSON object of librdkafka settings, and is no JSON: {reason}") from None
    if not isinstance(found, dict):
        raise click.BadParameter(f"must be a JSON object of librdkafka settings, not a {type(found).__name__}")
    for name, each in found.items():
        if not isinstance(each, str | int | float):
            raise click.BadParameter(f"the value of {name!r} must be a text, a number, true or false")
    return found


kafka_config_option: Decorator = click.option(
    "--kafka-config",
    metavar="JSON|@FILE",
    default="{}",
    envvar="HEADRACE_KAFKA_CONFIG",
    show_envvar=True,
    callback=parse_kafka_config,
    help="A JSON object of librdkafka settings: security, tuning. @FILE reads it from a file.",
)


def reading_settings(kafka: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of whoever reads; end the command when librdkafka refuses them."""
    settings = {**config, "bootstrap.servers": kafka}
    if config:
        try:
            Consumer({"log_level": 0, **settings, "group.id": "headrace", "bootstrap.servers": "127.0.0.1:1"}).close()
        except KafkaException as error:
            fail(f"--kafka-config: {without_values(error.args[0].str(), config)}", EXIT_USAGE)
    return settings


def without_values(text: str, config: Mapping[str, Any]) -> str:
    """Return what librdkafka says of settings without the values of them that it repeats."""
    for name, value in config.items():
        if isinstance(value, str) and (len(value) > SAID_CHARS_MAX or "password" in name) and value:
            text = text.replace(value, f"(the value of {name})")
    return text
