"""What `headrace monitor` tells, and to whom: the options for it, and the run of whatever serves and sends it."""

import functools
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from headrace.archiver.metric_collector import exposed
from headrace.monitor.alerts import Alerts, AlertSettings
from headrace.monitor.alerts_charts import Charts, read_charts
from headrace.monitor.alerts_metrics import MONITOR_METRICS
from headrace.monitor.alerts_numbers import MonitorNumbers
from headrace.monitor.alerts_topic import AlertsUnusable
from headrace.monitor.transition import Transition
from headrace.producer.kafka_environment import named_secret

from .address import Address
from .configuration import setting_option
from .dashboard_monitor import charts_json
from .kafka_settings import GivenSettings, kafka_config_option, reading_settings
from .options import EXIT_SERVER, EXIT_USAGE, EXIT_WRONG, fail, kafka_option
from .serving import METRICS_TYPE, Page, allow_host_option, listen_option, serving
from .setting_table_monitor import ALERTMANAGER_TOKEN, WEBHOOK_SECRET

TEST_RULE = "headrace-test"
TEST_WAIT_S = 20.0

_OPTIONS = (
    setting_option("monitor.alert_topic"),
    setting_option("monitor.alertmanagers"),
    setting_option("monitor.webhook"),
    setting_option("monitor.link"),
    setting_option("monitor.still_every"),
    setting_option("monitor.notify_age"),
    setting_option("monitor.charts"),
    setting_option("monitor.outbox"),
    listen_option("monitor.metrics"),
    allow_host_option,
)


_NAMES = (
    *("alert_topic", "alertmanagers", "webhook", "link", "still_every_s", "notify_age_s", "charts", "outbox"),
    *("metrics_at", "allow_hosts"),
)


@dataclass(frozen=True)
class Telling:
    """What the options say. `metrics_at`: where /metrics and /charts.json are served; None: nowhere."""

    settings: AlertSettings
    metrics_at: Address | None
    allow_hosts: tuple[str, ...]


