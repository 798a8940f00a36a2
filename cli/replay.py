"""`headrace replay`: bring an archived range back, checked, to standard output, a file or a Kafka topic."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from headrace.replay.errors import RequestRefused
from headrace.replay.findings import gap_text
from headrace.replay.json_lines import JsonLines, LineFormat
from headrace.replay.line_file import LineFile
from headrace.replay.plan import Plan
from headrace.replay.reader import Reading, open_reading
from headrace.replay.selection import parse_selection

from .options import archive_option
from .progress import RecordProgress
from .servers import open_store, reported_errors


@click.command(name="replay")
@click.argument("topic")
@archive_option
@click.option(
    "--from",
    "from_",
    metavar="OFFSET|TIME",
    help="First offset, in each chosen partition, or first timestamp, with a zone: 2026-11-23T10:00:00Z.",
)
@click.option("--to", metavar="OFFSET|TIME", help="End of the range, exclusive.")
@click.option("--partition", "-p", "partitions", multiple=True, type=int, metavar="P", help="Repeat for several.")
@click.option("--dt", "dates", multiple=True, metavar="YYYY-MM-DD", help="Only this date (UTC). Repeat for several.")
@click.option("--at", type=click.IntRange(min=1), metavar="SEQ", help="The snapshot after this log entry.")
@click.option("--topic-id", metavar="ID", help="An earlier incarnation of a topic that was made again.")
@click.option("--lineage", type=click.IntRange(min=0), metavar="N", help="An earlier lineage, before a truncation.")
@click.option("--into", "into", required=True, metavar="stdout|jsonl:PATH", help="Where the records go.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["event", "raw"]),
    default="event",
    show_default=True,
    help="Lines: event decodes for people; raw is exact, with key, value and headers in base64.",
)
@click.option("--overwrite", is_flag=True, help="jsonl: replace a file that exists.")
def command(
    topic: str,
    archive_url: str,
    from_: str | None,
    to: str | None,
    partitions: tuple[int, ...],
    dates: tuple[str, ...],
    at: int | None,
    topic_id: str | None,
    lineage: int | None,
    into: str,
    form: LineFormat,
    overwrite: bool,
) -> None:
    """Replay an archived range exactly: every record once, by offset in its partition, checked against its digest.

    The snapshot is fixed at the start. Offsets must be in the archive; times filter records by their Kafka timestamp.
    Recorded gaps in the range are named on standard error.

    \b
    headrace replay pin --into stdout | head -3
    headrace replay pin --from 1000 --to 2000 --partition 0 --into jsonl:pins.jsonl --format raw
    headrace replay pin --from 2026-11-23T10:00:00Z --to 2026-11-23T11:00:00Z --into stdout
    """
    with reported_errors():
        selection = parse_selection(
            from_=from_, to=to, partitions=partitions, dates=dates, topic_id=topic_id, lineage=lineage
        )
        kind, _, name = into.partition(":")
        reading = open_reading(open_store(archive_url), topic, selection, at=at)
        _show_plan(reading.plan)
        if into == "stdout":
            _to_stdout(reading, JsonLines(topic, form))
        elif kind == "jsonl" and name:
            with LineFile(Path(name), overwrite=overwrite) as file:
                _write(reading, JsonLines(topic, form), file.write)
        else:
            raise RequestRefused(f"--into {into}: expected stdout or jsonl:PATH")
        _show_counts(reading)


def _show_plan(plan: Plan) -> None:
    files = sum(len(unit.files) for unit in plan.units)
    about = "" if plan.exact else "up to "
    click.echo(
        f"replaying {plan.topic} ({plan.selection.describe()}) from snapshot {plan.snapshot}: {about}{plan.rows:,} "
        f"records of {len(plan.ranges)} partitions in {files:,} files, {plan.bytes:,} bytes",
        err=True,
    )
    for identity, gap in plan.gaps():
        click.echo(gap_text(plan.topic, identity, gap), err=True)


def _show_counts(reading: Reading) -> None:
    counts = reading.counts
    quarantined = f" ({counts.quarantined:,} quarantined)" if counts.quarantined else ""
    click.echo(
        f"replayed {counts.records:,} records{quarantined} of {reading.plan.topic}, all {counts.parts:,} parts checked "
        f"against their digests, {sum(1 for _ in reading.plan.gaps())} gaps",
        err=True,
    )


def _write(reading: Reading, lines: JsonLines, write: Callable[[bytes], object]) -> None:
    with RecordProgress(f"replay {reading.plan.topic}", reading.plan.rows) as progress:
        for piece in _pieces(reading, lines):
            write(piece)
            progress.update(reading.counts.rows)


def _pieces(reading: Reading, lines: JsonLines) -> Iterator[bytes]:
    for chunk in reading.chunks():
        yield from lines.lines(chunk)


def _to_stdout(reading: Reading, lines: JsonLines) -> None:
    try:
        _write(reading, lines, sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever reads has had enough, as `head` has. What is left in the buffer must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        click.echo("stopped: the reader of standard output closed it; the replay is not complete", err=True)
        raise SystemExit(0) from None
