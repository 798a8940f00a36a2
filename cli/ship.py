"""`headrace ship DIR`: delivers what apps have in a spool folder to Kafka, as a process of its own."""

import functools
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
from confluent_kafka import KafkaException

from headrace.archiver.logged import configure
from headrace.producer.auditing import AuditSettings
from headrace.producer.environment import audit_from, limits_from
from headrace.producer.kafka_settings import IN_FLIGHT_RECORDS_MAX, connect, producer_config
from headrace.producer.shipping_here import shipper_maker
from headrace.producer.spool.resending import Resending
from headrace.producer.spool.shipping import Shipping

from .address import Address
from .configuration import environment, setting_option
from .kafka_settings import GivenSettings, kafka_config_option, kafka_extra, without_values
from .options import EXIT_USAGE, EXIT_WRONG, fail, kafka_option, log_format_option
from .serving import METRICS_TYPE, Page, allow_host_option, listen_option, serving
from .ship_metrics import SHIP_METRICS

_EXIT_INTERRUPTED = 130


@click.command(name="ship")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@kafka_option
@kafka_config_option
@click.option("--dead-letters", is_flag=True, help="Send what was put aside again, and end. `headrace spool` shows it.")
@click.option("--reason", help="With --dead-letters: only those of one reason, such as oversize.")
@click.option(
    "--until-empty", is_flag=True, help="End when all that is there is delivered, instead of waiting for more."
)
@setting_option("ship.grace")
@listen_option("ship.metrics")
@allow_host_option
@log_format_option
def command(
    folder: Path,
    kafka: str,
    kafka_config: GivenSettings,
    dead_letters: bool,
    reason: str | None,
    until_empty: bool,
    grace_s: float,
    metrics_at: Address | None,
    allow_hosts: tuple[str, ...],
    log_format: str,
) -> None:
    """Deliver the events in the spool folder DIR to Kafka: of all its services and processes, living and dead.

    Living processes are those with EventLog(spool=DIR, ship="separate"), or HEADRACE_SHIP=separate: they only write to
    the spool. Processes that ship their own events are left alone, until they are dead. Several ship processes may run
    on one folder; each process's events are delivered by one of them, in order. It may be killed at any moment: then
    some events come twice, with the same event_id, and none is lost.

    With HEADRACE_AUDIT=1 it sends audit events that tell what became of the sessions that it delivers; they wait in
    DIR/headrace-ship.

    Events older than HEADRACE_SPOOL_AGE_S_MAX (7 days) are dropped instead of sent. What changes is said on standard
    error, a line each. SIGTERM and Ctrl-C end it within the grace.

    With --dead-letters it delivers nothing else: it sends again what was put aside because it was too large or Kafka
    refused it, once the cause is gone. What is refused again stays where it was.

    Exit codes: 0 ended by SIGTERM, or empty and nothing was lost; 1 with --until-empty or --dead-letters: ended before
    that, or events were lost (expired, damaged) or put aside; 2 DIR is no spool; 130 Ctrl-C.
    """
    if reason is not None and not dead_letters:
        fail("--reason goes with --dead-letters", EXIT_USAGE)
    # What matters of it is said here.
    logging.getLogger("headrace.producer").setLevel(logging.CRITICAL)
    say = _teller(log_format)
    extra = kafka_extra(kafka_config)
    try:
        config = producer_config("ship", kafka) | extra
        connect(config)  # so that a setting that cannot work is told at once
        shipping = Shipping(
            folder.absolute(),
            config=config,
            make_producer=connect,
            in_flight_records_max=IN_FLIGHT_RECORDS_MAX,
            limits=limits_from(environment()),
            grace_s=grace_s,
            say=say,
            clock_ns=time.time_ns,
            monotonic=time.monotonic,
            audit=AuditSettings() if audit_from(environment()) else None,
            host=socket.gethostname() or "unknown",
        )
    except PermissionError as error:
        fail(f"{error.filename or folder}: {error.strerror}; run it as a user who may write there", EXIT_USAGE)
    except OSError as error:
        fail(f"{folder}: {error.strerror or error}; give the folder that EventLog(spool=...) has", EXIT_USAGE)
    except ValueError as error:
        fail(str(error), EXIT_USAGE)
    except KafkaException as error:
        fail(f"--kafka-config, or --kafka: {without_values(error.args[0].str(), extra)}", EXIT_USAGE)
    if dead_letters:
        make = shipper_maker("ship", kafka, extra, None, time.monotonic)
        resending = Resending(folder.absolute(), reason=reason, make_shipper=make, say=say, clock_ns=time.time_ns)
        caught = _caught(resending.stop)
        resending.run()
        say(f"{resending.sent:,} dead letters sent, {resending.left:,} left")
        _end(caught, wrong=resending.left > 0)
    caught = _caught(shipping.stop)
    with _metrics(metrics_at, allow_hosts, shipping, say):
        say(f"shipping {folder} to {kafka}")
        empty = shipping.run(until_empty=until_empty)
    lost = "".join(f", {count:,} {reason}" for reason, count in shipping.lost.items())
    say(f"{shipping.queue.delivered:,} events delivered{lost}{'' if empty else '; more wait'}")
    _end(caught, wrong=until_empty and (not empty or bool(lost)))


@contextmanager
def _metrics(
    address: Address | None, allow_hosts: tuple[str, ...], shipping: Shipping, say: Callable[[str], None]
) -> Iterator[None]:
    """Serve what the shipping shows, if so asked."""
    if address is None:
        yield
        return
    try:
        # Only here: the light install does without it.
        from headrace.archiver.metric_collector import exposed  # noqa: PLC0415
    except ModuleNotFoundError:
        fail("--metrics needs prometheus_client: pip install 'headrace[metrics]'", EXIT_USAGE)
    pages = {"/metrics": Page(METRICS_TYPE, exposed(SHIP_METRICS, lambda: shipping.readings))}
    with serving(address, pages, allow_hosts) as at:
        say(f"metrics at {at.url}/metrics")
        yield


def _teller(log_format: str) -> Callable[[str], None]:
    """Return what says a line: plain, as ever, or as JSON."""
    if log_format == "human":
        return functools.partial(click.echo, err=True)
    configure(log_format, "INFO")
    return logging.getLogger("headrace.ship").info


def _caught(stop: Callable[[], None]) -> list[int]:
    """Have SIGTERM and Ctrl-C call `stop`; return the list of those that came."""
    caught: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return caught


def _end(caught: list[int], *, wrong: bool) -> NoReturn:
    if signal.SIGINT in caught:
        raise SystemExit(_EXIT_INTERRUPTED)
    raise SystemExit(EXIT_WRONG if wrong else 0)
