"""Whether a topic can take a replay without altering, refusing or losing records. Reads facts; decides purely."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from headrace.archiver.kafka_admin import KafkaAdmin, LogEnds
from headrace.archiver.kafka_metadata import KafkaMetadata
from headrace.archiver.source import TopicPartition

from .errors import KafkaUnusable, TargetUnfit, named
from .plan import Plan

REQUEST_TIMEOUT_S = 15.0
DATE_SLACK = timedelta(days=3)  # a row's dt may be its event's date, up to a day (by default) after the record's time
RECORD_OVERHEAD_BYTES = 128  # of a record batch with one record: headers, lengths, with room to spare


@dataclass(frozen=True, slots=True)
class Target:
    """A topic as it is now. `ranges`: partition -> (log start, end). Times in ms; retention -1: for ever."""

    topic: str
    topic_id: str
    cluster_id: str
    ranges: Mapping[int, tuple[int, int]]
    log_append_time: bool
    compacted: bool
    max_message_bytes: int
    retention_ms: int
    before_max_ms: int
    after_max_ms: int

    @property
    def empty(self) -> bool:
        """Whether no partition has an offset in it."""
        return all(start == end for start, end in self.ranges.values())


@dataclass(frozen=True, slots=True)
class Allowances:
    """What the person who replays accepts about the target. `headrace replay` has an option --allow-... for each."""

    not_empty: bool = False
    log_append_time: bool = False
    compacted: bool = False
    short_retention: bool = False
    fewer_partitions: bool = False
    timestamp_zero: bool = False

    @classmethod
    def of(cls, names: Iterable[str]) -> "Allowances":
        """Return the allowances of these names."""
        return cls(**dict.fromkeys(names, True))

    def names(self) -> tuple[str, ...]:
        """Return the names of what is accepted."""
        return tuple(each.name for each in fields(self) if getattr(self, each.name))


@dataclass(frozen=True, slots=True)
class Alteration:
    """Something that the target will not keep as it was. `allow` names the allowance that it takes."""

    what: str
    allow: str
    advice: str

    def refusal(self) -> str:
        """Return what to say to somebody who did not accept it."""
        return f"{self.what}; {self.advice}, or accept that by --allow-{self.allow.replace('_', '-')}"


@dataclass(frozen=True, slots=True)
class Clock:
    """Time as a replay needs it: Unix ms for judging timestamps, rising seconds and pauses for waiting."""

    now_ms: Callable[[], int]
    monotonic: Callable[[], float]
    pause: Callable[[float], None]


def read_target(kafka: Mapping[str, Any], topic: str, clock: Clock) -> Target:
    """Ask Kafka about the target. Raises TargetUnfit when it does not exist, KafkaUnusable and SourceError."""
    metadata = KafkaMetadata(kafka)
    topics = metadata.topics()
    if topic not in topics:
        there = named(topics, "no topics")
        raise TargetUnfit(f"target topic {topic!r} does not exist in Kafka, which has {there}; create it first")
    partitions = [TopicPartition(topic, partition) for partition in range(topics[topic])]
    ranges = {}
    for where, ends in KafkaAdmin(kafka, pause=clock.pause, monotonic=clock.monotonic).log_ends(partitions).items():
        if not isinstance(ends, LogEnds):
            raise KafkaUnusable(f"asking Kafka how far {topic}/{where.partition} is: {ends}; try again")
        ranges[where.partition] = (ends.log_start, ends.last_stable)
    config = topic_config(kafka, topic)
    return Target(
        topic=topic,
        topic_id=metadata.topic_ids([topic])[topic],
        cluster_id=metadata.cluster_id(),
        ranges=ranges,
        log_append_time=config["message.timestamp.type"] == "LogAppendTime",
        compacted="compact" in config["cleanup.policy"],
        max_message_bytes=int(config["max.message.bytes"]),
        retention_ms=int(config["retention.ms"]) if "delete" in config["cleanup.policy"] else -1,
        before_max_ms=int(config.get("message.timestamp.before.max.ms", 2**63 - 1)),
        after_max_ms=int(config.get("message.timestamp.after.max.ms", 2**63 - 1)),
    )


def topic_config(kafka: Mapping[str, Any], topic: str) -> dict[str, str]:
    """Return a topic's settings as Kafka has them now, defaults included. Raises KafkaUnusable."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    settings: dict[str, Any] = {"log_level": 0, **kafka, "error_cb": lambda _error: None}
    admin = AdminClient(settings)
    try:
        futures: dict[ConfigResource, Future[dict[str, ConfigEntry]]]
        futures = admin.describe_configs([resource], request_timeout=REQUEST_TIMEOUT_S)
        found = futures[resource].result(timeout=REQUEST_TIMEOUT_S)
    except (KafkaException, TimeoutError) as error:
        raise KafkaUnusable(f"asking Kafka for the settings of {topic}: {error}") from error
    return {name: entry.value for name, entry in found.items() if entry.value is not None}


