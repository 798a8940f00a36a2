"""`headrace ship DIR`: delivers what apps have in a spool folder to Kafka, as a process of its own."""

import json
import logging
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import click
from confluent_kafka import KafkaException

from headrace.producer.environment import limits_from
from headrace.producer.kafka_settings import IN_FLIGHT_RECORDS_MAX, connect, producer_config
from headrace.producer.spool.shipping import Shipping

from .options import EXIT_USAGE, EXIT_WRONG, fail, kafka_option

_EXIT_INTERRUPTED = 130


@click.command(name="ship")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@kafka_option
@click.option(
    "--kafka-config", metavar="JSON", default="{}", envvar="HEADRACE_KAFKA_CONFIG", show_envvar=True,
    help="A JSON object of librdkafka settings: security, tuning.",
)  # fmt: skip
@click.option(
    "--until-empty", is_flag=True, help="End when all that is there is delivered, instead of waiting for more."
)
@click.option(
    "--grace", "grace_s", type=click.FloatRange(0), default=5.0, show_default=True, metavar="SECONDS",
    help="How long to wait at the end for what is on its way to Kafka.",
)  # fmt: skip
def command(folder: Path, kafka: str, kafka_config: str, until_empty: bool, grace_s: float) -> None:
    """Deliver the events in the spool folder DIR to Kafka: of all its services and processes, living and dead.

    Living processes are those with EventLog(spool=DIR, ship="separate"), or HEADRACE_SHIP=separate: they only write to
    the spool. Processes that ship their own events are left alone, until they are dead. Several ship processes may run
    on one folder; each process's events are delivered by one of them, in order. It may be killed at any moment: then
    some events come twice, with the same event_id, and none is lost.

    Events older than HEADRACE_SPOOL_AGE_S_MAX (7 days) are dropped instead of sent. What changes is said on standard
    error, a line each. SIGTERM and Ctrl-C end it within the grace.

    Exit codes: 0 ended by SIGTERM, or empty and nothing was lost; 1 with --until-empty: ended before that, or events
    were lost (expired, damaged, refused by Kafka); 2 DIR is no spool; 130 Ctrl-C.
    """
    # What matters of it is said here.
    logging.getLogger("headrace.producer").setLevel(logging.CRITICAL)
    try:
        config = producer_config("ship", kafka) | _settings(kafka_config)
        connect(config)  # so that a setting that cannot work is told at once
        shipping = Shipping(
            folder.absolute(),
            config=config,
            make_producer=connect,
            in_flight_records_max=IN_FLIGHT_RECORDS_MAX,
            limits=limits_from(os.environ),
            grace_s=grace_s,
            say=lambda text: click.echo(text, err=True),
            clock_ns=time.time_ns,
            monotonic=time.monotonic,
        )
    except OSError as error:
        fail(f"{folder}: {error.strerror or error}; give the folder that EventLog(spool=...) has", EXIT_USAGE)
    except ValueError as error:
        fail(str(error), EXIT_USAGE)
    except KafkaException as error:
        fail(f"--kafka-config, or --kafka: {error.args[0].str()}", EXIT_USAGE)
    caught: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        shipping.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    click.echo(f"shipping {folder} to {kafka}", err=True)
    empty = shipping.run(until_empty=until_empty)
    lost = "".join(f", {count:,} {reason}" for reason, count in shipping.lost.items())
    click.echo(f"{shipping.queue.delivered:,} events delivered{lost}{'' if empty else '; more wait'}", err=True)
    if signal.SIGINT in caught:
        raise SystemExit(_EXIT_INTERRUPTED)
    if until_empty and (not empty or lost):
        raise SystemExit(EXIT_WRONG)


def _settings(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise ValueError(f"--kafka-config must be a JSON object of librdkafka settings: {error}") from error
