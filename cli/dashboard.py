"""`headrace dashboard`: a page that shows whether data is about to be lost. Needs Kafka and S3 only."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import click

from headrace.archiver.logged import configure, fields
from headrace.archiver.oncall.looking import Watcher
from headrace.archiver.oncall.thresholds import Thresholds

from .address import Address
from .configuration import setting_option
from .dashboard_data import page_json
from .dashboard_monitor import Source, monitor_source, no_monitor
from .kafka_settings import GivenSettings, reading_settings
from .looks import make_looker
from .servers import open_to_look, reported_errors, stop_at_signals
from .serving import Page, serving
from .watching import watching_options

log = logging.getLogger("headrace.oncall")

_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/chart.js": ("chart.js", "text/javascript; charset=utf-8"),
    "/monitor.js": ("monitor.js", "text/javascript; charset=utf-8"),
}


@click.command(name="dashboard")
@watching_options("dashboard")
@setting_option("dashboard.monitor")
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
    monitor: str | None,
) -> None:
    """Serve a page for people: is data about to be lost, where, why, and what to do.

    The same judgement as `headrace lag`, looked up again each --every seconds, with the last hour as charts: topics,
    partitions, workers, commits, sealed dates, gaps, quarantine, producers' spools and errors. It needs Kafka and S3
    only; `headrace archive --dashboard` serves the same page from the archiver's process.

    There is no password: it listens on 127.0.0.1 unless told otherwise (ssh -L 8477:127.0.0.1:8477 HOST brings it to
    you). It shows names, offsets and counts, nothing that is in an event and no settings; with --monitor also the
    values that a monitor's rules group by, and their messages.

    \b
    headrace dashboard                       # then open http://127.0.0.1:8477
    headrace dashboard --listen 0.0.0.0:8477 --allow-host archive.internal
    """
    configure(log_format, "INFO")
    rules = _rules_of(monitor)
    with reported_errors():
        stop = stop_at_signals()  # within: reported_errors takes SIGTERM for itself
        watched = (reading_settings(kafka, kafka_config), archive_url, group, topics, thresholds)
        with showing(*watched, at=listen_at, host_names=allow_hosts, every_s=every, stop=stop, monitor=rules) as at:
            log.info("the page is at %s", at.url, extra=fields("serving", url=at.url))
            stop.wait()


def _rules_of(monitor: str | None) -> Source:
    try:
        return no_monitor if monitor is None else monitor_source(monitor)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


@contextmanager
def showing(
    kafka: Mapping[str, Any],
    archive_url: str,
    group: str,
    topics: tuple[str, ...],
    thresholds: Thresholds,
    *,
    at: Address,
    host_names: tuple[str, ...],
    every_s: float,
    stop: threading.Event,
    monitor: Source = no_monitor,
) -> Iterator[Address]:
    """Serve the page for as long as the block lasts; `stop` ends the looking."""
    looker = make_looker(kafka, open_to_look(archive_url), archive_url, group, thresholds, topics, with_news=True)
    watcher = Watcher(looker, every_s=every_s, wait=stop.wait)
    with serving(at, pages_of(watcher, monitor), host_names) as address:
        watcher.start()
        yield address


def pages_of(watcher: Watcher, monitor: Source = no_monitor) -> Mapping[str, Page]:
    """Return the page, its parts, and its data; `monitor` gives that of a monitor's rules."""

    def data() -> bytes:
        status = watcher.status()
        return page_json(status, watcher.history(), watcher.troubles(), watcher.every_s)

    pages = {path: Page(media_type, _part(name)) for path, (name, media_type) in _FILES.items()}
    return {**pages, "/status.json": Page("application/json", data), "/monitor.json": Page("application/json", monitor)}


def _part(name: str) -> Callable[[], bytes]:
    body = (files("headrace.cli") / "dashboard_page" / name).read_bytes()
    return lambda: body
