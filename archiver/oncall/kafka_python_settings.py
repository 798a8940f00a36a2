"""librdkafka's settings as kafka-python takes them, so that one configuration serves both clients.

TLS becomes one context, made here with librdkafka's meanings: files or PEM texts, a folder of authorities, revocation
lists, host names checked unless told otherwise.
"""

import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

_SAME = {
    "bootstrap.servers": "bootstrap_servers",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "sasl.kerberos.service.name": "sasl_kerberos_service_name",
}
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI")
# What librdkafka can, and kafka-python cannot.
_PEM_ONLY = ("ssl.keystore.location", "ssl.engine.location", "ssl.providers")


def kafka_python_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return kafka-python's settings. Raises ValueError, OSError for what it cannot do, or what cannot be read."""
    settings: dict[str, Any] = {ours: config[name] for name, ours in _SAME.items() if name in config}
    protocol = str(config.get("security.protocol", "plaintext")).upper()  # librdkafka takes either case
    settings["security_protocol"] = protocol
    if protocol.startswith("SASL"):
        mechanism = str(config.get("sasl.mechanism", config.get("sasl.mechanisms", "GSSAPI"))).upper()
        if mechanism not in _MECHANISMS:
            raise ValueError(f"sasl.mechanism {mechanism}: kafka-python can use {', '.join(_MECHANISMS)} here")
        settings["sasl_mechanism"] = mechanism
    if protocol.endswith("SSL"):
        settings["ssl_context"] = tls_context(config)
    return settings


def tls_context(config: Mapping[str, Any]) -> ssl.SSLContext:
    """Return what librdkafka's ssl... settings say, as a context. Raises ValueError, OSError."""
    for name in _PEM_ONLY:
        if config.get(name):
            raise ValueError(
                f"{name}: kafka-python reads PEM alone; give ssl.certificate.location and ssl.key.location"
            )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = str(config.get("ssl.endpoint.identification.algorithm", "https")).lower() != "none"
    if _is_off(config.get("enable.ssl.certificate.verification")):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    location, text = str(config.get("ssl.ca.location", "")), config.get("ssl.ca.pem")
    if text:
        context.load_verify_locations(cadata=str(text))
    elif location and location != "probe":
        at = Path(location)
        context.load_verify_locations(**({"capath": location} if at.is_dir() else {"cafile": location}))
    else:
        context.load_default_certs()
    if revoked := config.get("ssl.crl.location"):
        context.load_verify_locations(cafile=str(revoked))
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    if suites := config.get("ssl.cipher.suites"):
        context.set_ciphers(str(suites))
    _show_certificate(context, config)
    return context


def _show_certificate(context: ssl.SSLContext, config: Mapping[str, Any]) -> None:
    with ExitStack() as stack:
        certificate, key = (
            stack.enter_context(_as_file(str(config[f"{what}.pem"])))
            if config.get(f"{what}.pem")
            else config.get(f"{what}.location")
            for what in ("ssl.certificate", "ssl.key")
        )
        if certificate:
            context.load_cert_chain(str(certificate), key and str(key), config.get("ssl.key.password"))


@contextmanager
def _as_file(text: str) -> Iterator[str]:
    """Yield the path of a file with a text, in memory where the system has that: OpenSSL reads chains from files."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("headrace"), "wb") as file:
            file.write(text.encode())
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
        return
    with tempfile.NamedTemporaryFile() as file:  # readable by its owner alone
        file.write(text.encode())
        file.flush()
        yield file.name


def _is_off(value: Any) -> bool:
    return value is not None and str(value).lower() in ("false", "0", "f")
