"""Proves the round trip with means of its own: a plain consumer and plain SQL, nothing of headrace.

Three counts must meet: what the app's emit() accepted (added up from its answers), what lies in the Parquet files, and
what a consumer reads from the topic that was replayed into, compared record by record with the topic it came from.
"""

import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import cast

import duckdb
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from .stage import Failed

SILENCE_S = 30.0
BATCH = 10_000

# key, value, headers, (timestamp type, milliseconds)
Record = tuple[bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Archived:
    """One topic in the Parquet files: rows, distinct event ids, sessions, and sessions whose seq has a hole."""

    rows: int = 0
    events: int = 0
    sessions: int = 0
    broken_sessions: int = 0


@dataclass(frozen=True, slots=True)
class Replayed:
    """A replayed topic next to its original: its records, those that only one of the two has, those out of order."""

    records: int
    missing: int
    extra: int
    out_of_order: int


@dataclass(slots=True)
class Verdict:
    """What came of one topic."""

    topic: str
    emitted: int
    archived: Archived
    replayed: Replayed
    refused: int = 0
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        sessions, rows = self.archived, self.replayed
        if sessions.broken_sessions and not self.refused:  # a refused event may have had a number already
            text = f"{sessions.broken_sessions} of {sessions.sessions} sessions do not count 1, 2, 3... without a hole"
            self.complaints.append(text)
        if rows.out_of_order:
            self.complaints.append(f"{rows.out_of_order} replayed records are not where they were, or not as they were")

    @property
    def lost(self) -> int:
        """Events that are missing from the archive, and records of the topic that are missing from the replay."""
        return max(0, self.emitted - self.archived.events) + self.replayed.missing

    @property
    def duplicated(self) -> int:
        """Rows that repeat an event, events that nobody emitted, and records that only the replay has."""
        stray = max(0, self.archived.events - self.emitted)
        return self.archived.rows - self.archived.events + stray + self.replayed.extra

    @property
    def exact(self) -> bool:
        """Whether all counts meet and nothing differs."""
        counts = {self.emitted, self.archived.rows, self.archived.events, self.replayed.records}
        return len(counts) == 1 and not self.lost and not self.duplicated and not self.complaints

    def line(self) -> str:
        """Return the verdict as one line."""
        sign, word = ("=", "exact") if self.exact else ("|", "DIFFERS")
        counts = f"emitted {self.emitted} {sign} archived {self.archived.rows} {sign} replayed {self.replayed.records}"
        tail = "".join(f"; {complaint}" for complaint in self.complaints)
        return f"{word} {self.topic}: {counts}, lost {self.lost}, duplicated {self.duplicated}{tail}"


def count_archived(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, Archived]:
    """Count each topic's rows, events and sessions in the Parquet files that the table expression `table` names."""
    rows = connection.sql(
        f"""
        with sessions as (
          select topic, session_id, count(*) as n, count(distinct event_id) as events,
                 min(seq) as first, max(seq) as last
          from {table} group by topic, session_id
        )
        select topic, sum(n), sum(events), count(*), count(*) filter (first <> 1 or last <> events)
        from sessions group by topic
        """  # noqa: S608 - the demo's own archive address
    ).fetchall()
    return {str(topic): Archived(*map(int, counts)) for topic, *counts in rows}


def read_topic(kafka: str, topic: str) -> dict[int, list[Record]]:
    """Read a whole topic with a consumer of no group: the committed records of each partition, in order."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": f"demo-proof-{uuid.uuid4()}",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "check.crcs": True,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=SILENCE_S).topics[topic].partitions
        records: dict[int, list[Record]] = {partition: [] for partition in partitions}
        open_ones = set(partitions)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
        while open_ones:
            batch = consumer.consume(BATCH, timeout=0.1) or consumer.consume(1, timeout=SILENCE_S)
            if not batch:
                raise Failed(f"Kafka at {kafka} sent nothing of {topic} for {SILENCE_S:.0f} s")
            for message in batch:
                _take(message, records, open_ones)
    finally:
        consumer.close()
    return records


def _take(message: Message, records: dict[int, list[Record]], open_ones: set[int]) -> None:
    error, partition = message.error(), message.partition()
    if partition is None:
        raise Failed(f"Kafka reports: {error}")
    if error is None:
        headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
        records[partition].append((message.key(), message.value(), tuple(headers), message.timestamp()))
    elif error.code() == KafkaError._PARTITION_EOF:
        open_ones.discard(partition)
    else:
        raise Failed(f"Kafka reports for partition {partition}: {error}")


def compare(original: dict[int, list[Record]], copy: dict[int, list[Record]]) -> Replayed:
    """Compare two topics partition by partition: key, value, headers and timestamp of each record, in order."""
    missing = extra = displaced = 0
    for partition in sorted(original.keys() | copy.keys()):
        before, after = original.get(partition, []), copy.get(partition, [])
        if before == after:
            continue
        lost, new = Counter(before) - Counter(after), Counter(after) - Counter(before)
        missing, extra = missing + lost.total(), extra + new.total()
        if not lost and not new:
            displaced += sum(one != other for one, other in zip(before, after, strict=True))
    return Replayed(sum(map(len, copy.values())), missing, extra, displaced)
