"""Positions in Kafka: log starts and ends, first records. Reads only.

For people who look, one partition without an answer is a fact about that partition and not the end: whoever is on call
wants to see the others. The archiver needs all that it asks for (`log_ranges`).
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
)
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from headrace.schemas.kafka_trouble import refusal_text

from .kafka_metadata import admin_settings
from .source import SourceError, TopicPartition

EARLIEST = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # the library annotates no return type
LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the library annotates no return type
REQUEST_TIMEOUT_S = 8.0
CHUNK_PARTITIONS = 500
SETTLE_ATTEMPTS_MAX = 8
SETTLE_PAUSE_S = 0.25
POLL_S = 0.1
POLL_RECORDS = 500
# A topic that was made a moment ago, or whose leader moves, answers so for a moment.
SETTLING = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
}


@dataclass(frozen=True, slots=True)
class LogEnds:
    """One partition's log: its first offset, the end for read_committed readers, the end of all that is written."""

    log_start: int
    last_stable: int
    high_watermark: int


@dataclass(frozen=True, slots=True)
class FirstRecord:
    """The first visible record from an offset on. `timestamp` in ms; None: there is none, only markers."""

    timestamp: int | None


class KafkaAdmin:
    """Asks one cluster. `config`: librdkafka's settings; `pause(seconds)` waits, `monotonic()` gives rising seconds."""

    def __init__(
        self, config: Mapping[str, Any], *, pause: Callable[[float], None], monotonic: Callable[[], float]
    ) -> None:
        self._bootstrap = str(config["bootstrap.servers"])
        self._pause = pause
        self._monotonic = monotonic
        self._consumer_config: dict[str, Any] = {"log_level": 0, "error_cb": lambda _error: None, **config}
        self._admin = AdminClient(admin_settings(self._consumer_config))

    def log_ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, LogEnds | str]:
        """Return each partition's ends, or why there is no answer. Raises SourceError when no broker answers."""
        found: dict[TopicPartition, LogEnds | str] = {}
        left = list(partitions)
        for attempt in range(SETTLE_ATTEMPTS_MAX):
            if attempt:
                self._pause(SETTLE_PAUSE_S)
            settling: list[TopicPartition] = []
            for begin in range(0, len(left), CHUNK_PARTITIONS):
                for where, answer in self._ends(left[begin : begin + CHUNK_PARTITIONS]).items():
                    if isinstance(answer, KafkaError):
                        found[where] = answer.str()
                        if answer.code() in SETTLING:
                            settling.append(where)
                    else:
                        found[where] = answer
            left = settling
            if not left:
                break
        return found

    def log_starts(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the log start of each partition that answers. Raises SourceError when no broker does."""
        found: dict[TopicPartition, int] = {}
        listed = list(partitions)
        for begin in range(0, len(listed), CHUNK_PARTITIONS):
            chunk = listed[begin : begin + CHUNK_PARTITIONS]
            answers = self._offsets(chunk, EARLIEST, IsolationLevel.READ_COMMITTED)
            found.update({where: each for where, each in answers.items() if isinstance(each, int)})
        return found

    def log_ranges(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """Return (log start, last stable offset) of each partition. Raises SourceError when one has no answer."""
        ranges: dict[TopicPartition, tuple[int, int]] = {}
        for where, ends in self.log_ends(partitions).items():
            if isinstance(ends, str):
                at = f"{where.topic}/{where.partition}"
                raise SourceError(f"asking for the offsets of {at} of Kafka at {self._bootstrap}: {ends}")
            ranges[where] = (ends.log_start, ends.last_stable)
        return ranges

    def date_ends(self, topic: str, timestamp_ms: int) -> dict[int, int | None]:
        """Return each partition's first offset with at least this timestamp; see sealing.DateEnds.

        Offsets inside of open transactions count: what lies before the end must be closed. Raises SourceError.
        """
        partitions = self._partitions(topic)
        at_time = OffsetSpec.for_timestamp(timestamp_ms)
        found = self._offsets(partitions, at_time, IsolationLevel.READ_UNCOMMITTED)
        ends: dict[int, int | None] = {}
        for where, answer in found.items():
            if isinstance(answer, KafkaError):
                raise self._error(f"asking where a date ends in {where.topic}/{where.partition}", answer)
            ends[where.partition] = answer if answer >= 0 else None
        open_ended = [where for where in partitions if ends[where.partition] is None]
        for where, end in self.log_ends(open_ended).items() if open_ended else ():
            if isinstance(end, str):
                raise SourceError(f"asking for the end of {where.topic}/{where.partition}: {end}")
            ends[where.partition] = end.last_stable if end.last_stable == end.high_watermark else None
        return ends

    def _partitions(self, topic: str) -> list[TopicPartition]:
        future = self._admin.describe_topics(TopicCollection([topic]), request_timeout=REQUEST_TIMEOUT_S)[topic]
        try:
            return [TopicPartition(topic, partition.id) for partition in future.result().partitions]
        except KafkaException as error:
            raise self._error(f"asking for the partitions of {topic}", error.args[0]) from error

    def _ends(self, partitions: list[TopicPartition]) -> dict[TopicPartition, LogEnds | KafkaError]:
        # One after the other: librdkafka 2.16 crashed in such a call while others of the same client were under way.
        starts = self._offsets(partitions, EARLIEST, IsolationLevel.READ_COMMITTED)
        stable = self._offsets(partitions, LATEST, IsolationLevel.READ_COMMITTED)
        highs = self._offsets(partitions, LATEST, IsolationLevel.READ_UNCOMMITTED)
        answers: dict[TopicPartition, LogEnds | KafkaError] = {}
        for where in partitions:
            three = (starts[where], stable[where], highs[where])
            errors = [each for each in three if isinstance(each, KafkaError)]
            offsets = [each for each in three if isinstance(each, int)]
            answers[where] = errors[0] if errors else LogEnds(*offsets)
        return answers

    def _offsets(
        self, partitions: Iterable[TopicPartition], spec: OffsetSpec, isolation: IsolationLevel
    ) -> dict[TopicPartition, int | KafkaError]:
        asked = {KafkaPartition(where.topic, where.partition): spec for where in partitions}
        futures = self._admin.list_offsets(asked, isolation_level=isolation, request_timeout=REQUEST_TIMEOUT_S)
        offsets: dict[TopicPartition, int | KafkaError] = {}
        for where, future in futures.items():
            try:
                offsets[TopicPartition(where.topic, where.partition)] = int(future.result().offset)
            except KafkaException as error:
                reason = error.args[0]
                if reason.code() in {KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN}:
                    raise self._error("asking for offsets", reason) from error
                offsets[TopicPartition(where.topic, where.partition)] = reason
        return offsets

    def first_records(
        self, starts: Mapping[TopicPartition, int], *, timeout_s: float
    ) -> dict[TopicPartition, FirstRecord]:
        """Return the first visible record at or after an offset of each partition, as far as found in `timeout_s`."""
        if not starts:
            return {}
        consumer = Consumer(
            {
                **self._consumer_config,
                "group.id": "headrace-lag",  # required by the client; nothing is ever committed to it
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "allow.auto.create.topics": False,
                "queued.min.messages": 1,
                # Without this a partition is fetched from a second after it was assigned.
                "fetch.queue.backoff.ms": 10,
                "max.partition.fetch.bytes": 64 << 10,
                "fetch.max.bytes": 4 << 20,
                "fetch.wait.max.ms": 100,
            }
        )
        found: dict[TopicPartition, FirstRecord] = {}
        try:
            consumer.assign([KafkaPartition(p.topic, p.partition, offset) for p, offset in starts.items()])
            deadline = self._monotonic() + timeout_s
            while len(found) < len(starts) and self._monotonic() < deadline:
                for message in consumer.consume(POLL_RECORDS, POLL_S):
                    error, topic, partition = message.error(), message.topic(), message.partition()
                    if topic is None or partition is None or TopicPartition(topic, partition) in found:
                        continue
                    if error is None:
                        found[TopicPartition(topic, partition)] = FirstRecord(message.timestamp()[1])
                    elif error.code() == KafkaError._PARTITION_EOF:
                        found[TopicPartition(topic, partition)] = FirstRecord(None)
                    else:
                        continue  # not readable now; the deadline bounds the wait
                    consumer.incremental_unassign([KafkaPartition(topic, partition)])
        except KafkaException as error:
            raise self._error("looking for the first unarchived records", error.args[0]) from error
        finally:
            consumer.close()
        return found

    def _error(self, doing: str, reason: KafkaError) -> SourceError:
        told = refusal_text(reason) or f"{reason.str()}; is the address right, and is Kafka up?"
        return SourceError(f"{doing} of Kafka at {self._bootstrap}: {told}")