def alterations(target: Target, plan: Plan, *, resuming: bool, now_ms: int) -> list[Alteration]:
    """Return what the target would do to the records, as far as its settings and the plan tell."""
    found: list[Alteration] = []
    highest = max((covered.identity.partition for covered in plan.ranges), default=-1)
    if highest >= len(target.ranges):
        what = f"{target.topic} has {len(target.ranges)} partitions, and the replay has partition {highest}: records "
        what += "would go to other partitions than their own (the number modulo the target's count)"
        found.append(Alteration(what, "fewer_partitions", f"give the target at least {highest + 1}"))
    if target.log_append_time:
        what = f"{target.topic} has message.timestamp.type=LogAppendTime, which replaces the records' timestamps"
        found.append(Alteration(what, "log_append_time", "set it to CreateTime"))
    if target.compacted:
        what = f"{target.topic} is compacted: of several records with one key only the last would stay"
        found.append(Alteration(what, "compacted", "use a topic with cleanup.policy=delete"))
    if not target.empty and not resuming:
        held = sum(end - start for start, end in target.ranges.values())
        what = f"{target.topic} is not empty (up to {held} records), and no progress of this replay is known: it would "
        found.append(Alteration(f"{what}append, or repeat", "not_empty", "use an empty topic"))
    oldest = min((read.committed.file.dt for unit in plan.units for read in unit.files), default=None)
    if oldest is not None and oldest > "1970-01-02" and target.retention_ms >= 0 and not target.log_append_time:
        # The rows' own timestamps may be a little after their date; each record is looked at again before it is sent.
        midnight = datetime.combine(date.fromisoformat(oldest), time(tzinfo=UTC)) + DATE_SLACK
        if now_ms - midnight.timestamp() * 1000 > target.retention_ms:
            what = f"records of dt {oldest} are older than the retention of {target.topic} ({target.retention_ms} ms): "
            what += "Kafka would soon delete them"
            found.append(Alteration(what, "short_retention", "set retention.ms=-1 on the target"))
    return found


def check_target(target: Target, plan: Plan, allow: Allowances, *, resuming: bool, now_ms: int) -> list[Alteration]:
    """Raise TargetUnfit, with what to do, when the target would alter records; return what was accepted of that."""
    found = alterations(target, plan, resuming=resuming, now_ms=now_ms)
    for each in found:
        if not getattr(allow, each.allow):
            raise TargetUnfit(each.refusal())
    return found


def check_records(target: Target, records: pa.RecordBatch, allow: Allowances, now_ms: int) -> None:
    """Raise TargetUnfit, naming the record, when the target would refuse or soon delete one. Before any is sent."""
    sizes = _sizes(records)
    for index in np.flatnonzero(sizes > target.max_message_bytes).tolist():
        where, least = _where(records, index), _compressed_bytes(records, index)
        if least > target.max_message_bytes:
            raise TargetUnfit(
                f"{where} has {least} bytes, and {target.topic} takes {target.max_message_bytes}: raise its "
                f"max.message.bytes to at least {least}, and run this again; it goes on where it was"
            )
    stamps = records.column("timestamp").to_numpy()
    if target.log_append_time:
        return
    if not allow.timestamp_zero and (undated := np.flatnonzero(stamps == 0)).size:
        raise TargetUnfit(
            f"{_where(records, int(undated[0]))} has timestamp 0, which Kafka clients cannot send: they would put the "
            "time of sending. Accept that by --allow-timestamp-zero; it goes on where it was"
        )
    dated = stamps > 0  # -1 means none
    if not dated.any():
        return
    newest, oldest = int(stamps[dated].max()), int(stamps[dated].min())
    if newest - now_ms > target.after_max_ms:
        where = _where(records, int(np.flatnonzero(dated & (stamps == newest))[0]))
        raise TargetUnfit(
            f"{where} has a timestamp {(newest - now_ms) / 1000:.0f} s ahead of now, which {target.topic} refuses: "
            f"set its message.timestamp.after.max.ms to {2**63 - 1}, and run this again; it goes on where it was"
        )
    where = _where(records, int(np.flatnonzero(dated & (stamps == oldest))[0]))
    if now_ms - oldest > target.before_max_ms:
        raise TargetUnfit(
            f"{where} has a timestamp {(now_ms - oldest) / 1000:.0f} s ago, which {target.topic} refuses: set its "
            f"message.timestamp.before.max.ms to {2**63 - 1}, and run this again; it goes on where it was"
        )
    if target.retention_ms >= 0 and now_ms - oldest > target.retention_ms and not allow.short_retention:
        raise TargetUnfit(
            f"{where} is older than the retention of {target.topic} ({target.retention_ms} ms): Kafka would soon "
            "delete it. Set retention.ms=-1 on the target, or accept that by --allow-short-retention"
        )


def _sizes(records: pa.RecordBatch) -> np.ndarray:
    """Return each record's size in bytes, without compression."""
    sizes: np.ndarray = np.full(records.num_rows, RECORD_OVERHEAD_BYTES, np.int64)
    for name in ("key", "value"):
        sizes += _lengths(records.column(name))
    headers = records.column("headers")
    if len(headers.flatten()):
        pairs = headers.flatten()
        each = _lengths(pairs.field(0)) + _lengths(pairs.field(1)) + 10
        counts = headers.value_lengths().to_numpy()
        ends = np.cumsum(counts)
        totals = np.concatenate([[0], np.cumsum(each)])
        sizes += totals[ends] - totals[ends - counts]
    return sizes


def _lengths(column: pa.Array) -> np.ndarray:
    lengths: np.ndarray = pc.binary_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    return lengths


def _compressed_bytes(records: pa.RecordBatch, index: int) -> int:
    """Return about how large a record is as its own compressed batch, which is what the broker measures."""
    row = records.slice(index, 1).to_pylist()[0]
    parts = [row["key"] or b"", row["value"] or b""]
    for header in row["headers"]:
        parts += [header["name"].encode(), header["value"] or b""]
    packed = pa.compress(b"".join(parts), codec="zstd", asbytes=True)
    return len(packed) + RECORD_OVERHEAD_BYTES


def _where(records: pa.RecordBatch, index: int) -> str:
    return f"the record at partition {records.column('partition')[index]}, offset {records.column('offset')[index]}"