def alert_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the options of what is told; it gets what they say as `telling`."""

    @functools.wraps(command)
    def with_telling(**given: Any) -> Any:
        said = {name: given.pop(name) for name in _NAMES}
        return command(telling=_telling(said), **given)

    made: Callable[..., Any] = with_telling
    for option in reversed(_OPTIONS):
        made = option(made)
    return made


def _telling(said: Mapping[str, Any]) -> Telling:
    try:
        settings = AlertSettings(
            topic=said["alert_topic"],
            alertmanagers=said["alertmanagers"],
            alertmanager_token=named_secret(os.environ, ALERTMANAGER_TOKEN) if said["alertmanagers"] else None,
            webhook=said["webhook"],
            webhook_secret=named_secret(os.environ, WEBHOOK_SECRET) if said["webhook"] else None,
            link=said["link"] or "",
            still_every_s=said["still_every_s"],
            notify_age_s=said["notify_age_s"],
            charts=None if said["charts"] is None else Path(said["charts"]),
            outbox=None if said["outbox"] is None else Path(said["outbox"]),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return Telling(settings, said["metrics_at"], said["allow_hosts"])


@contextmanager
def alerting(
    telling: Telling,
    kafka: Mapping[str, Any],
    rules: Mapping[str, tuple[str, str]],
    say: Callable[[str], None] = lambda _line: None,
    *,
    folder: Path | None = None,
) -> Iterator[Alerts]:
    """Tell alerts, and serve what there is to serve, for as long as the block lasts.

    `folder`: where a run keeps its state; charts and outbox are kept there unless the options name other files.

    `kafka`: librdkafka's settings with bootstrap.servers; `rules`: severity and what it is about, by name. What it
    yields is a Sink, and has `on_points` and `numbers` for the runner. Ends the command when that is not possible.
    """
    if folder is not None:
        said = telling.settings
        charts, outbox = said.charts or folder / "charts.sqlite", said.outbox or folder / "outbox.sqlite"
        telling = replace(telling, settings=replace(said, charts=charts, outbox=outbox))
    try:
        alerts = Alerts(
            telling.settings, kafka, rules, now_us=_now_us, monotonic=time.monotonic, draw=random.random
        )  # fmt: skip
    except AlertsUnusable as error:
        fail(str(error), EXIT_SERVER)
    except OSError as error:
        fail(f"{error}; name another file by --charts or --outbox", EXIT_USAGE)
    try:
        with _served(telling, alerts.numbers, say):
            yield alerts
    finally:
        alerts.close()


@contextmanager
def _served(telling: Telling, numbers: MonitorNumbers, say: Callable[[str], None]) -> Iterator[None]:
    if telling.metrics_at is None:
        yield
        return
    path = telling.settings.charts

    def charts() -> bytes:
        found = Charts("missing", "the monitor was started without --charts") if path is None else read_charts(path)
        return charts_json(found, _now_us() // 1000)

    pages = {
        "/metrics": Page(METRICS_TYPE, exposed(MONITOR_METRICS, lambda: numbers)),
        "/charts.json": Page("application/json", charts),
    }
    with serving(telling.metrics_at, pages, telling.allow_hosts) as at:
        say(f"metrics at {at.url}/metrics, charts for the dashboard at {at.url}/charts.json")
        yield


def _now_us() -> int:
    return time.time_ns() // 1000


@click.command(name="test-alert")
@kafka_option
@kafka_config_option
@alert_options
@click.option("--severity", default="info", show_default=True, help="The severity of the alert that is sent.")
def test_alert(kafka: str, kafka_config: GivenSettings, telling: Telling, severity: str) -> None:
    """Send an alert that fires and ends at once, the way real ones go: does everybody hear of it?

    Its rule is called headrace-test. It goes into the topic, to Alertmanager and to the webhook, as far as they are
    named. Each is said with what became of it.

    Exit codes: 0 all took it; 1 one did not; 3 Kafka does not answer, or the topic is not there.
    """
    settings = reading_settings(kafka, kafka_config)
    with alerting(telling, settings, {TEST_RULE: (severity, "a test of the way that alerts go")}, click.echo) as alerts:
        now_us = _now_us()
        test = Transition(
            TEST_RULE, "firing", {"sent": str(now_us)}, 1.0, severity, "A test, by headrace monitor test-alert.", "",
            now_us - 1_000_000, now_us, now_us,
        )  # fmt: skip
        try:
            for each in (test, _ended(test)):
                alerts.send([each])
                _wait(alerts.numbers)
        except AlertsUnusable as error:
            fail(str(error), EXIT_SERVER)
        numbers = alerts.numbers
    click.echo(f"topic {telling.settings.topic}: told")
    wrong = False
    counts = numbers.count("notified")
    for to in numbers.servers():
        came = {outcome: int(counts.get((to, outcome), 0)) for outcome in ("sent", "failed", "refused", "dropped")}
        wrong |= came["sent"] < 2
        said = ", ".join(f"{outcome} {count}" for outcome, count in came.items() if count) or "no answer"
        click.echo(f"{to}: {said}{'' if came['sent'] >= 2 else ' (the log above says why)'}")
    if not numbers.servers():
        click.echo("nobody else is named: --alertmanager, --webhook")
    if wrong:
        raise SystemExit(EXIT_WRONG)


def _ended(test: Transition) -> Transition:
    return replace(test, state="resolved", window_end_us=test.window_end_us + 1, at_us=test.at_us + 1)


def _wait(numbers: MonitorNumbers) -> None:
    """Give the servers a moment to take what was sent."""
    deadline = time.monotonic() + TEST_WAIT_S
    while any(waiting for _, waiting in numbers.servers().values()) and time.monotonic() < deadline:
        time.sleep(0.02)
