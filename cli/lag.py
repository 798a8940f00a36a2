"""`headrace lag`: how far the archive is behind Kafka, whether data is about to be lost, why, and what to do."""

import json
import time
from typing import Any

import click

from headrace.archiver.oncall.gather import NoSuchTopic
from headrace.archiver.oncall.status import EXIT_CODES, Status
from headrace.archiver.oncall.thresholds import Thresholds
from headrace.replay.errors import RequestRefused, named

from .configuration import setting_option
from .kafka_settings import GivenSettings, kafka_config_option, reading_settings
from .lag_thresholds import thresholds_options
from .lag_views import explanation, show
from .lag_watch import watch
from .looks import make_looker
from .options import EXIT_SERVER, EXIT_WRONG, archive_option, kafka_option
from .servers import open_to_look, reported_errors

EXIT_CANNOT_TELL = EXIT_CODES["cannot-tell"]


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

    def invoke(self, ctx: click.Context) -> Any:
        """Run; so does one that is found only then, such as a secret that cannot be read."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if not ctx.params.get("check"):
                raise
            error.show()
            raise SystemExit(EXIT_CANNOT_TELL) from error


@click.command(name="lag", cls=LagCommand)
@kafka_option
@kafka_config_option
@archive_option
@setting_option("lag.topics")
@setting_option("archive.group")
@click.option("-v", "--verbose", is_flag=True, help="A line for each partition, with all positions.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output; see below.")
@click.option("--watch", "watching", is_flag=True, help="Look again and again, until Ctrl-C.")
@setting_option("lag.every")
@click.option("--explain", metavar="TOPIC[/PARTITION]", help="What is wrong there, the evidence, and what to do.")
@click.option("--check", is_flag=True, help="One line and an exit code for a monitor: 0, 1, 2 or 3; see below.")
@thresholds_options
def command(
    kafka: str,
    kafka_config: GivenSettings,
    archive_url: str,
    topics: tuple[str, ...],
    group: str,
    verbose: bool,
    as_json: bool,
    watching: bool,
    every: float,
    explain: str | None,
    check: bool,
    thresholds: Thresholds,
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

    JSON: {"version": 1, "at", "archive", "group", "verdict", "records_behind", "seconds_behind", "seconds_to_loss",
    "findings": [{"rule", "severity", "topic", "partition", "evidence", "step", "commands", "runbook"}],
    "unanswered", "partitions": [{"topic", "partition", "state", "log_start", "log_end", "high_watermark", "taken",
    "durable_next", "durable_from", "durable_as_of_ms", "committed", "records_behind", "seconds_behind", "lost",
    "seconds_to_loss", "loss_by", "catch_up", "catch_up_seconds", "worker", "heartbeat_age_seconds", "trouble",
    "note"}]}. Numbers that are not known are null, never NaN; the totals leave them out.

    Exit codes without --check: 0 for any lag, 1 when a commit log is damaged, 2 for an unknown topic, 3 when Kafka or
    S3 does not answer. With it, all that cannot be told is 3, usage errors too.
    """
    with reported_errors():
        chosen = (*topics, explain.split("/")[0]) if explain not in (None, "archive") else topics
        settings = reading_settings(kafka, kafka_config)
        looker = make_looker(settings, open_to_look(archive_url), archive_url, group, thresholds, chosen)
        try:
            if watching:
                watch(looker.look, every_s=every, pause=time.sleep)
                return
            status = looker.look()
        except NoSuchTopic as error:
            text = f"topic {error.topic!r} is neither in Kafka nor in the archive; there are {named(error.there)}"
            if check:
                click.echo(f"cannot tell: {text}")
                raise SystemExit(EXIT_CANNOT_TELL) from error
            raise RequestRefused(text) from error
        if check:
            raise SystemExit(_check(status))
        if as_json:
            click.echo(json.dumps(status.as_json(), indent=2))
        elif explain:
            for line in explanation(status.lags, status.findings, explain):
                click.echo(line)
        else:
            show(status, verbose=verbose)
        if any(each.damaged for each in status.gathered.facts):
            raise SystemExit(EXIT_WRONG)
        if status.silent:
            raise SystemExit(EXIT_SERVER)


def _check(status: Status) -> int:
    """Print one line for a monitor; return its exit code."""
    click.echo(f"{status.verdict.replace('-', ' ')}: {status.headline}")
    return EXIT_CODES[status.verdict]
