"""`headrace archive`: run the archiver's workers under a supervisor."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from headrace.archiver.clock import SystemClock
from headrace.archiver.config import ArchiverConfig
from headrace.archiver.failpoints import FAILPOINTS, UPKEEP_FAILPOINTS
from headrace.archiver.kafka_admin import KafkaAdmin
from headrace.archiver.kafka_metadata import KafkaMetadata
from headrace.archiver.limits import Limits
from headrace.archiver.log_entries import LogCorrupt, LogTooNew
from headrace.archiver.log_state import LogViolation
from headrace.archiver.logged import configure
from headrace.archiver.metric_collector import exposed
from headrace.archiver.object_store import ObjectStore, StoreError
from headrace.archiver.probe import check_store
from headrace.archiver.source import SourceError
from headrace.archiver.supervisor import Supervisor
from headrace.archiver.tallies import ARCHIVER_METRICS, Tallies
from headrace.archiver.topic_decoder import TopicSettings
from headrace.archiver.until_idle import UntilIdle
from headrace.schemas.catalog import builtin, topic_of

from .address import Address
from .configuration import setting_option
from .dashboard import showing
from .kafka_settings import GivenSettings, kafka_config_option, reading_settings
from .lag_thresholds import stated_thresholds
from .options import EXIT_SERVER, EXIT_USAGE, EXIT_WRONG, archive_option, fail, kafka_option, log_format_option
from .servers import open_store, stop_at_signals
from .serving import METRICS_TYPE, Page, allow_host_option, listen_option, serving
from .setting_table import SETTINGS

log = logging.getLogger("headrace.archiver")

MIB = 1 << 20
PROBE_TIMEOUT_S = 3.0  # for each of the probe's few bytes: a store that takes longer is not going to keep up


def _not_empty(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if not value:
        raise click.BadParameter("is empty; give a name, or leave the option out for the default")
    return value


@click.command(name="archive")
@kafka_option
@kafka_config_option
@archive_option
@setting_option("archive.topics")
@setting_option("archive.raw_topics")
@setting_option("archive.workers")
@click.option("--until-idle", is_flag=True, help="End when all that is in the topics now is committed.")
@setting_option("archive.group", callback=_not_empty)
@setting_option("archive.instance")
@setting_option("archive.flush_interval")
@setting_option("archive.flush_rows")
@setting_option("archive.flush_mib")
@setting_option("archive.memory_mib")
@setting_option("archive.read")
@setting_option("archive.seal")
@setting_option("archive.seal_lateness")
@setting_option("archive.schema_topic", callback=_not_empty)
@listen_option("archive.metrics")
@listen_option("archive.dashboard")
@allow_host_option
@log_format_option
@click.option("-v", "--verbose", is_flag=True, help="Say more.")
def command(
    kafka: str,
    kafka_config: GivenSettings,
    archive_url: str,
    topics: tuple[str, ...],
    raw_topics: tuple[str, ...],
    workers: int,
    until_idle: bool,
    group: str,
    instance: str | None,
    flush_interval: float,
    flush_rows: int,
    flush_mib: int,
    memory_mib: int,
    reading: str,
    seal: bool | None,
    seal_lateness: float,
    schema_topic: str,
    metrics_at: Address | None,
    dashboard_at: Address | None,
    allow_hosts: tuple[str, ...],
    log_format: str,
    verbose: bool,
) -> None:
    """Archive topics from Kafka to Parquet on S3, each record exactly once.

    Without --topic and --raw all event types that headrace knows are archived as far as their topics exist. Any number
    of archivers may run at once, crash or pause: the commit log on S3 decides what is archived.

    \b
    headrace archive                         # run for ever
    headrace archive --topic pin --until-idle
    headrace archive --raw clicks-json --workers 2
    """
    configure(log_format, "DEBUG" if verbose else "INFO")
    topics, raw_topics = _typed_alone(topics, raw_topics)
    stop = stop_at_signals()
    clock = SystemClock(stop)
    settings_of_kafka = reading_settings(kafka, kafka_config)
    try:
        store = open_store(archive_url)
        check_store(open_store(archive_url, read_timeout_s=PROBE_TIMEOUT_S), os.urandom(16).hex())
        metadata = KafkaMetadata(settings_of_kafka)
        present = metadata.topics()
        settings = _settings(present, topics, raw_topics, kafka)
        done = _until_idle(settings_of_kafka, store, present, settings, clock) if until_idle else None
        configs = [
            ArchiverConfig(
                kafka=settings_of_kafka,
                archive_url=archive_url,
                s3=store.settings,
                topics=settings,
                group=group,
                # A run that ends leaves the group at once; a lasting one keeps its place over a restart.
                instance_id=None if until_idle else f"headrace-{instance or socket.gethostname()}-{worker}",
                worker=worker,
                limits=Limits(flush_rows, flush_mib * MIB, flush_interval),
                memory_bytes=memory_mib * MIB,
                reading=reading,
                partitions=sum(present[topic.topic] for topic in settings),
                flush_when_idle=until_idle,
                schema_topic=schema_topic,
                seal_lateness_s=seal_lateness if seal or (seal is None and not until_idle) else None,
                failpoint=_failpoint(worker),
                log_level="DEBUG" if verbose else "INFO",
                log_format=log_format,
            )
            for worker in range(workers)
        ]
        watched = _Watched(settings_of_kafka, archive_url, group, tuple(each.topic for each in settings))
        with _metrics(metrics_at, allow_hosts) as tallies, _page(dashboard_at, allow_hosts, watched, stop):
            supervisor = Supervisor(configs, clock=clock, done=done.done if done else None, tallies=tallies)
            code = supervisor.run(stop.is_set)
    except (ValueError, LogTooNew) as error:
        fail(str(error), EXIT_USAGE)
    except (SourceError, StoreError) as error:
        fail(str(error), EXIT_SERVER)
    except (LogCorrupt, LogViolation) as error:
        fail(str(error), EXIT_WRONG)
    if done is not None and code == 0 and not stop.is_set():
        click.echo(
            f"archived: all that was in {', '.join(s.topic for s in settings)} at the start is committed", err=True
        )
    raise SystemExit(code)


def _typed_alone(topics: tuple[str, ...], raw_topics: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Topics on the command line are all that is meant: neither a file nor a variable adds the other kind to them."""
    context = click.get_current_context()
    typed = [context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in ("topics", "raw_topics")]
    return (topics if typed[0] or not typed[1] else ()), (raw_topics if typed[1] or not typed[0] else ())


