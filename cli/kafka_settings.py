"""librdkafka's settings: security, tuning. By an option, HEADRACE_KAFKA_... variables, or [kafka] of headrace.toml.

In that order the first wins, setting by setting. An option on the command line holds no secrets, for all of a machine's
users see it; no value is said in an error. Nothing is read, and no program run for a secret, before a verb asks Kafka.

The light install has it too.
"""

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from confluent_kafka import Consumer, KafkaException

from headrace.producer.kafka_environment import PREFIX, SECRETS, Setting, sourced_settings

from .configuration import Decorator, configuration

# The settings that a person is likely to have meant: security, and what is tuned most.
KNOWN = (
    *("security.protocol", "sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password"),
    *("sasl.oauthbearer.method", "sasl.oauthbearer.client.id", "sasl.oauthbearer.client.secret"),
    *("sasl.oauthbearer.scope", "sasl.oauthbearer.token.endpoint.url", "sasl.oauthbearer.config"),
    *("sasl.kerberos.service.name", "sasl.kerberos.principal", "sasl.kerberos.keytab"),
    *("ssl.ca.location", "ssl.ca.pem", "ssl.certificate.location", "ssl.certificate.pem", "ssl.key.location"),
    *("ssl.key.pem", "ssl.key.password", "ssl.keystore.location", "ssl.keystore.password", "ssl.crl.location"),
    *("ssl.cipher.suites", "ssl.endpoint.identification.algorithm", "enable.ssl.certificate.verification"),
    *("client.id", "client.rack", "client.dns.lookup", "broker.address.family", "socket.keepalive.enable"),
    *("socket.timeout.ms", "connections.max.idle.ms", "session.timeout.ms", "fetch.message.max.bytes", "linger.ms"),
    *("compression.type", "statistics.interval.ms", "debug", "log_level"),
)
SERVERS = ("bootstrap.servers", "metadata.broker.list")
"""The address is --kafka's, whatever the settings say."""
SAID_CHARS_MAX = 5
"""A longer value is not repeated in an error: it may be a secret in the wrong place."""


@dataclass(frozen=True, slots=True)
class GivenSettings:
    """What the option, or the variable of the same meaning, says. `typed`: it stands on the command line."""

    values: Mapping[str, Any] = field(default_factory=dict)
    typed: bool = False


def parse_kafka_config(context: click.Context, option: click.Parameter, value: str) -> GivenSettings:
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
    typed = context.get_parameter_source(str(option.name)) == ParameterSource.COMMANDLINE
    if typed and not value.startswith("@") and (secret := sorted(SECRETS & set(found))):
        variable = PREFIX + secret[0].upper().replace(".", "_")
        raise click.BadParameter(
            f"{secret[0]} is a secret, and a command line is seen by all of the machine's users; give {variable} or "
            f"{variable}_FILE in the environment, or @FILE"
        )
    return GivenSettings(found, typed)


kafka_config_option: Decorator = click.option(
    "--kafka-config",
    metavar="JSON|@FILE",
    default="{}",
    envvar="HEADRACE_KAFKA_CONFIG",
    show_envvar=True,
    callback=parse_kafka_config,
    help="A JSON object of librdkafka settings: security, tuning. @FILE reads it from a file.",
)


def reading_settings(kafka: str, given: GivenSettings | None = None) -> dict[str, Any]:
    """Return all settings for a cluster. Raises UsageError for those that librdkafka refuses."""
    return {**kafka_extra(given), "bootstrap.servers": kafka}


def kafka_extra(given: GivenSettings | None = None) -> dict[str, Any]:
    """Return what there is beside the bootstrap servers. Raises UsageError for what cannot be used."""
    given = given or GivenSettings()
    try:
        # What the variable holds is in `given`, read and checked.
        others = {name: text for name, text in os.environ.items() if name != f"{PREFIX}CONFIG"}
        found = sourced_settings(others, configuration().kafka)
        check_settings(found)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    single = {name: each.value for name, each in found.items() if each.source.startswith(PREFIX) and not given.typed}
    settings = {**{name: each.value for name, each in found.items()}, **given.values, **single}
    if settings:
        try:
            Consumer({"log_level": 0, **settings, "group.id": "headrace", "bootstrap.servers": "127.0.0.1:1"}).close()
        except KafkaException as error:
            raise click.UsageError(f"--kafka-config: {without_values(error.args[0].str(), settings)}") from None
    return {name: value for name, value in settings.items() if name not in SERVERS}


def without_values(text: str, config: Mapping[str, Any]) -> str:
    """Return what librdkafka says of settings without the values of them that it repeats."""
    for name, value in config.items():
        if isinstance(value, str) and (len(value) > SAID_CHARS_MAX or "password" in name) and value:
            text = text.replace(value, f"(the value of {name})")
    return text


def check_settings(sourced: Mapping[str, Setting]) -> None:
    """Have librdkafka look at settings, one by one and then together. Raises ValueError."""
    if not sourced:
        return
    for name, setting in sourced.items():
        if wrong := _refusal({name: setting.value}, ("No such configuration property", "Invalid value")):
            near = difflib.get_close_matches(name, [each for each in KNOWN if each != name], 1)
            meant = f"; did you mean {near[0]}?" if near and "No such" in wrong else ""
            # librdkafka's own words may hold the value.
            said = "librdkafka has no such setting" if "No such" in wrong else "librdkafka refuses the value"
            raise ValueError(f"{setting.source}: {name}: {said}{meant}")
    if wrong := _refusal({name: setting.value for name, setting in sourced.items()}, ("",)):
        raise ValueError(f"the settings of Kafka ({', '.join(sourced)}) do not go together or cannot be read: {wrong}")


def _refusal(settings: Mapping[str, Any], about: tuple[str, ...]) -> str | None:
    quiet: dict[str, Any] = {"log_level": 0, "error_cb": lambda _error: None}
    try:
        Consumer({**quiet, **settings, "group.id": "headrace-check"}).close()
    except KafkaException as error:
        said = error.args[0].str()
        return said if any(text in said for text in about) else None
    return None
