"""What Kafka says of itself: its cluster, its topics and their ids. Reads only; joins no group."""

from collections.abc import Collection, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from headrace.schemas.kafka_trouble import KafkaTrouble, refusal_text

from .source import SourceError

REQUEST_TIMEOUT_S = 30.0
FIRST_CONTACT_TIMEOUT_S = 8.0

_CONSUMER_ONLY = (
    *("group.", "session.", "heartbeat.", "partition.", "isolation.", "auto.", "enable.auto.", "queued."),
    *("enable.partition.", "fetch.", "check.", "allow."),
)


def admin_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return librdkafka's settings without those of consumers only, of which an admin client would warn about each."""
    return {name: value for name, value in config.items() if not name.startswith(_CONSUMER_ONLY)}


class KafkaMetadata:
    """Metadata of one cluster. `config` holds librdkafka's settings; those of consumers only are passed over.

    All methods raise SourceError when no broker answers.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._bootstrap = str(config["bootstrap.servers"])
        self._trouble = KafkaTrouble()
        settings: dict[str, Any] = {"log_level": 0}
        settings.update(admin_settings(config))
        settings["error_cb"] = self._trouble
        self._admin = AdminClient(settings)

    def topics(self) -> dict[str, int]:
        """Return each topic's number of partitions, Kafka's internal topics left out."""
        try:
            found = self._admin.list_topics(timeout=FIRST_CONTACT_TIMEOUT_S).topics
        except KafkaException as error:
            raise self._error("asking for the topics", error) from error
        return {name: len(topic.partitions) for name, topic in found.items() if not name.startswith("__")}

    def cluster_id(self) -> str:
        """Return the cluster's id."""
        try:
            return str(self._admin.list_topics(timeout=FIRST_CONTACT_TIMEOUT_S).cluster_id)
        except KafkaException as error:
            raise self._error("asking for the cluster's id", error) from error

    def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return the ids of those of `topics` that exist."""
        if not topics:
            return {}
        futures = self._admin.describe_topics(TopicCollection(list(topics)), request_timeout=REQUEST_TIMEOUT_S)
        found: dict[str, str] = {}
        for topic, future in futures.items():
            try:
                found[topic] = str(future.result().topic_id)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise self._error(f"asking for the id of topic {topic}", error) from error
        return found

    def _error(self, doing: str, error: KafkaException) -> SourceError:
        reason = error.args[0]
        text = reason.str() if isinstance(reason, KafkaError) else str(error)
        self._admin.poll(0)  # serves error_cb
        refused = self._trouble.refusal() or (refusal_text(reason) if isinstance(reason, KafkaError) else None)
        if refused:
            return SourceError(
                f"{doing} of Kafka at {self._bootstrap}: {refused} (settings: --kafka-config, HEADRACE_KAFKA_CONFIG, "
                "HEADRACE_KAFKA_<SETTING>)"
            )
        # A broker that refuses a client's certificate, or another protocol, just closes the connection.
        return SourceError(
            f"{doing} of Kafka at {self._bootstrap}: {text}; is the address right, and is Kafka up? If so, is it the "
            "listener that security.protocol says, and does it trust the client's certificate "
            "(ssl.certificate.location) where it demands one?"
        )
