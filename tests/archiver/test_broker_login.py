"""How connections for fetching log in, against the examples of the RFCs; what is left to librdkafka."""

import pytest

from headrace.archiver.broker_connection import brokers_of
from headrace.archiver.broker_login import _scram, log_in, unsupported
from headrace.archiver.fetch_protocol import SASL_HANDSHAKE, ProtocolError, Reader, bytes32

# RFC 7677, section 3.
NONCE = "rOprNGfwEbeRWgbNEkqO"
CHALLENGE = f"r={NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
PROOF = f"c=biws,r={NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
SIGNATURE = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def scram(*answers: str) -> list[str]:
    said: list[str] = []
    left = list(answers)

    def say(text: bytes) -> bytes:
        said.append(text.decode())
        return left.pop(0).encode()

    _scram("sha256", "user", "pencil", say, nonce=NONCE)
    return said


def test_scram_is_the_rfcs() -> None:
    """The example of RFC 7677: both of what a client says, and the server's signature is taken."""
    assert scram(CHALLENGE, SIGNATURE) == [f"n,,n=user,r={NONCE}", PROOF]


@pytest.mark.parametrize(
    ("challenge", "signature"),
    [
        (CHALLENGE, "v=AAAA"),
        (CHALLENGE, "e=other-error"),
        (CHALLENGE.replace(NONCE, "another"), SIGNATURE),
        (CHALLENGE.replace("4096", "4096000000"), SIGNATURE),
        (CHALLENGE.replace("4096", "0"), SIGNATURE),
        ("", SIGNATURE),
    ],
)
def test_a_broker_that_does_not_know_the_password_is_refused(challenge: str, signature: str) -> None:
    """A wrong signature, another nonce, and a challenge that would keep the client computing for ever."""
    with pytest.raises(ProtocolError, match="SCRAM"):
        scram(challenge, signature)


def test_plain_says_name_and_password() -> None:
    """RFC 4616: a NUL before each; a refusal is told with the broker's words, and without the password."""
    asked: list[bytes] = []

    def ask(api: int, body: bytes) -> Reader:
        asked.append(body)
        refused = b"\0\0" if api == SASL_HANDSHAKE else b"\0\x3a\0\x04nope" + bytes32(b"")
        return Reader(memoryview(refused))

    config = {"security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": "pw"}
    with pytest.raises(ProtocolError, match="'u': nope") as told:
        log_in(config, ask, NONCE)
    assert asked[1] == bytes32(b"\0u\0pw")
    assert "pw" not in str(told.value)


@pytest.mark.parametrize(
    ("config", "left"),
    [
        ({}, None),
        ({"security.protocol": "ssl", "ssl.ca.location": "/x"}, None),
        ({"security.protocol": "sasl_ssl", "sasl.mechanisms": "scram-sha-256"}, None),
        ({"security.protocol": "SASL_SSL"}, "sasl.mechanism GSSAPI"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}, "sasl.mechanism OAUTHBEARER"),
        ({"ssl.keystore.location": "/x.p12"}, "ssl.keystore.location"),
        ({"client.rack": "eu-1a"}, "client.rack"),
        ({"client.rack": ""}, None),
    ],
)
def test_what_is_left_to_librdkafka(config: dict[str, str], left: str | None) -> None:
    """The setting for which it is, and nothing for those that are known here."""
    assert unsupported(config) == left


def test_addresses_as_librdkafka_takes_them() -> None:
    """Several, with protocols in front, of IPv6, without a port."""
    found = brokers_of("a:1, SASL_SSL://b:2,[::1]:3,[::2],c,,")
    assert found == [("a", 1), ("b", 2), ("::1", 3), ("::2", 9092), ("c", 9092)]
