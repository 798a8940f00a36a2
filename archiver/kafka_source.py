"""The real Kafka behind source.py: a cooperative consumer, read_committed, whose offsets come from the commit log.

Auto commit, auto offset store and auto offset reset are all off: Kafka's own idea of where to go on is never used, and
an offset that is not there becomes an event instead of a silent jump.
"""

import gc
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from headrace.schemas.kafka_trouble import DENIED, DENIED_ADVICE, refusal_text

from .clock import Clock
from .epoch_check import EpochCheck, at_start
from .group_care import LOOK_S, GroupCare
from .kafka_admin import KafkaAdmin
from .kafka_metadata import KafkaMetadata
from .kafka_records import joined, records_of
from .source import (
    NO_NOTES,
    Assignee,
    OffsetLost,
    Reached,
    Records,
    SourceError,
    SourceEvent,
    SourceFenced,
    Start,
    TopicPartition,
)

CHUNK = 10_000  # more messages at once do not stay in the processor's caches
POLL_BYTES = 8 << 20
COMMIT_PARTITIONS_MAX = 500  # with full metadata 150 kB: brokers refuse a commit beyond 1 MB as a whole

# A partition with one of these cannot be read on from where it is; the worker decides what that means.
OFFSET_LOST = {
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError._LOG_TRUNCATION,
    KafkaError.OFFSET_OUT_OF_RANGE,
}
# What fences a static member comes wrapped as _FATAL; the client knows no other fatal error of a consumer.
FENCED = {KafkaError._FATAL, KafkaError._FENCED, KafkaError.FENCED_INSTANCE_ID, KafkaError.FENCED_MEMBER_EPOCH}
DENIED_AGAIN_S = 60.0
# Passing states of the cluster or of a topic that is not there (yet): the client goes on by itself.
PASSING = {
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._RESOLVE,
    KafkaError._MAX_POLL_EXCEEDED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}


def consumer_config(
    bootstrap: str, group: str, *, instance_id: str | None, queue_kb_max: int, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return librdkafka's settings for a worker. `extra` (security and the like) cannot change what exactness needs."""
    config: dict[str, Any] = {
        "session.timeout.ms": 15_000,
        "heartbeat.interval.ms": 3_000,
        "topic.metadata.refresh.interval.ms": 10_000,
        "fetch.wait.max.ms": 200,
        # A partition whose queue was full is fetched again after so long; the default, a second, starves a fast worker.
        "fetch.queue.backoff.ms": 20,
        "log_level": 3,
    }
    config.update(extra or {})
    config.update(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "partition.assignment.strategy": "cooperative-sticky",
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "check.crcs": True,
            "allow.auto.create.topics": False,
            "queued.max.messages.kbytes": queue_kb_max,
        }
    )
    if instance_id is not None:
        config["group.instance.id"] = instance_id
    return config


