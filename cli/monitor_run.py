"""`headrace monitor run`: a worker that watches rules live."""

import fcntl
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import click

from headrace.archiver.logged import configure
from headrace.archiver.object_store import ObjectStore
from headrace.monitor.alerts import Alerts
from headrace.monitor.alerts_topic import AlertsUnusable
from headrace.monitor.backtest import learned
from headrace.monitor.durations import SECOND_US
from headrace.monitor.evaluator import Evaluator
from headrace.monitor.live_run import LiveRun, LiveSettings, MonitorUnusable
from headrace.monitor.rules import Change, FirstSeen, Rule
from headrace.monitor.transition import Transition, WindowPoint
from headrace.replay.errors import TopicUnknown

from .kafka_settings import GivenSettings, kafka_config_option, reading_settings
from .monitor_alerts import Telling, alert_options, alerting
from .monitor_options import prefix_option, rules_argument, rules_of, schemas_option, texts_of, transition_json
from .options import EXIT_SERVER, EXIT_USAGE, fail, kafka_option, log_format_option, optional_archive_option
from .servers import open_store, reported_errors

log = logging.getLogger("headrace.monitor")


@click.command(name="run")
@rules_argument
@kafka_option
@kafka_config_option
@optional_archive_option
@schemas_option
@prefix_option
@click.option("--group", default="headrace-monitor", show_default=True, help="Workers of one group share the work.")
@click.option(
    "--state",
    "state_folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="headrace-monitor-state",
    show_default=True,
    help="This worker's state on disk; Kafka has it too.",
)
@click.option("--from-start", is_flag=True, help="A new group begins with the oldest records, not with the next.")
@click.option(
    "--checkpoint",
    "checkpoint_s",
    type=click.FloatRange(0.05, 60),
    default=0.5,
    show_default=True,
    metavar="S",
    help="Seconds between commits: each window is told up to two of them later.",
)
@click.option("--print", "printed", is_flag=True, help="Print what rules say, a JSON object a line, and tell nobody.")
@alert_options
@log_format_option
def run_command(
    rules_path: str,
    kafka: str,
    kafka_config: GivenSettings,
    archive_url: str | None,
    schemas: str | None,
    topic_prefix: str,
    group: str,
    state_folder: Path,
    from_start: bool,
    checkpoint_s: float,
    printed: bool,
    telling: Telling,
    log_format: str,
) -> None:
    """Watch rules live: one worker; start more with the same --group to share the topics' partitions.

    It may be killed at any moment: positions, windows and alerts are committed together, and another worker goes on
    from them. With --archive a new rule that compares with the past, or looks for new values, first reads a week of it.

    Exit codes: 0 ended by SIGTERM or Ctrl-C; 1 a rule is wrong; 2 the state is another worker's; 3 Kafka or the
    archive does not answer, or a topic is missing.
    """
    rules = rules_of(rules_path, schemas, topic_prefix)
    configure(log_format, "INFO")
    settings = LiveSettings(
        reading_settings(kafka, kafka_config),
        group,
        state_folder,
        f"{topic_prefix}{group}.cells",
        from_start=from_start,
        commit_interval_s=checkpoint_s,
    )
    with reported_errors(), _own(state_folder):
        past = _Past(None if archive_url is None else open_store(archive_url))
        with _told(telling, settings, rules, printed=printed) as sink:
            try:
                run = LiveRun(
                    rules,
                    texts_of(schemas),
                    settings,
                    sink=sink,
                    on_points=sink.on_points,
                    on_records=sink.on_records,
                    on_uncounted=sink.on_uncounted,
                    now_us=_now_us,
                    learned=past.of,
                )
                log.info("watching %d rules as group %s", len(rules), group)
                run.run()
            except (MonitorUnusable, AlertsUnusable) as error:
                fail(str(error), EXIT_SERVER)


def _now_us() -> int:
    return time.time_ns() // 1000


class _Past:
    """What the archive says of a new rule's past."""

    def __init__(self, store: ObjectStore | None) -> None:
        self._store = store

    def of(self, rule: Rule) -> Evaluator | None:
        """Return an evaluator that knows a rule's past; None where there is none to know."""
        if not isinstance(rule.condition, Change | FirstSeen):
            return None
        if self._store is None:
            log.warning("rule %s is new, and there is no --archive to learn from: it learns as it goes", rule.name)
            return None
        began = time.monotonic()
        until_us = _now_us() // SECOND_US * SECOND_US
        try:
            found = learned(self._store, rule, until_us)
        except TopicUnknown as error:
            log.warning("rule %s is new, and learns as it goes: %s", rule.name, error)
            return None
        log.info("rule %s is new: its past was read in %.1f s", rule.name, time.monotonic() - began)
        return found


class _Told(Protocol):
    """What a run hands over to: a Sink that takes points and counts too."""

    def send(self, transitions: Sequence[Transition]) -> None:
        """See Sink."""

    def on_points(self, points: Sequence[WindowPoint]) -> None:
        """See OnPoints."""

    def on_records(self, topic: str, count: int) -> None:
        """See OnRecords."""

    def on_uncounted(self, rule: str, totals: Mapping[str, int]) -> None:
        """See OnUncounted."""

    def close(self) -> None:
        """See Sink."""


class _Alerting:
    """Tells alerts, and counts records for the metrics."""

    def __init__(self, alerts: Alerts) -> None:
        self.send, self.on_points, self.close = alerts.send, alerts.on_points, alerts.close
        self.on_records, self.on_uncounted = alerts.numbers.records, alerts.numbers.uncounted


@contextmanager
def _told(telling: Telling, settings: LiveSettings, rules: Sequence[Rule], *, printed: bool) -> Iterator[_Told]:
    if printed:
        yield _Printed()
        return
    named = {rule.name: (rule.severity, rule.about) for rule in rules}
    with alerting(telling, settings.kafka, named, log.info, folder=settings.state_folder) as alerts:
        yield _Alerting(alerts)


class _Printed:
    """Prints all of it."""

    def __init__(self) -> None:
        self._uncounted: dict[str, Mapping[str, int]] = {}

    def send(self, transitions: Sequence[Transition]) -> None:
        """See Sink."""
        for each in transitions:
            _say({"kind": "alert", **transition_json(each)})

    def on_points(self, points: Sequence[WindowPoint]) -> None:
        """See OnPoints."""
        for each in points:
            _say({"kind": "point", **asdict(each)})

    def on_records(self, topic: str, count: int) -> None:
        """See OnRecords."""
        _say({"kind": "records", "topic": topic, "count": count})

    def on_uncounted(self, rule: str, totals: Mapping[str, int]) -> None:
        """See OnUncounted."""
        if self._uncounted.get(rule) != totals:
            self._uncounted[rule] = dict(totals)
            _say({"kind": "uncounted", "rule": rule, **totals})

    def close(self) -> None:
        """See Sink."""


def _say(value: dict[str, Any]) -> None:
    click.echo(json.dumps(value))


@contextmanager
def _own(folder: Path) -> Iterator[None]:
    """Hold a worker's folder: two workers in one would write over each other."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "owner").open("w") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError:
        fail(f"--state {folder} is another worker's, which runs: give this one a folder of its own", EXIT_USAGE)
    except OSError as error:
        fail(f"--state {folder}: {error.strerror or error}", EXIT_USAGE)
