"""`headrace replay`: bring an archived range back, checked, to standard output, a file or a Kafka topic."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from headrace.replay.errors import RequestRefused
from headrace.replay.json_lines import JsonLines, LineFormat
from headrace.replay.kafka_target import Allowances
from headrace.replay.line_file import LineFile
from headrace.replay.reader import Reading, open_reading
from headrace.replay.selection import parse_selection

from .options import archive_option
from .progress import RecordProgress
from .replay_kafka import replay_into_kafka, show_plan
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
@click.option("--into", required=True, metavar="stdout|jsonl:PATH|kafka:TOPIC", help="Where the records go.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["event", "raw"]),
    default="event",
    show_default=True,
    help="Lines: event decodes for people; raw is exact, with key, value and headers in base64.",
)
@click.option("--overwrite", is_flag=True, help="jsonl: replace a file that exists.")
@click.option(
    "--kafka",
    envvar="HEADRACE_KAFKA",
    show_envvar=True,
    metavar="HOST:PORT[,...]",
    help="kafka: the target's bootstrap servers.",
)
@click.option("--allow-not-empty", is_flag=True, help="kafka: append to what the target has.")
@click.option("--allow-log-append-time", is_flag=True, help="kafka: the target may replace timestamps.")
@click.option("--allow-compacted", is_flag=True, help="kafka: the target may drop all but the last of a key.")
@click.option("--allow-short-retention", is_flag=True, help="kafka: the target may soon delete records that are old.")
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
    kafka: str | None,
    allow_not_empty: bool,
    allow_log_append_time: bool,
    allow_compacted: bool,
    allow_short_retention: bool,
) -> None:
    """Replay an archived range exactly: every record once, by offset in its partition, checked against its digest.

    The snapshot is fixed at the start. Offsets must be in the archive; times filter records by their Kafka timestamp.
    Recorded gaps in the range are named on standard error.

    Into Kafka, records keep partition, order, key, value, headers and timestamp; offsets are new. A run that was killed
    goes on where it was when the same command is typed again. At the end the target is read back and compared.

    \b
    headrace replay pin --into stdout | head -3
    headrace replay pin --from 1000 --to 2000 --partition 0 --into jsonl:pins.jsonl --format raw
    headrace replay pin --from 2026-11-23T10:00:00Z --to 2026-11-23T11:00:00Z --into stdout
    headrace replay pin --into kafka:pin_again
    """
    with reported_errors():
        selection = parse_selection(
            from_=from_, to=to, partitions=partitions, dates=dates, topic_id=topic_id, lineage=lineage
        )
        kind, _, name = into.partition(":")
        if into != "stdout" and (kind not in ("jsonl", "kafka") or not name):
            raise RequestRefused(f"--into {into}: expected stdout, jsonl:PATH or kafka:TOPIC")
        store = open_store(archive_url)
        if kind == "kafka":
            allow = Allowances(
                not_empty=allow_not_empty,
                log_append_time=allow_log_append_time,
                compacted=allow_compacted,
                short_retention=allow_short_retention,
            )
            if kafka is None:
                raise RequestRefused("--into kafka:TOPIC needs --kafka, or HEADRACE_KAFKA in the environment")
            replay_into_kafka(store, topic, selection, at, name, {"bootstrap.servers": kafka}, allow)
            return
        reading = open_reading(store, topic, selection, at=at)
        show_plan(reading.plan)
        if into == "stdout":
            _to_stdout(reading, JsonLines(topic, form))
        else:
            with LineFile(Path(name), overwrite=overwrite) as file:
                _write(reading, JsonLines(topic, form), file.write)
        _show_counts(reading)


def _show_counts(reading: Reading) -> None:
    counts = reading.counts
    quarantined = f" ({counts.quarantined:,} quarantined)" if counts.quarantined else ""
    click.echo(
        f"replayed {counts.records:,} records{quarantined} of {reading.plan.topic}, all {counts.parts:,} parts checked "
        f"against their digests, {sum(1 for _ in reading.plan.gaps())} gaps",
        err=True,
    )


def _write(reading: Reading, lines: JsonLines, write: Callable[[bytes], object], *, shown: bool = True) -> None:
    # Lines on a terminal are progress enough.
    with RecordProgress(f"replay {reading.plan.topic}", reading.plan.rows, shown=shown) as progress:
        written = 0
        for piece in _pieces(reading, lines):
            write(piece)
            written += piece.count(b"\n")
            progress.update(written if reading.plan.exact else reading.counts.rows)


def _pieces(reading: Reading, lines: JsonLines) -> Iterator[bytes]:
    for chunk in reading.chunks():
        yield from lines.lines(chunk)


def _to_stdout(reading: Reading, lines: JsonLines) -> None:
    try:
        _write(reading, lines, sys.stdout.buffer.write, shown=not sys.stdout.isatty())
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever reads has had enough, as `head` has. What is left in the buffer must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        click.echo("stopped: the reader of standard output closed it; the replay is not complete", err=True)
        raise SystemExit(0) from None
