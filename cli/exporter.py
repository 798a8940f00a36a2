"""`headrace exporter`: what `headrace lag` knows, as Prometheus metrics. Needs Kafka and S3 only."""

import logging
import signal
import threading

import click

from headrace.archiver.default_names import DEFAULT_GROUP
from headrace.archiver.logged import configure, fields
from headrace.archiver.metric_collector import exposed
from headrace.archiver.oncall.looking import Watcher
from headrace.archiver.oncall.metric_list import LAG_METRICS

from .lag_thresholds import thresholds_of, thresholds_options
from .looks import make_looker
from .options import archive_option, kafka_option, log_format_option
from .servers import open_store, reported_errors
from .serving import METRICS_TYPE, Address, Page, address_option, allow_host_option, serving

log = logging.getLogger("headrace.oncall")

DEFAULT_LISTEN = "127.0.0.1:9477"


@click.command(name="exporter")
@kafka_option
@archive_option
@address_option("--listen", "Where /metrics is served.", DEFAULT_LISTEN)
@allow_host_option
@click.option("--topic", "topics", multiple=True, metavar="T", help="Only this topic. Repeat for several.")
@click.option("--group", default=DEFAULT_GROUP, show_default=True, help="The archiver's consumer group.")
@click.option(
    "--every", type=click.FloatRange(1), default=15.0, show_default=True, metavar="S", help="Look so often: seconds."
)
@thresholds_options
@log_format_option
def command(
    kafka: str,
    archive_url: str,
    listen_at: Address,
    allow_hosts: tuple[str, ...],
    topics: tuple[str, ...],
    group: str,
    every: float,
    warn_behind: float,
    critical_behind: float,
    critical_loss: float,
    max_transaction: float,
    log_format: str,
) -> None:
    """Serve what `headrace lag` knows at /metrics, for Prometheus.

    Needs Kafka and S3 only, no archiver: it tells of one that is down. One exporter for an archive is enough; a second
    does no harm. It looks on its own, each --every seconds, however often it is scraped. When Kafka or S3 is silent it
    says so (headrace_source_up) and goes on with what the other knows. docs/metrics.md lists the metrics,
    docker/prometheus/ has alert rules for them.

    There is no password: it listens on 127.0.0.1 unless told otherwise, and tells topic names, offsets and the workers'
    host names, never what is in an event.

    \b
    headrace exporter
    headrace exporter --listen 0.0.0.0:9477 --allow-host archive-exporter
    """
    configure(log_format, "INFO")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    signal.signal(signal.SIGINT, lambda _number, _frame: stop.set())
    thresholds = thresholds_of(warn_behind, critical_behind, critical_loss, max_transaction)
    with reported_errors():
        looker = make_looker(kafka, open_store(archive_url), archive_url, group, thresholds, topics)
    watcher = Watcher(looker, every_s=every, wait=stop.wait)
    pages = {"/metrics": Page(METRICS_TYPE, exposed(LAG_METRICS, watcher.status))}
    with serving(listen_at, pages, allow_hosts) as at:
        log.info("metrics at %s/metrics", at.url, extra=fields("serving", url=f"{at.url}/metrics"))
        watcher.start()
        stop.wait()
