"""`headrace produce TYPE`: logs events of one type from JSON lines on standard input."""

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from typing import IO, Any

import click

from headrace.producer import EventLog
from headrace.producer.errors import KafkaUnreachable, UnknownTopic
from headrace.producer.topics import create_topic, partitions_of
from headrace.schemas import Event, InvalidEvent
from headrace.schemas.classes import event_classes
from headrace.schemas.from_json import event_from_json

from .configuration import setting_option
from .kafka_settings import GivenSettings, kafka_config_option, kafka_extra
from .options import EXIT_SERVER, EXIT_USAGE, EXIT_WRONG, fail, kafka_option

_EXIT_INTERRUPTED = 130
_PROGRESS_S = 0.5


@click.command()
@click.argument("event_type", metavar="TYPE")
@kafka_option
@kafka_config_option
@click.option("--topic", help="The topic to write to.  [default: the type's name]")
@setting_option("producer.service", default="cli", show_default=True)
@click.option(
    "--create-topic",
    "new_partitions",
    type=click.IntRange(1, 10_000),
    metavar="PARTITIONS",
    help="Create the topic if it is not there.",
)
@click.option("--strict", is_flag=True, help="Stop at the first bad line.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0.1), default=30.0, show_default=True, metavar="SECONDS",
    help="How long to wait at the end until Kafka has acknowledged everything.",
)  # fmt: skip
def command(
    event_type: str,
    kafka: str,
    kafka_config: GivenSettings,
    topic: str | None,
    service: str,
    new_partitions: int | None,
    strict: bool,
    timeout_s: float,
) -> None:
    """Log events of one TYPE from JSON lines on standard input, one object a line.

    Fields are those of the type (`headrace schema show TYPE`); of the envelope, occurred_at (ISO 8601) and trace_id
    (hex) may be given. Bad lines are reported with their number and left out.

    Exit codes: 0 all logged; 1 bad lines, or not everything was acknowledged; 2 unknown type or topic; 3 Kafka cannot
    be reached.
    """
    classes = event_classes()
    if event_type not in classes:
        fail(f"there is no event type {event_type}; there are {', '.join(sorted(classes))}", EXIT_USAGE)
    target = topic or event_type
    extra = kafka_extra(kafka_config)
    _check_topic(kafka, target, new_partitions, extra)
    # What matters of it is in last_error, which is shown at the end.
    logging.getLogger("headrace.producer.librdkafka").setLevel(logging.CRITICAL)
    log = EventLog(
        service=service, kafka=kafka, topic=target, kafka_config=extra, when_full="block", block_s_max=timeout_s
    )
    run = _Run(log, classes[event_type], strict=strict)
    interrupted = False
    try:
        run.read(sys.stdin.buffer)
        delivered = log.close(timeout_s)
    except KeyboardInterrupt:
        interrupted = True
        click.echo("interrupted: delivering what was read (again to give up)", err=True)
        delivered = log.close(timeout_s)
    run.end_progress()
    counts = log.counts()
    lost = run.good - counts.acked
    click.echo(f"{run.good} events read, {counts.acked} delivered to {target}, {run.bad} bad lines", err=True)
    if interrupted:
        sys.exit(_EXIT_INTERRUPTED)
    if not delivered or lost:
        fail(
            f"{lost} events were not delivered: {counts.last_error or 'Kafka did not acknowledge in time'}", EXIT_WRONG
        )
    if run.bad:
        sys.exit(EXIT_WRONG)


class _Run:
    """Reads lines and logs them, counting good and bad ones."""

    def __init__(self, log: EventLog, cls: type[Event], *, strict: bool) -> None:
        self._log = log
        self._cls = cls
        self._strict = strict
        self._shown = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self.good = 0
        self.bad = 0

    def read(self, stream: IO[bytes]) -> None:
        """Log each line of a stream of UTF-8 JSON; blank lines are passed over."""
        for number, line in _lines(stream):
            try:
                event = event_from_json(self._cls, json.loads(line))
            except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
                self._report(number, f"not JSON: {error}")
            except InvalidEvent as error:
                self._report(number, str(error))
            else:
                self.good += 1
                if not self._log.emit(event):
                    self.good -= 1
                    self._report(number, f"not accepted: {self._log.counts().last_error or 'the queue stayed full'}")
            if self.bad and self._strict:
                return
            self._progress()

    def _report(self, number: int, reason: str) -> None:
        self.bad += 1
        click.echo(f"line {number}: {reason}", err=True)

    def _progress(self) -> None:
        if self._terminal and time.monotonic() - self._shown >= _PROGRESS_S:
            self._shown = time.monotonic()
            click.echo(f"\r{self.good} events read, {self._log.counts().acked} delivered", err=True, nl=False)

    def end_progress(self) -> None:
        """Clear the progress line, so that what follows begins at the left."""
        if self._terminal:
            click.echo("\r\x1b[K", err=True, nl=False)


def _lines(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(stream, start=1):
        if line.strip():
            yield number, line


def _check_topic(kafka: str, topic: str, partitions: int | None, extra: Mapping[str, Any]) -> None:
    try:
        if partitions is not None and create_topic(kafka, topic, partitions, kafka_config=extra):
            click.echo(f"created topic {topic} with {partitions} partitions", err=True)
        else:
            partitions_of(kafka, topic, kafka_config=extra)
    except UnknownTopic as error:
        fail(str(error), EXIT_USAGE)
    except ValueError as error:
        fail(str(error), EXIT_USAGE)
    except KafkaUnreachable as error:
        fail(str(error), EXIT_SERVER)
