"""`headrace lag`: how far the archive is behind Kafka, whether data is about to be lost, why, and what to do."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from headrace.archiver.config import DEFAULT_GROUP
from headrace.archiver.oncall.gather import Gathered, Gatherer, NoSuchTopic
from headrace.archiver.oncall.lag import LAG_VERSION, PartitionLag, evaluate, worst_first
from headrace.archiver.oncall.rules import Finding, Thresholds, findings
from headrace.replay.errors import RequestRefused, named
from headrace.schemas.catalog import builtin

from .lag_views import explanation, show
from .lag_watch import watch
from .options import EXIT_SERVER, EXIT_WRONG, archive_option, kafka_option
from .servers import open_store, reported_errors

EXIT_OK, EXIT_WARNING, EXIT_CRITICAL, EXIT_CANNOT_TELL = 0, 1, 2, 3
_DEFAULT = Thresholds()


class LagCommand(click.Command):
    """Under --check the exit code 2 means "critical": a usage error ends with 3, cannot tell."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; a usage error under --check ends with 3."""
        try:
            return super().parse_args(ctx, list(args))
        except click.UsageError as error:
            if "--check" not in args:
                raise
            error.show()
            raise SystemExit(EXIT_CANNOT_TELL) from error


@click.command(name="lag", cls=LagCommand)
@kafka_option
@archive_option
@click.option("--topic", "topics", multiple=True, metavar="T", help="Only this topic. Repeat for several.")
@click.option("--group", default=DEFAULT_GROUP, show_default=True, help="The archiver's consumer group.")
@click.option("-v", "--verbose", is_flag=True, help="A line for each partition, with all positions.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output; see below.")
@click.option("--watch", "watching", is_flag=True, help="Look again and again, until Ctrl-C.")
@click.option(
    "--every", type=click.FloatRange(0.2), default=2.0, show_default=True, metavar="S", help="With --watch: seconds."
)
@click.option("--explain", metavar="TOPIC[/PARTITION]", help="What is wrong there, the evidence, and what to do.")
@click.option("--check", is_flag=True, help="One line and an exit code for a monitor: 0, 1, 2 or 3; see below.")
@click.option(
    "--warn-behind", type=float, default=_DEFAULT.behind_warning_s, show_default=True, metavar="S", help="Seconds."
)
@click.option(
    "--critical-behind", type=float, default=_DEFAULT.behind_critical_s, show_default=True, metavar="S", help="Seconds."
)
@click.option(
    "--critical-loss",
    type=float,
    default=_DEFAULT.loss_critical_s,
    show_default=True,
    metavar="S",
    help="Seconds: unarchived records that Kafka deletes sooner are critical.",
)
@click.option(
    "--max-transaction",
    type=float,
    default=_DEFAULT.transaction_s,
    show_default=True,
    metavar="S",
    help="Seconds: a transaction may stay open for so long.",
)
def command(
    kafka: str,
    archive_url: str,
    topics: tuple[str, ...],
    group: str,
    verbose: bool,
    as_json: bool,
    watching: bool,
    every: float,
    explain: str | None,
    check: bool,
    warn_behind: float,
    critical_behind: float,
    critical_loss: float,
    max_transaction: float,
) -> None:
    """Show how far the archive is behind Kafka, worst first, and what is wrong.

    Without --topic: all topics of the archive, those of the archiver's group, and all event types that have a topic in
    Kafka. Needs Kafka and S3 only, no archiver. When S3 is silent, Kafka's committed offsets stand in for the log;
    when Kafka is silent, the log is shown alone. Either ends with 3.

    \b
    behind      records that are not durable in S3 yet (counted in offsets)
    age         how old the first of them is; ? when that cannot be told
    loss in     when Kafka's retention may delete the first of them
    caught up   when the archive has caught up, at the speed of the last minutes
    state       caught-up; behind; idle (nothing in Kafka, nothing missing); not-archived; unknown
    start, end  -v: Kafka's first offset, and the end for readers of committed records
    taken       -v: what the worker has fetched; durable: all before is safe in S3; committed: what Kafka was told

    \b
    headrace lag --explain pin/3                 what is wrong with it, and what to do
    headrace lag --check --critical-loss 7200    for a monitor: 0 fine, 1 warning, 2 critical, 3 cannot tell

    JSON: {"version": 1, "at", "archive", "group", "records_behind", "seconds_behind", "seconds_to_loss", "findings":
    [{"rule", "severity", "topic", "partition", "evidence", "step", "commands", "runbook"}], "unanswered", "partitions":
    [{"topic", "partition", "state", "log_start", "log_end", "high_watermark", "taken", "durable_next", "durable_from",
    "durable_as_of_ms", "committed", "records_behind", "seconds_behind", "lost", "seconds_to_loss", "loss_by",
    "catch_up", "catch_up_seconds", "worker", "heartbeat_age_seconds", "trouble", "note"}]}. Numbers that are not known
    are null, never NaN; the totals leave them out.

    Exit codes without --check: 0 for any lag, 1 when a commit log is damaged, 2 for an unknown topic, 3 when Kafka or
    S3 does not answer. With it, all that cannot be told is 3, usage errors too.
    """
    with reported_errors():
        gatherer = Gatherer(
            {"bootstrap.servers": kafka},
            open_store(archive_url),
            group=group,
            event_topics=builtin().types(),
            now_ms=_now_ms,
            pause=time.sleep,
            monotonic=time.monotonic,
        )
        thresholds = Thresholds(
            behind_warning_s=warn_behind,
            behind_critical_s=critical_behind,
            loss_critical_s=critical_loss,
            transaction_s=max_transaction,
        )
        chosen = (*topics, explain.split("/")[0]) if explain else topics
        try:
            if watching:
                watch(lambda: _look(gatherer, chosen), thresholds, every_s=every, pause=time.sleep)
                return
            lags, gathered = _look(gatherer, chosen)
        except NoSuchTopic as error:
            text = f"topic {error.topic!r} is neither in Kafka nor in the archive; there are {named(error.there)}"
            if check:
                click.echo(f"cannot tell: {text}")
                raise SystemExit(EXIT_CANNOT_TELL) from error
            raise RequestRefused(text) from error
        found = findings(lags, thresholds)
        if check:
            raise SystemExit(_check(lags, found, gathered))
        if as_json:
            click.echo(json.dumps(_as_json(lags, found, gathered, archive_url, group), indent=2))
        elif explain:
            for line in explanation(lags, found, explain):
                click.echo(line)
        else:
            show(lags, found, gathered, archive_url, verbose=verbose)
        if any(each.damaged for each in gathered.facts):
            raise SystemExit(EXIT_WRONG)
        if gathered.store_problem or gathered.kafka_problem:
            raise SystemExit(EXIT_SERVER)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _look(gatherer: Gatherer, topics: Sequence[str]) -> tuple[list[PartitionLag], Gathered]:
    gathered = gatherer.look(topics)
    now_ms = _now_ms()
    return worst_first(evaluate(each, now_ms) for each in gathered.facts), gathered


