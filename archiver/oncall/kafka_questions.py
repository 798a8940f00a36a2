"""What else on-call asks of Kafka: heartbeats, retention, write rates, sizes on disk, open transactions. Reads only.

All answers are optional: an unanswered question is an empty answer, and `unanswered` says which and why, since a
judgement on what is known beats none. Sizes and transactions come from kafka-python, the one client with these
requests; the rest from librdkafka.
"""

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._resource import ResourceType

from ..group_offsets import committed_offsets
from ..kafka_admin import LogEnds
from ..kafka_metadata import admin_settings
from ..source import TopicPartition
from .facts import OpenTransaction, Rates, Retention
from .heartbeat import Heartbeat, decode
from .kafka_python_settings import kafka_python_settings

REQUEST_TIMEOUT_S = 8.0
BUCKET_S = 300
BUCKETS = 12
LATELY_S = (60, 5)
"""Who writes faster than ever in this hour since a moment ago is seen after so many seconds."""
YOUNG_S = 1.0
"""One batch in the first moment of a topic is no rate."""
CHUNK_PARTITIONS = 500

Mark = tuple[int, int] | None
"""The first record since a moment: its offset and timestamp in ms; None: there is none."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a group has committed for one partition: the offset, and the heartbeat in its metadata."""

    offset: int
    heartbeat: Heartbeat | None


class KafkaQuestions:
    """Asks one cluster. `config`: librdkafka's settings; `pause(seconds)` waits.

    `unanswered` collects what could not be told, and why.
    """

    def __init__(self, config: Mapping[str, Any], *, pause: Callable[[float], None]) -> None:
        self._config = {"log_level": 0, "error_cb": lambda _error: None, **config}
        settings = admin_settings(self._config)
        self._pause = pause
        self._admin = AdminClient(settings)
        self.unanswered: list[str] = []

    def committed(self, group: str, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Said]:
        """Return what a group has committed; one that does not exist has committed nothing. Raises SourceError."""
        found = committed_offsets(self._config, group, partitions, pause=self._pause)
        return {where: Said(each.offset, decode(each.metadata)) for where, each in found.items()}

    def retentions(self, topics: Collection[str]) -> dict[str, Retention]:
        """Return what Kafka deletes of each topic."""
        resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
        found: dict[str, Retention] = {}
        if not resources:
            return found
        futures = self._admin.describe_configs(resources, request_timeout=REQUEST_TIMEOUT_S)
        for resource, future in futures.items():
            try:
                found[resource.name] = retention_of({name: entry.value for name, entry in future.result().items()})
            except KafkaException as error:
                self.unanswered.append(f"the retention of {resource.name}: {error.args[0].str()}")
        return found

    def rates(self, ends: Mapping[TopicPartition, LogEnds], now_ms: int) -> dict[TopicPartition, Rates]:
        """Return how fast partitions are written to, from the offsets at 12 moments of the last hour, and lately.

        `ends` are of the moment `now_ms`. Records count by their timestamps, which producers may set.
        """
        moments = [now_ms - ago_s * 1000 for ago_s in (*(BUCKET_S * n for n in range(BUCKETS, 0, -1)), *LATELY_S)]
        partitions = list(ends)
        found: dict[TopicPartition, Rates] = {}
        try:
            for begin in range(0, len(partitions), CHUNK_PARTITIONS):
                chunk = partitions[begin : begin + CHUNK_PARTITIONS]
                for where, marks in self._marks(chunk, moments).items():
                    lately = list(zip(LATELY_S, marks[BUCKETS:], strict=True))
                    found[where] = rates_of(marks[:BUCKETS], lately, ends[where], now_ms)
        except KafkaException as error:
            self.unanswered.append(f"write rates: {error.args[0].str()}")
            return {}
        return found

    def _marks(self, partitions: list[TopicPartition], moments: list[int]) -> dict[TopicPartition, list[Mark]]:
        """Return the first records since each of these moments, None where there is none."""
        found: dict[TopicPartition, list[Mark]] = {where: [] for where in partitions}
        for at_ms in moments:  # one after the other, see KafkaAdmin._ends()
            spec = OffsetSpec.for_timestamp(at_ms)
            asked = {KafkaPartition(where.topic, where.partition): spec for where in partitions}
            for where, future in self._admin.list_offsets(asked, request_timeout=REQUEST_TIMEOUT_S).items():
                first = future.result()
                mark = (int(first.offset), int(first.timestamp)) if first.offset >= 0 else None
                found[TopicPartition(where.topic, where.partition)].append(mark)
        return found

    def sizes(self) -> dict[TopicPartition, int]:
        """Return the bytes of each partition's log, of its largest replica."""
        found: dict[TopicPartition, int] = {}

        def ask(admin: Any) -> None:
            for broker in admin.describe_log_dirs():
                for folder in broker["log_dirs"]:
                    for topic in folder["topics"]:
                        for each in topic["partitions"]:
                            where = TopicPartition(str(topic["name"]), int(each["partition_index"]))
                            found[where] = max(found.get(where, 0), int(each["partition_size"]))

        self._with_kafka_python("sizes on disk", ask)
        return found

    def transactions(self) -> dict[TopicPartition, OpenTransaction]:
        """Return the oldest open transaction of each partition that has one."""
        found: dict[TopicPartition, OpenTransaction] = {}

        def ask(admin: Any) -> None:
            listed = admin.list_transactions(state_filters=["Ongoing", "PrepareCommit", "PrepareAbort"])
            names = [each.transactional_id for broker in listed.values() for each in broker]
            for name, each in (admin.describe_transactions(names) if names else {}).items():
                opened = OpenTransaction(str(name), int(each.transaction_start_time_ms))
                for where in each.topic_partitions:
                    at = TopicPartition(where.topic, where.partition)
                    if at not in found or opened.since_ms < found[at].since_ms:
                        found[at] = opened

        self._with_kafka_python("open transactions", ask)
        return found

    def _with_kafka_python(self, what: str, ask: Callable[[Any], None]) -> None:
        # Imported when it is needed: it reads hundreds of schemas at its start.
        from kafka.admin import KafkaAdminClient  # noqa: PLC0415
        from kafka.errors import KafkaError  # noqa: PLC0415

        admin = None
        try:
            settings = kafka_python_settings(self._config)
            admin = KafkaAdminClient(**settings, client_id="headrace-lag", bootstrap_timeout_ms=8000)
            ask(admin)
        except (KafkaError, OSError, ValueError, AssertionError, ImportError) as error:
            self.unanswered.append(f"{what}: {type(error).__name__}: {error}")
        finally:
            if admin is not None:
                with suppress(KafkaError, OSError):
                    admin.close()