@contextmanager
def _metrics(address: Address | None, allow_hosts: tuple[str, ...]) -> Iterator[Tallies | None]:
    """Serve what the workers tell of themselves, if so asked."""
    if address is None:
        yield None
        return
    tallies = Tallies()
    pages = {"/metrics": Page(METRICS_TYPE, exposed(ARCHIVER_METRICS, lambda: tallies))}
    with serving(address, pages, allow_hosts) as at:
        log.info("metrics at %s/metrics", at.url)
        yield tallies


class _Watched(NamedTuple):
    kafka: dict[str, Any]
    archive_url: str
    group: str
    topics: tuple[str, ...]


@contextmanager
def _page(
    address: Address | None, allow_hosts: tuple[str, ...], watched: _Watched, stop: threading.Event
) -> Iterator[None]:
    """Serve the page, if so asked."""
    if address is None:
        yield
        return
    every_s = SETTINGS["dashboard.every"].default
    with showing(*watched, stated_thresholds(), at=address, host_names=allow_hosts, every_s=every_s, stop=stop) as at:
        log.info("the page is at %s", at.url)
        yield


def _settings(
    present: dict[str, int], topics: tuple[str, ...], raw_topics: tuple[str, ...], kafka: str
) -> tuple[TopicSettings, ...]:
    """Return the settings of what to archive; end with a usage error for a topic that is not there."""
    if not topics and not raw_topics:
        known = [topic_of(event_type) for event_type in builtin().types()]
        topics = tuple(name for name in known if name in present)
        if not topics:
            fail(f"Kafka at {kafka} has none of the topics {', '.join(known)}; name one by --topic", EXIT_USAGE)
    for topic in (*topics, *raw_topics):
        if topic not in present:
            names = ", ".join(sorted(present)) or "none at all"
            fail(
                f"topic {topic!r} does not exist in Kafka at {kafka}, or this user may not see it; there are: {names}",
                EXIT_USAGE,
            )
    if both := set(topics) & set(raw_topics):
        fail(f"topic {both.pop()!r} is named by --topic and by --raw; choose one", EXIT_USAGE)
    return (*(TopicSettings(t) for t in topics), *(TopicSettings(t, format="raw") for t in raw_topics))


def _until_idle(
    settings_of_kafka: dict[str, Any],
    store: ObjectStore,
    present: dict[str, int],
    settings: tuple[TopicSettings, ...],
    clock: SystemClock,
) -> UntilIdle:
    partitions = {topic.topic: present[topic.topic] for topic in settings}
    positions = KafkaAdmin(settings_of_kafka, pause=clock.pause, monotonic=clock.monotonic)
    return UntilIdle(KafkaMetadata(settings_of_kafka), positions, store, partitions, pause=clock.pause)


def _failpoint(worker: int) -> tuple[str, int, int] | None:
    """Read HEADRACE_FAILPOINT, for tests: `NAME:HIT[:WORKER[:SIGNAL]]`, several with commas between them.

    Worker 0 is meant where none is named, and SIGKILL where no other signal is.
    """
    known = (*FAILPOINTS, *UPKEEP_FAILPOINTS)
    for text in filter(None, os.environ.get("HEADRACE_FAILPOINT", "").split(",")):
        name, hit, *more = text.split(":")
        if name not in known:
            raise ValueError(f"HEADRACE_FAILPOINT names {name!r}; there are: {', '.join(known)}")
        if worker == int(more[0] if more else 0):
            return name, int(hit), signal.Signals[more[1]] if len(more) > 1 else signal.SIGKILL
    return None
