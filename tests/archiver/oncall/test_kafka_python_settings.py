"""One configuration for two clients: librdkafka's settings as kafka-python takes them."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from secured_kafka import Certificates

from headrace.archiver.oncall.kafka_python_settings import kafka_python_settings, tls_context


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    made = Certificates(tmp_path_factory.mktemp("signed"))
    return (made.ca, *made.sign("localhost", "DNS:localhost"))


def shakes_hands(client: ssl.SSLContext, signed: tuple[Path, Path, Path], name: str = "localhost") -> str:
    """Let a client meet a server that demands a certificate; return the client's name, as the server saw it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(str(signed[1]), str(signed[2]))
    server.load_verify_locations(str(signed[0]))
    server.verify_mode = ssl.CERT_REQUIRED
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(back, there, server_hostname=name)
    theirs = server.wrap_bio(there, back, server_side=True)
    done: set[Any] = set()
    for _ in range(20):
        for side in (ours, theirs):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
        if len(done) == 2:
            break
    found: Any = theirs.getpeercert()
    return str(dict(each[0] for each in found["subject"])["commonName"])


def test_certificates_as_files_and_as_texts_are_the_same(signed: tuple[Path, Path, Path]) -> None:
    """The server sees the client's certificate either way, and the client trusts it by its authority."""
    files = {"ssl.ca.location": signed[0], "ssl.certificate.location": signed[1], "ssl.key.location": signed[2]}
    names = ("ssl.ca.pem", "ssl.certificate.pem", "ssl.key.pem")
    texts = dict(zip(names, (each.read_text() for each in signed), strict=True))
    for config in (files, texts):
        assert shakes_hands(tls_context(config), signed) == "localhost"


def test_host_names_and_authorities_are_checked_unless_told_otherwise(signed: tuple[Path, Path, Path]) -> None:
    """As librdkafka does by default; `none` and `false` turn off what they say."""
    own = {"ssl.certificate.location": signed[1], "ssl.key.location": signed[2]}
    trusting = own | {"ssl.ca.location": signed[0]}
    with pytest.raises(ssl.SSLCertVerificationError, match=r"Hostname mismatch|not valid for"):
        shakes_hands(tls_context(trusting), signed, name="elsewhere")
    unnamed = trusting | {"ssl.endpoint.identification.algorithm": "none"}
    assert shakes_hands(tls_context(unnamed), signed, name="elsewhere") == "localhost"
    with pytest.raises(ssl.SSLCertVerificationError):
        shakes_hands(tls_context(own), signed)
    blind = own | {"enable.ssl.certificate.verification": False}
    assert shakes_hands(tls_context(blind), signed, name="elsewhere") == "localhost"


def test_names_are_translated() -> None:
    """Protocol and mechanism in either case; what kafka-python does not know is left out."""
    config = {
        "bootstrap.servers": "k:1", "security.protocol": "sasl_plaintext", "sasl.mechanisms": "scram-sha-512",
        "sasl.username": "u", "sasl.password": "p", "client.rack": "r", "fetch.min.bytes": 1,
    }  # fmt: skip
    assert kafka_python_settings(config) == {
        "bootstrap_servers": "k:1", "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "u", "sasl_plain_password": "p",
    }  # fmt: skip
    assert kafka_python_settings({"bootstrap.servers": "k:1"}) == {
        "bootstrap_servers": "k:1", "security_protocol": "PLAINTEXT",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}, "sasl.mechanism OAUTHBEARER"),
        ({"security.protocol": "SSL", "ssl.keystore.location": "/k.p12"}, "ssl.keystore.location: kafka-python reads"),
        ({"security.protocol": "SSL", "ssl.ca.location": "/no/ca.pem"}, "No such file"),
        ({"security.protocol": "SSL", "ssl.cipher.suites": "none-such"}, "cipher"),
    ],
)
def test_what_it_cannot_do_is_said(config: dict[str, Any], said: str) -> None:
    """`headrace lag` then names the question as not answered, with this reason."""
    with pytest.raises((ValueError, OSError), match=said):
        kafka_python_settings(config)
