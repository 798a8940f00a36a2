"""`headrace exporter`: what `headrace lag` knows, as Prometheus metrics. Needs Kafka and S3 only."""

import logging

import click

from headrace.archiver.logged import configure, fields
from headrace.archiver.metric_collector import exposed
from headrace.archiver.oncall.looking import Watcher
from headrace.archiver.oncall.metric_list import LAG_METRICS
from headrace.archiver.oncall.thresholds import Thresholds

from .address import Address
from .kafka_settings import GivenSettings, reading_settings
from .looks import make_looker
from .servers import open_to_look, reported_errors, stop_at_signals
from .serving import METRICS_TYPE, Page, serving
from .watching import watching_options

log = logging.getLogger("headrace.oncall")


@click.command(name="exporter")
@watching_options("exporter")
def command(
    kafka: str,
    kafka_config: GivenSettings,
    archive_url: str,
    listen_at: Address,
    allow_hosts: tuple[str, ...],
    topics: tuple[str, ...],
    group: str,
    every: float,
    thresholds: Thresholds,
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
    stop = stop_at_signals()
    with reported_errors():
        settings = reading_settings(kafka, kafka_config)
        looker = make_looker(settings, open_to_look(archive_url), archive_url, group, thresholds, topics)
    watcher = Watcher(looker, every_s=every, wait=stop.wait)
    pages = {"/metrics": Page(METRICS_TYPE, exposed(LAG_METRICS, watcher.status))}
    with serving(listen_at, pages, allow_hosts) as at:
        log.info("metrics at %s/metrics", at.url, extra=fields("serving", url=f"{at.url}/metrics"))
        watcher.start()
        stop.wait()
