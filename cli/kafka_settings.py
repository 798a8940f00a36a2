"""The settings with which every verb reaches Kafka: the bootstrap servers, and what HEADRACE_KAFKA_... adds to them.

A setting that librdkafka does not know, or cannot use (a certificate file that is not there), ends the command before
anything is begun, with the variable's name.
"""

import difflib
import os
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException

from headrace.producer.kafka_environment import Setting, sourced_settings

from .options import EXIT_USAGE, fail

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


def kafka_settings(bootstrap: str) -> dict[str, Any]:
    """Return librdkafka's settings for a cluster. Ends the command when the environment's cannot be used."""
    return {"bootstrap.servers": bootstrap, **kafka_extra()}


def kafka_extra() -> dict[str, Any]:
    """Return what the environment adds to the bootstrap servers. Ends the command when it cannot be used."""
    try:
        sourced = sourced_settings(os.environ)
        check_settings(sourced)
    except ValueError as error:
        fail(str(error), EXIT_USAGE)
    return {name: setting.value for name, setting in sourced.items()}


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
