"""What librdkafka says in passing of connections that fail, kept for the error that is raised in the end.

A request to brokers that refuse us ends with "timed out" or "transport failure"; why is only told to error_cb. This
listens there, and says what to do about it. It lies here because producer and archiver both need it.
"""

from confluent_kafka import KafkaError

_REFUSALS = {KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED}
# What one of librdkafka's texts holds, lower case -> what to do. The first that fits is told.
_ADVICE = (
    (
        "certificate verify failed",
        (
            "the broker's certificate is not signed by what ssl.ca.location names, or is not made out to the host name "
            "under which it was asked: compare both with the address given by --kafka; do not switch verification off"
        ),
    ),
    (
        "hostname mismatch",
        (
            "the broker's certificate is made out to another host name: use the name that it holds in --kafka and "
            "in the broker's advertised.listeners"
        ),
    ),
    (
        "certificate required",
        "the broker demands a client certificate: set ssl.certificate.location and ssl.key.location",
    ),
    (
        "alert",
        "the broker refuses the client's certificate: has it expired, is it signed by a CA that the broker trusts?",
    ),
    ("sasl", "check sasl.username, sasl.password and sasl.mechanism, and that the user exists in this cluster"),
    ("ssl handshake", "is this a TLS listener, and does security.protocol fit it (SSL or SASL_SSL)?"),
    ("security.protocol", "is the address right, and is it the listener that security.protocol says?"),
)
DENIED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}
"""The codes by which a broker says that the user may not do this."""
DENIED_ADVICE = "this user's ACLs do not allow it: `headrace kafka acls --help` prints those of each role"


class KafkaTrouble:
    """An error_cb that remembers the last refusal. Call the client's poll(0) before asking, which serves callbacks."""

    def __init__(self) -> None:
        self._last: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        """Take what librdkafka says."""
        if error.code() in _REFUSALS or "security.protocol" in error.str():
            self._last = error

    def refusal(self) -> str | None:
        """Return why brokers refuse us and what to do, or None when nothing of the kind was heard."""
        return None if self._last is None else refusal_text(self._last)


def refusal_text(error: KafkaError) -> str | None:
    """Return a refusal in words, with what to do; None for an error that is none."""
    if error.code() in DENIED:
        return f"{error.str()}; {DENIED_ADVICE}"
    if error.code() not in _REFUSALS and "security.protocol" not in error.str():
        return None
    said = error.str()
    advice = next((text for words, text in _ADVICE if words in said.lower()), "check the security settings")
    return f"{said}; {advice}"
