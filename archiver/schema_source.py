"""Where the archiver finds writer schemas by fingerprint, and where it keeps them.

The archive's own copy comes first (`schemas/<fingerprint>.avsc`, first writer wins), so that all workers of all times
decode alike; then Kafka's schema topic, then the built-in types. What is found elsewhere is kept in the archive before
the first row that needs it is committed. Avro's canonical form drops logical types, so two texts can share a
fingerprint: a second one is kept beside the first under its SHA-256, and reported.
"""

import hashlib
import json
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from headrace.schemas.canonical import fingerprint, load
from headrace.schemas.errors import SchemaError

from .object_store import ObjectNotFound, ObjectStore

log = logging.getLogger("headrace.archiver")

UNKNOWN_RETRY_S = 10.0  # what nobody knew is asked for again after so long
TOPIC_READS_MAX = 5  # in UNKNOWN_RETRY_S: noise with ever new fingerprints must not become load on Kafka
MISSES_MAX = 10_000
READ_TIMEOUT_S = 10.0


class KnownTexts(Protocol):
    """Schema texts that are at hand without asking anyone."""

    def text_by_fingerprint(self, fingerprint: bytes) -> str | None:
        """Return the text or None."""
        ...


class ArchiveSchemas:
    """A SchemaSource over the archive, the schema topic and built-in texts.

    `read_topic()` returns all texts of Kafka's schema topic, as the values of its records. `monotonic()` gives seconds.
    A fingerprint that is new here is asked for at once, everywhere; one that nobody knew again after UNKNOWN_RETRY_S.
    """

    def __init__(
        self,
        store: ObjectStore,
        builtin: KnownTexts,
        read_topic: Callable[[], list[bytes]],
        *,
        monotonic: Callable[[], float],
    ) -> None:
        self._store = store
        self._builtin = builtin
        self._read_topic = read_topic
        self._monotonic = monotonic
        self._texts: dict[bytes, str] = {}
        self._from_topic: dict[bytes, str] = {}
        self._misses: dict[bytes, float] = {}
        self._topic_reads_s: deque[float] = deque(maxlen=TOPIC_READS_MAX)
        self._reported: set[str] = set()

    def text_by_fingerprint(self, fingerprint: bytes) -> str | None:
        """Return the writer schema for 8 little-endian bytes, or None. Raises StoreError."""
        if fingerprint in self._texts:
            return self._texts[fingerprint]
        missed_s = self._misses.get(fingerprint)
        if missed_s is not None and self._monotonic() - missed_s < UNKNOWN_RETRY_S:
            return None
        text = self._find(fingerprint)
        if text is None:
            if len(self._misses) >= MISSES_MAX:
                self._misses.clear()
            self._misses[fingerprint] = self._monotonic()
        else:
            self._texts[fingerprint] = text
        return text

    def text_by_registry_id(self, schema_id: int) -> str | None:  # noqa: ARG002 - the interface's signature
        """Return None: no registry is configured."""
        return None

    def _find(self, wanted: bytes) -> str | None:
        name = f"schemas/{wanted.hex()}.avsc"
        elsewhere = self._builtin.text_by_fingerprint(wanted) or self._topic_text(wanted)
        try:
            kept = self._store.get(name).decode()
        except ObjectNotFound:
            if elsewhere is None:
                return None
            if self._store.put_if_absent(name, elsewhere.encode()):
                return elsewhere
            kept = self._store.get(name).decode()
        if elsewhere is not None and json.loads(elsewhere) != json.loads(kept):
            self._keep_second_text(wanted, elsewhere)
        return kept

    def _keep_second_text(self, wanted: bytes, text: str) -> None:
        digest = hashlib.sha256(text.encode()).hexdigest()
        if digest not in self._reported:
            self._reported.add(digest)
            log.error(
                "two schema texts share the fingerprint %s (they differ in logical types or defaults, say); rows are "
                "read with the text that was archived first, the other is kept as schemas/%s-%s.avsc",
                *(wanted.hex(), wanted.hex(), digest),
            )
            self._store.put_if_absent(f"schemas/{wanted.hex()}-{digest}.avsc", text.encode())

    def _topic_text(self, wanted: bytes) -> str | None:
        if wanted not in self._from_topic:
            now, reads = self._monotonic(), self._topic_reads_s
            if len(reads) == TOPIC_READS_MAX and now - reads[0] < UNKNOWN_RETRY_S:
                return None
            reads.append(now)
            self._from_topic.update(by_fingerprint(self._read_topic()))
        return self._from_topic.get(wanted)


def by_fingerprint(texts: list[bytes]) -> dict[bytes, str]:
    """Index schema texts by the fingerprint that they really have; what is no schema is reported and passed over."""
    found: dict[bytes, str] = {}
    for body in texts:
        try:
            text = body.decode()
            found[fingerprint(load(text, "the schema topic"))] = text
        except (ValueError, SchemaError) as error:
            log.warning("the schema topic holds a record that is no schema: %s", error)
    return found


def read_schema_topic(config: Mapping[str, Any], topic: str) -> list[bytes]:
    """Return the values of all records of the schema topic; an absent topic or a silent Kafka gives an empty list."""
    keep = {k: v for k, v in config.items() if not k.startswith(("group.", "partition.", "client."))}
    settings = {"group.id": "headrace-schema-reader", "enable.auto.commit": False, "enable.partition.eof": True}
    consumer = Consumer({**keep, **settings, "log_level": 0})
    values: list[bytes] = []
    try:
        known = consumer.list_topics(topic, timeout=READ_TIMEOUT_S).topics[topic]
        if known.error is None:
            consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in known.partitions])
            _read_to_ends(consumer, set(known.partitions), values)
    except KafkaException as error:
        log.warning("cannot read the schema topic %s: %s", topic, error)
    finally:
        consumer.close()
    return values


def _read_to_ends(consumer: Consumer, left: set[int], values: list[bytes]) -> None:
    """Add the values of all records up to the ends of the partitions `left`. Raises KafkaException."""
    while left:
        # One by one: consume() would wait for a full batch, which a topic of a few schemas never fills.
        message = consumer.poll(READ_TIMEOUT_S)
        if message is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        problem = message.error()
        if problem is None:
            value = message.value()
            if value is not None:
                values.append(value)
        elif problem.code() == KafkaError._PARTITION_EOF:
            left.discard(message.partition() or 0)
        else:
            raise KafkaException(problem)
