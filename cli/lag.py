"""`headrace lag`: how far the archive is behind Kafka, from the commit logs in S3 and from Kafka itself."""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import click

from headrace.archiver.commit_log import read_state, topics_of
from headrace.archiver.config import DEFAULT_GROUP
from headrace.archiver.kafka_admin import KafkaAdmin
from headrace.archiver.kafka_metadata import KafkaMetadata
from headrace.archiver.lag import LAG_VERSION, Facts, PartitionLag, evaluate, first_unarchived, worst_first
from headrace.archiver.log_entries import LogCorrupt, LogTooNew
from headrace.archiver.log_state import LogState, LogViolation
from headrace.archiver.object_store import ObjectStore
from headrace.archiver.source import TopicPartition
from headrace.replay.errors import RequestRefused, named
from headrace.schemas.catalog import builtin

from .log import table
from .options import EXIT_WRONG, archive_option, kafka_option
from .servers import open_store, reported_errors

FIRST_RECORDS_TIMEOUT_S = 5.0
HEADINGS = ("topic", "partition", "state", "behind", "seconds", "start", "end", "durable", "committed", "note")
RIGHT = {"partition", "behind", "seconds", "start", "end", "durable", "committed"}


@click.command(name="lag")
@kafka_option
@archive_option
@click.option("--topic", "topics", multiple=True, metavar="T", help="Only this topic. Repeat for several.")
@click.option("--group", default=DEFAULT_GROUP, show_default=True, help="The archiver's consumer group.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output; see below.")
def command(kafka: str, archive_url: str, topics: tuple[str, ...], group: str, as_json: bool) -> None:
    """Show how far the archive is behind Kafka, worst partition first.

    Without --topic: all topics of the archive, and all event types that have a topic in Kafka.

    \b
    start, end  Kafka's first offset, and the end for readers of committed records
    durable     the next offset to archive: all before it is safe in S3
    committed   what the archiver's group has committed in Kafka, never ahead of durable
    behind      records that are not durable yet (counted in offsets)
    seconds     how old the first of them is; ? when that cannot be told
    state       caught-up; behind; idle (nothing in Kafka, nothing missing); not-archived; unknown

    JSON: {"version": 1, "at", "archive", "group", "records_behind", "seconds_behind", "partitions": [{"topic",
    "partition", "state", "log_start", "log_end", "high_watermark", "durable_next", "committed", "records_behind",
    "seconds_behind", "lost", "note"}]}. Numbers that are not known are null; the totals leave them out.

    Exit codes: 0 for any lag, 1 when a commit log is damaged, 2 for an unknown topic, 3 when Kafka or S3 does not
    answer.
    """
    with reported_errors():
        store = open_store(archive_url)
        facts = gather({"bootstrap.servers": kafka}, store, topics, group)
        now_ms = time.time_ns() // 1_000_000
        lags = worst_first(evaluate(each, now_ms) for each in facts)
        if as_json:
            click.echo(json.dumps(_as_json(lags, now_ms, store.url, group), indent=2))
        else:
            _show(lags, store.url)
        if any(each.damaged for each in facts):
            raise SystemExit(EXIT_WRONG)


def gather(kafka: dict[str, Any], store: ObjectStore, topics: Sequence[str], group: str) -> list[Facts]:
    """Ask Kafka and the archive, in as few calls as there are kinds of question, not of partitions."""
    metadata = KafkaMetadata(kafka)
    admin = KafkaAdmin(kafka, pause=time.sleep, monotonic=time.monotonic)
    present = metadata.topics()
    archived = set(topics_of(store))
    chosen = sorted(set(topics)) or sorted(archived | (set(builtin().types()) & set(present)))
    for topic in chosen:
        if topic not in present and topic not in archived:
            there = named(archived | set(present))
            raise RequestRefused(f"topic {topic!r} is neither in Kafka nor in the archive; there are {there}")
    topic_ids = metadata.topic_ids([topic for topic in chosen if topic in present])
    # The log is read before Kafka's ends, so that the archive can't seem to be ahead of Kafka.
    facts: list[Facts] = []
    for topic in chosen:
        facts += _of_topic(store, topic, topic_ids.get(topic), present.get(topic, 0))
    ends = admin.log_ends([each.where for each in facts if each.where.topic in topic_ids])
    committed = admin.committed(group)
    for index, each in enumerate(facts):
        answer = ends.get(each.where)
        facts[index] = replace(
            each,
            ends=None if isinstance(answer, str) else answer,
            problem=each.problem or (answer if isinstance(answer, str) else ""),
            committed=committed.get(each.where),
        )
    wanted = {each.where: start for each in facts if not each.problem and (start := first_unarchived(each)) is not None}
    firsts = admin.first_records(wanted, timeout_s=FIRST_RECORDS_TIMEOUT_S)
    return [replace(each, first=firsts.get(each.where)) for each in facts]


def _of_topic(store: ObjectStore, topic: str, topic_id: str | None, partitions: int) -> list[Facts]:
    """Return what the archive knows of a topic's partitions; `topic_id` None: Kafka does not have the topic."""
    problem, damaged = "", False
    try:
        state = read_state(store, topic)
    except (LogCorrupt, LogTooNew, LogViolation) as error:
        state, problem, damaged = LogState(topic), str(error), True
    if topic_id is None:
        problem = problem or "Kafka has no such topic (any more)"
        known = [each.identity.partition for each in state.partitions()]
        numbers: Iterable[int] = known or [0]
    else:
        numbers = range(partitions)
    facts = []
    for partition in numbers:
        newest = state.newest(partition, topic_id)
        facts.append(
            Facts(
                where=TopicPartition(topic, partition),
                ends=None,
                durable=None if newest is None else newest.next,
                committed=None,
                recreated=bool(state.topic_id) and topic_id is not None and state.topic_id != topic_id,
                problem=problem,
                damaged=damaged,
            )
        )
    return facts


def _as_json(lags: Sequence[PartitionLag], now_ms: int, archive: str, group: str) -> dict[str, Any]:
    known = [each.seconds_behind for each in lags if each.seconds_behind is not None]
    return {
        "version": LAG_VERSION,
        "at": datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "archive": archive,
        "group": group,
        "records_behind": sum(each.records_behind or 0 for each in lags),
        "seconds_behind": max(known, default=None),
        "partitions": [each.as_json() for each in lags],
    }


def _show(lags: Sequence[PartitionLag], archive: str) -> None:
    if not lags:
        click.echo(f"the archive at {archive} has no topics, and Kafka has none of the event types", err=True)
        return
    for line in table([HEADINGS, *(_row(each) for each in lags)], RIGHT):
        click.echo(line)
    behind = sum(each.records_behind or 0 for each in lags)
    topics = len({each.facts.where.topic for each in lags})
    unsure = sum(each.records_behind is None for each in lags)
    tail = f"; {unsure} partitions unknown" if unsure else ""
    click.echo(f"{behind:,} records behind in {len(lags)} partitions of {topics} topics{tail}")


def _row(lag: PartitionLag) -> tuple[str, ...]:
    ends = lag.facts.ends
    return (
        lag.facts.where.topic,
        str(lag.facts.where.partition),
        lag.state,
        _number(lag.records_behind),
        "?" if lag.seconds_behind is None else f"{lag.seconds_behind:,.1f}",
        _number(None if ends is None else ends.log_start),
        _number(None if ends is None else ends.last_stable),
        _number(lag.facts.durable, "-"),
        _number(lag.facts.committed, "-"),
        lag.note,
    )


def _number(value: int | None, missing: str = "?") -> str:
    return missing if value is None else str(value)