def retention_of(config: Mapping[str, str]) -> Retention:
    """Return what a topic's configuration says of deletion; Kafka's -1 means no bound."""
    policies = {policy.strip() for policy in config.get("cleanup.policy", "delete").split(",")}
    ms, size = int(config.get("retention.ms", "-1")), int(config.get("retention.bytes", "-1"))
    return Retention(
        ms=None if ms < 0 else ms,
        bytes=None if size < 0 else size,
        deletes="delete" in policies,
        compacts="compact" in policies,
    )


def rates_of(buckets: Sequence[Mark], lately: Sequence[tuple[int, Mark]], ends: LogEnds, now_ms: int) -> Rates:
    """Return the rates from where each bucket of the hour begins, oldest first, and the last so many seconds.

    The last seconds count for the peak too: of a topic that is busy since a moment ago, five minutes tell less; and
    when Kafka has nothing older than those seconds, it was written in the time since the first of it. Timestamps that
    jump count as zero.
    """
    end = ends.high_watermark
    begins = [end if mark is None else mark[0] for mark in buckets]
    rates = [max(0, later - earlier) / BUCKET_S for earlier, later in itertools.pairwise([*begins, end])]
    now = rates[-1]
    for seconds, mark in lately:
        if mark is None:
            continue
        offset, timestamp = mark
        young = offset <= ends.log_start
        rates.append(max(0, end - offset) / (max(YOUNG_S, (now_ms - timestamp) / 1000) if young else seconds))
    return Rates(now=now, peak=max(rates))
