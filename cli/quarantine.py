"""`headrace quarantine`: what could not be decoded, and why; and decoding it once its schema is there."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path

import click

from headrace.archiver.clock import SystemClock
from headrace.archiver.log_state import LogState
from headrace.archiver.logged import configure
from headrace.archiver.quarantine_retry import QuarantineRetry, Retried
from headrace.archiver.schema_source import ArchiveSchemas, read_schema_topic
from headrace.replay.quarantined import grouped, quarantine_reading, quarantined
from headrace.replay.reader import unknown_topic
from headrace.replay.selection import parse_selection
from headrace.schemas.canonical import fingerprint, load
from headrace.schemas.catalog import builtin
from headrace.schemas.errors import SchemaError

from .configuration import setting_option
from .kafka_settings import GivenSettings, kafka_config_option, reading_settings
from .options import EXIT_USAGE, EXIT_WRONG, archive_option, fail
from .progress import RecordProgress
from .rewriters import rewriting
from .servers import open_store, reported_errors


@click.group(name="quarantine")
def command() -> None:
    """See what could not be decoded, and decode it later.

    It is archived whole, in its place by offset, and every replay has it.

    \b
    headrace quarantine list pin
    headrace quarantine show pin --dt 2026-11-23 | head -3
    headrace quarantine retry pin
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


@command.command(name="retry")
@click.argument("topic")
@archive_option
@click.option("--dt", "dates", multiple=True, metavar="YYYY-MM-DD", help="Only this date of quarantine. Repeatable.")
@click.option(
    "--schema",
    "schema_files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A writer schema (.avsc) that was never published. Repeatable.",
)
@setting_option("kafka.servers", help="Kafka's bootstrap servers: published schemas are looked up there too.")
@kafka_config_option
@setting_option("archive.schema_topic")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def retry_command(
    topic: str,
    archive_url: str,
    dates: tuple[str, ...],
    schema_files: tuple[Path, ...],
    kafka: str | None,
    kafka_config: GivenSettings,
    schema_topic: str,
    as_json: bool,
) -> None:
    """Decode what could not be decoded, as far as its schema is known by now.

    Schemas come from the archive, from Kafka's schema topic, from the types that headrace has, and from --schema. What
    decodes becomes rows of its event's date; the records stay the same, byte for byte, each checked before and after,
    and so does what an exact replay gives. It may run beside archivers, twice, and be killed at any moment. Rows that
    come into a sealed date so are marked late.
    """
    configure("human", "WARNING")
    with reported_errors():
        store = open_store(archive_url)
        clock = SystemClock(threading.Event())
        schemas = ArchiveSchemas(
            store,
            _Texts(_texts(schema_files)),
            lambda: [] if kafka is None else read_schema_topic(reading_settings(kafka, kafka_config), schema_topic),
            monotonic=clock.monotonic,
        )
        retry = QuarantineRetry(
            *(store, topic, schemas),
            **rewriting("retry"),
        )
        wanted = parse_selection(dates=dates).dates
        state = retry.log.refresh()
        if not state.seq:
            raise unknown_topic(store, topic)
        with RecordProgress(f"retry {topic}", _rows(state, wanted)) as progress:
            done = retry.run(wanted, progress.advance)
        _show(topic, done, as_json=as_json)
        if not done.may_remove:
            raise SystemExit(EXIT_WRONG)


class _Texts:
    """Schemas that are at hand: those of files, then headrace's own."""

    def __init__(self, texts: Mapping[bytes, str]) -> None:
        self._texts = texts

    def text_by_fingerprint(self, fingerprint: bytes) -> str | None:
        return self._texts.get(fingerprint) or builtin().text_by_fingerprint(fingerprint)


def _texts(files: tuple[Path, ...]) -> dict[bytes, str]:
    found: dict[bytes, str] = {}
    for path in files:
        try:
            text = path.read_text("utf-8")
            found[fingerprint(load(text, str(path)))] = text
        except (ValueError, SchemaError) as error:
            fail(f"--schema {path} is no Avro schema: {error}", EXIT_USAGE)
    return found


def _rows(state: LogState, dates: tuple[str, ...]) -> int:
    return sum(each.file.rows for each in state.files.select(dates=dates, kinds=["quarantine"]))


def _show(topic: str, done: Retried, *, as_json: bool) -> None:
    if as_json:
        value = {
            "version": 1,
            "topic": topic,
            "records": done.records,
            "decoded": done.decoded,
            "left": done.left,
            "rewrites": done.rewrites,
            "fenced": done.fenced,
            "may_remove": done.may_remove,
        }
        click.echo(json.dumps(value))
        return
    entries = f" (entries {', '.join(map(str, done.rewrites))})" if done.rewrites else ""
    click.echo(
        f"{done.decoded:,} of {done.records:,} records of {topic} are decoded now{entries}; {done.left:,} are not"
    )
    if done.fenced:
        click.echo(f"{topic}: another entry came first {done.fenced} times: run this again")
    if not done.may_remove:
        click.echo(f"{topic}: the store refuses to remove the old files: run `headrace gc {topic} --delete`")
