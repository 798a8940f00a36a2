"""`headrace log moved`: a topic's log goes on with another Kafka cluster."""

import getpass
import json
import time
from collections.abc import Mapping
from typing import Any

import click

from headrace.archiver.clock import wall_clock
from headrace.archiver.commit_log import CommitLog
from headrace.archiver.kafka_admin import KafkaAdmin, LogEnds
from headrace.archiver.kafka_metadata import KafkaMetadata
from headrace.archiver.log_state import LogState
from headrace.archiver.moving import Destination, MoveRefused, Ordered, check_move, move
from headrace.archiver.source import SourceError, TopicPartition
from headrace.replay.errors import RequestRefused
from headrace.replay.reader import unknown_topic

from .kafka_settings import GivenSettings, kafka_config_option, reading_settings
from .options import archive_option, kafka_option
from .rewriters import new_ids, writer_name
from .servers import open_store, reported_errors
from .tables import table

MOVED_VERSION = 1


@click.command(name="moved")
@click.argument("topic")
@kafka_option
@kafka_config_option
@archive_option
@click.option(
    "--old-kafka",
    metavar="HOST:PORT[,...]",
    help="The old cluster, if it still answers: is all of it archived? Settings as for --kafka.",
)
@click.option("--leave-behind", is_flag=True, help="Move although the old cluster has records that are not archived.")
@click.option("--why", metavar="TEXT", help="The reason, kept in the log.")
@click.option("--who", metavar="NAME", help="Who orders it, kept in the log. [default: the login name]")
@click.option("--yes", is_flag=True, help="Do it. Without it the verb only shows what it would record.")
@click.option("--json", "as_json", is_flag=True, help='One JSON object, "version": 1, on standard output.')
def moved_command(
    topic: str,
    kafka: str,
    kafka_config: GivenSettings,
    archive_url: str,
    old_kafka: str | None,
    leave_behind: bool,
    why: str | None,
    who: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Record that TOPIC goes on in another Kafka cluster, the one at --kafka, where its offsets begin anew.

    An archiver refuses a log of another cluster: offsets of two clusters must never mix. After this entry it begins at
    the new cluster's first record, and the old cluster's archivers are refused. What is archived stays, and is replayed
    by --topic-id. Nothing is taken for loss or for a rewind.

    In this order: stop the producers of the old cluster; let `headrace archive` archive the rest (`headrace lag`); stop
    it; `headrace log moved`; start it on the new cluster. Records that a mirror copied are archived again, under the
    new topic id: begin with an empty topic, or tell them apart by event_id. Archivers and readers older than this
    headrace refuse the log afterwards: upgrade them first.

    \b
    headrace log moved pin --kafka new:9092 --old-kafka old:9092
    headrace log moved pin --kafka new:9092 --old-kafka old:9092 --why "cluster B, OPS-12" --yes
    """
    with reported_errors():
        store = open_store(archive_url)
        log = CommitLog(store, topic, pause=time.sleep, lean=True)
        state = log.refresh()
        if not state.seq:
            raise unknown_topic(store, topic)
        metadata = KafkaMetadata(reading_settings(kafka, kafka_config))
        to = Destination(metadata.cluster_id(), metadata.topic_ids([topic]).get(topic, ""))
        came_from = state.cluster_id
        if to.cluster_id == came_from:
            _show(topic, state, to, {}, already=True, as_json=as_json, done=None)
            return
        try:
            check_move(state, to)
            left = None if old_kafka is None else _left(state, reading_settings(old_kafka, kafka_config))
            if yes and any((left or {}).values()) and not leave_behind:
                raise MoveRefused(
                    f"the old cluster has {sum((left or {}).values()):,} offsets of {topic} that are not archived: "
                    "archive them first, or say --leave-behind"
                )
            entry = None
            if yes:
                ordered = Ordered(who or getpass.getuser(), why or "")
                writer = writer_name("moved")
                entry = move(*(log, to, ordered), writer=writer, now=wall_clock, new_id=new_ids(), left=left or {}).seq
        except MoveRefused as error:
            raise RequestRefused(str(error)) from error
        _show(topic, state, to, left, already=False, as_json=as_json, done=entry, came_from=came_from)


def _left(state: LogState, settings: Mapping[str, Any]) -> dict[int, int]:
    """Return how many offsets the old cluster has beyond what is archived, by partition. Raises RequestRefused, ..."""
    metadata = KafkaMetadata(settings)
    if (found := metadata.cluster_id()) != state.cluster_id:
        raise RequestRefused(f"--old-kafka is cluster {found}, and the log of {state.topic} is of {state.cluster_id}")
    if metadata.topic_ids([state.topic]).get(state.topic) != state.topic_id:
        raise RequestRefused(
            f"{state.topic} was deleted or made again in the old cluster since it was archived: leave --old-kafka out"
        )
    archived = {at.identity.partition: at.next for at in state.partitions()}
    asked = [TopicPartition(state.topic, number) for number in range(metadata.topics()[state.topic])]
    admin = KafkaAdmin(settings, pause=time.sleep, monotonic=time.monotonic)
    left: dict[int, int] = {}
    for where, ends in admin.log_ends(asked).items():
        if not isinstance(ends, LogEnds):
            raise SourceError(f"asking the old Kafka how far {state.topic}/{where.partition} is: {ends}; try again")
        begin = max(archived.get(where.partition, ends.log_start), ends.log_start)
        left[where.partition] = max(0, ends.high_watermark - begin)
    return left


def _show(
    topic: str,
    state: LogState,
    to: Destination,
    left: Mapping[int, int] | None,
    *,
    already: bool,
    as_json: bool,
    done: int | None,
    came_from: str = "",
) -> None:
    positions = [(at.identity.partition, at.identity.lineage, at.next) for at in state.partitions()]
    if as_json:
        value = {
            "version": MOVED_VERSION,
            "topic": topic,
            "moved": already or done is not None,
            "entry": done,
            "from_cluster_id": came_from or None,
            "to_cluster_id": to.cluster_id,
            "to_topic_id": to.topic_id or None,
            "partitions": [
                {"partition": p, "lineage": lineage, "next": end, "left": (left or {}).get(p)}
                for p, lineage, end in positions
            ],
        }
        click.echo(json.dumps(value, indent=2))
        return
    if already:
        click.echo(f"{topic}: its log belongs to cluster {to.cluster_id} already; nothing to do")
        return
    headings = ("partition", "archived to", "left in the old cluster")
    rows = [(str(p), f"{end:,}", "not asked" if left is None else f"{left.get(p, 0):,}") for p, _, end in positions]
    for line in table([headings, *rows], right=set(headings)):
        click.echo(line)
    target = f"cluster {to.cluster_id}, " + (
        f"topic id {to.topic_id}" if to.topic_id else "where it does not exist yet"
    )
    if done is None:
        click.echo(f"{topic}: would go on from cluster {came_from} to {target}; nothing was changed, --yes does it")
    else:
        click.echo(f"{topic}: goes on in {target}, by entry {done}; start `headrace archive` there")
