"""`headrace quarantine`: what could not be decoded, and why."""

import json

import click

from headrace.replay.quarantined import grouped, quarantine_reading, quarantined
from headrace.replay.selection import parse_selection

from .options import archive_option
from .servers import open_store, reported_errors


@click.group(name="quarantine")
def command() -> None:
    """See what could not be decoded. It is archived whole, in its place by offset, and every replay has it.

    \b
    headrace quarantine list pin
    headrace quarantine show pin --dt 2026-11-23 | head -3
    """


@command.command(name="list")
@click.argument("topic")
@archive_option
@click.option("--dt", "dates", multiple=True, metavar="YYYY-MM-DD", help="Only this date. Repeatable.")
@click.option("--at", type=click.IntRange(min=1), metavar="SEQ", help="The snapshot after this log entry.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line.")
def list_command(topic: str, archive_url: str, dates: tuple[str, ...], at: int | None, as_json: bool) -> None:
    """Count a topic's quarantined records by error."""
    with reported_errors():
        reading = quarantine_reading(open_store(archive_url), topic, parse_selection(dates=dates), at)
        groups = grouped(reading)
        for group in groups:
            if as_json:
                click.echo(json.dumps(group.as_json(), ensure_ascii=False))
                continue
            partition, offset = group.first
            click.echo(
                f"{group.records:>9,}  {group.kind}: {group.error}\n{'':11}dt {', '.join(sorted(group.dates))}; the "
                f"first is {topic}/{partition} offset {offset}"
            )
        if not as_json:
            click.echo(
                f"{reading.counts.records:,} records of {topic} are in quarantine at snapshot {reading.plan.snapshot}"
            )


@command.command(name="show")
@click.argument("topic")
@archive_option
@click.option("--from", "from_", metavar="OFFSET|TIME", help="As for `headrace replay`.")
@click.option("--to", metavar="OFFSET|TIME", help="End of the range, exclusive.")
@click.option("--partition", "-p", "partitions", multiple=True, type=int, metavar="P", help="Repeatable.")
@click.option("--dt", "dates", multiple=True, metavar="YYYY-MM-DD", help="Only this date. Repeatable.")
@click.option("--at", type=click.IntRange(min=1), metavar="SEQ", help="The snapshot after this log entry.")
def show_command(
    topic: str,
    archive_url: str,
    from_: str | None,
    to: str | None,
    partitions: tuple[int, ...],
    dates: tuple[str, ...],
    at: int | None,
) -> None:
    """Show quarantined records as JSON lines: values as text, or in hex where they are none, and what was wrong."""
    with reported_errors():
        selection = parse_selection(from_=from_, to=to, partitions=partitions, dates=dates)
        for row in quarantined(quarantine_reading(open_store(archive_url), topic, selection, at)):
            click.echo(json.dumps(row, ensure_ascii=False))