class KafkaSource:
    """A Source on confluent-kafka. `warn(text)` hears of passing trouble, at most once for each different text.

    poll() returns when it has about `poll_bytes`.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        topics: Sequence[str],
        assignee: Assignee,
        *,
        clock: Clock,
        warn: Callable[[str], None],
        poll_bytes: int = POLL_BYTES,
        look_s: float = LOOK_S,
    ) -> None:
        self._bootstrap = str(config["bootstrap.servers"])
        self._assignee = assignee
        self._warn = warn
        self._warned: set[str] = set()
        self._denied_s: dict[str, float] = {}  # when each denial was told
        self._poll_bytes = poll_bytes
        # A name that begins with ^ is a pattern to librdkafka.
        self._only_topic = topics[0] if len(topics) == 1 and not topics[0].startswith("^") else None
        self._clock = clock
        self._starts: dict[TopicPartition, int] = {}  # where reading of each partition was begun last
        self._told_lost: set[TopicPartition] = set()  # those whose offset was told to be lost since
        settings = dict(config)
        settings["error_cb"] = self._on_error
        self._consumer = Consumer(settings)
        self._metadata = KafkaMetadata(config)
        self._positions = KafkaAdmin(config, pause=clock.pause, monotonic=clock.monotonic)
        self._epochs = EpochCheck(self._consumer, self.log_ranges)
        self._topics = list(topics)
        self._care = GroupCare(
            self._consumer,
            config,
            topics,
            subscribe=self._subscribe,
            warn=warn,
            monotonic=clock.monotonic,
            look_s=look_s,
        )
        self._subscribe()

    def _subscribe(self) -> None:
        self._consumer.subscribe(
            self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def cluster_id(self) -> str:
        """Return the cluster's id."""
        return self._metadata.cluster_id()

    def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return the ids of those of `topics` that exist."""
        return self._metadata.topic_ids(topics)

    def log_ranges(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """Return (log start, last stable offset) of each partition."""
        return self._positions.log_ranges(partitions)

    def date_ends(self, topic: str, timestamp_ms: int) -> dict[int, int | None]:
        """Return where a date ends in each partition; see sealing.DateEnds."""
        return self._positions.date_ends(topic, timestamp_ms)

    # -- reading -----------------------------------------------------------------------------------------------------

    def poll(self, max_records: int, timeout_s: float) -> list[SourceEvent]:
        """Return what came; see Source.poll."""
        self._care.look()
        self._seek()
        events: list[SourceEvent] = []
        found: dict[str, list[Records]] = defaultdict(list)
        taken = taken_bytes = 0
        # Filling lists of thousands of objects sets off the cyclic collector again and again, for nothing: messages
        # form no cycles. It stays off until they are columns, and gone.
        gc.disable()
        try:
            # After the wait for a first message, what lies in the client's queue and no more: that is bounded in bytes.
            # To wait for `max_records` would let it be filled again and again meanwhile. The larger records turn out to
            # be, the fewer are taken at once.
            chunk = CHUNK
            while messages := self._consumed(min(max_records - taken, chunk), 0 if taken else timeout_s):
                taken += len(messages)
                for records in self._sorted_out(messages, events):
                    found[records.topic].append(records)
                    taken_bytes += records.batch.nbytes
                if taken >= max_records or taken_bytes >= self._poll_bytes:
                    break
                chunk = max(1, min(CHUNK, self._poll_bytes * taken // max(taken_bytes, 1)))
        finally:
            gc.enable()
        # Records first: what a problem cuts off came before it.
        return [*map(joined, found.values()), *events]

    def _consumed(self, max_records: int, timeout_s: float) -> list[Message]:
        try:
            if not timeout_s:
                return self._consumer.consume(max_records, 0)
            return self._consumer.consume(1, timeout_s)
        except KafkaException as error:
            raise self._unreachable("consuming", error) from error

    def _sorted_out(self, messages: list[Message], events: list[SourceEvent]) -> list[Records]:
        """Return the records by topic, and add to `events` what the client says of partitions."""
        if any(map(Message.error, messages)):
            for message in messages:
                if (problem := message.error()) is not None:
                    events += self._problem(message, problem)
            messages = [message for message in messages if message.error() is None]
        if self._epochs:
            messages = [m for m in messages if self._epochs.passes(_partition_of(m), cast("int", m.offset()))]
        found: list[Records] = []
        for topic, group in self._by_topic(messages).items():
            records, unreadable = records_of(topic, group)
            found.append(records)
            events += unreadable
        return found

    def _by_topic(self, messages: list[Message]) -> dict[str, list[Message]]:
        if self._only_topic is not None:
            return {self._only_topic: messages} if messages else {}
        topics = cast("list[str]", list(map(Message.topic, messages)))
        if len(set(topics)) == 1:
            return {topics[0]: messages}
        by_topic: dict[str, list[Message]] = defaultdict(list)
        for topic, message in zip(topics, messages, strict=True):
            by_topic[topic].append(message)
        return by_topic

    def _seek(self) -> None:
        try:
            self._epochs.seek()
        except KafkaException as error:
            raise self._unreachable("seeking", error) from error

    def _problem(self, message: Message, error: KafkaError) -> list[SourceEvent]:
        topic, partition = message.topic(), message.partition()
        if error.code() in OFFSET_LOST and topic is not None and partition is not None:
            lost = TopicPartition(topic, partition)
            if self._told_already(lost, message) or not self._epochs.believes_lost(lost, error):
                return []
            self._told_lost.add(lost)
            return [OffsetLost(lost, error.str())]
        if error.code() == KafkaError._PARTITION_EOF:
            end, offset = _partition_of(message), cast("int", message.offset())
            return [Reached(end, offset)] if self._epochs.passes(end, offset) else []
        if error.code() not in FENCED and self._epochs.waits(_partition_of(message)):
            return []
        if error.code() in FENCED:
            raise SourceFenced(f"another archiver took this worker's place in the group: {error.str()}")
        if error.code() in PASSING:
            self._warn_once(f"Kafka at {self._bootstrap}: {error.str()}")
            return []
        where = f"{topic}/{partition}" if topic else self._bootstrap
        if error.code() in DENIED:
            # The client goes on asking, so it goes on where it was once it is allowed again: nothing is skipped.
            self._denied(f"consuming {where}: {error.str()}; {DENIED_ADVICE}. Nothing is lost while Kafka keeps it")
            return []
        raise SourceError(f"consuming {where}: {error.str()} ({error.name()}); check the topic, the rights, the broker")

    def _told_already(self, partition: TopicPartition, message: Message) -> bool:
        """Whether a lost offset was told since reading was begun last, or lies before where that was.

        The client may say twice that an offset is gone, also after reading was begun behind the gap. Taken for news, it
        would say that the log was cut there.
        """
        offset = message.offset()
        behind = offset is not None and 0 <= offset < self._starts.get(partition, 0)
        return partition in self._told_lost or (behind and not self._epochs.follows(partition))

    def _on_error(self, error: KafkaError) -> None:
        if not error.fatal():
            self._warn_once(f"Kafka at {self._bootstrap}: {refusal_text(error) or error.str()}")

    def _denied(self, text: str) -> None:
        """Say what is not allowed: now and each DENIED_AGAIN_S, for as long as it lasts."""
        now = self._clock.monotonic()
        if now - self._denied_s.get(text, -DENIED_AGAIN_S) >= DENIED_AGAIN_S:
            self._denied_s[text] = now
            self._warn(text)

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self._warn(text)

    def _unreachable(self, doing: str, error: KafkaException) -> SourceError:
        reason = error.args[0]
        if isinstance(reason, KafkaError) and (reason.code() in FENCED or reason.fatal()):
            return SourceFenced(f"{doing}: {reason.str()}; another archiver took this worker's place in the group")
        return SourceError(f"{doing} at {self._bootstrap}: {error}; is the address right and Kafka up?")

    # -- where to read, how far it is --------------------------------------------------------------------------------

    def restart_at(self, starts: Mapping[TopicPartition, Start]) -> None:
        """Read from other offsets. Unassign and assign again: a seek does not revive a partition with a lost offset."""
        held = {(p.topic, p.partition) for p in self._consumer.assignment()}
        starts = {p: start for p, start in starts.items() if p in held}
        if starts:
            self._consumer.incremental_unassign([KafkaPartition(p.topic, p.partition) for p in starts])
            self._assign(starts)

    def _assign(self, starts: Mapping[TopicPartition, Start]) -> None:
        self._starts.update({p: start.offset for p, start in starts.items()})
        self._told_lost.difference_update(starts)
        self._consumer.incremental_assign([at_start(p, start) for p, start in starts.items()])
        self._epochs.assigned(starts)

    def _forget(self, partitions: Collection[KafkaPartition]) -> None:
        self._epochs.forget([TopicPartition(p.topic, p.partition) for p in partitions])

    def commit_offsets(
        self, offsets: Mapping[TopicPartition, int], notes: Mapping[TopicPartition, str] = NO_NOTES
    ) -> None:
        """Commit without waiting for the answer; in several requests where the notes would make one too large."""
        committed = [KafkaPartition(p.topic, p.partition, at, notes.get(p, "")) for p, at in offsets.items()]
        try:
            for begin in range(0, len(committed), COMMIT_PARTITIONS_MAX):
                self._consumer.commit(offsets=committed[begin : begin + COMMIT_PARTITIONS_MAX], asynchronous=True)
        except KafkaException as error:
            # Kafka's group may think what it likes: the archive's log is what counts.
            self._warn_once(f"committing offsets to Kafka at {self._bootstrap}: {error}")

    def close(self) -> None:
        """Leave the group."""
        self._care.close()
        self._consumer.close()

    # -- the group's calls -------------------------------------------------------------------------------------------

    def _on_assign(self, _consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        self._care.assigned({p.topic for p in partitions})
        self._assign(self._assignee.assigned([TopicPartition(p.topic, p.partition) for p in partitions]))

    def _on_revoke(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        self._forget(partitions)
        self._assignee.revoked([TopicPartition(p.topic, p.partition) for p in partitions])
        consumer.incremental_unassign(partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        self._care.lost()
        self._forget(partitions)
        self._assignee.lost([TopicPartition(p.topic, p.partition) for p in partitions])
        consumer.incremental_unassign(partitions)


def _partition_of(message: Message) -> TopicPartition:
    return TopicPartition(cast("str", message.topic()), cast("int", message.partition()))