def _check(lags: Sequence[PartitionLag], found: Sequence[Finding], gathered: Gathered) -> int:
    """Print one line for a monitor; return its exit code."""
    critical = [each for each in found if each.severity == "critical"]
    unsure = [each for each in lags if each.state == "unknown" and not each.facts.damaged]
    silent = gathered.store_problem or gathered.kafka_problem
    code, word = EXIT_OK, "ok"
    if critical:
        code, word = EXIT_CRITICAL, "critical"
    elif silent or unsure:
        code, word = EXIT_CANNOT_TELL, "cannot tell"
    elif found:
        code, word = EXIT_WARNING, "warning"
    if found:
        worst = found[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        text = f"{worst.topic}/{worst.partition} {worst.rule}: {worst.evidence}{more}"
    elif silent:
        text = silent
    elif unsure:
        text = f"{unsure[0].facts.where.topic}/{unsure[0].facts.where.partition}: {unsure[0].note}"
    else:
        text = f"{sum(each.records_behind or 0 for each in lags)} records behind in {len(lags)} partitions"
    click.echo(f"{word}: {text}")
    return code


def _as_json(
    lags: Sequence[PartitionLag], found: Sequence[Finding], gathered: Gathered, archive: str, group: str
) -> dict[str, Any]:
    ages = [each.seconds_behind for each in lags if each.seconds_behind is not None]
    losses = [each.loss.seconds for each in lags if each.loss.seconds is not None]
    silent = [each for each in (gathered.store_problem, gathered.kafka_problem) if each]
    return {
        "version": LAG_VERSION,
        "at": datetime.fromtimestamp(_now_ms() / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "archive": archive,
        "group": group,
        "records_behind": sum(each.records_behind or 0 for each in lags),
        "seconds_behind": max(ages, default=None),
        "seconds_to_loss": min(losses, default=None),
        "findings": [each.as_json() for each in found],
        "unanswered": [*silent, *gathered.unanswered],
        "partitions": [each.as_json() for each in lags],
    }
