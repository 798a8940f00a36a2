"""The settings of what a monitor tells, and to whom: rows of the table that setting_table.py completes."""

from headrace.monitor.alerts_defaults import NOTIFY_AGE_S, STILL_EVERY_S
from headrace.producer.setting import Names, Number, Setting, Text
from headrace.schemas.catalog import ALERT_TOPIC

from .listen_at import ListenAt

WEBHOOK_SECRET = "HEADRACE_MONITOR_WEBHOOK_SECRET"  # noqa: S105 - the variable's name
ALERTMANAGER_TOKEN = "HEADRACE_MONITOR_ALERTMANAGER_TOKEN"  # noqa: S105 - as above
MONITOR_SECRETS = tuple(
    name + ending for name in (WEBHOOK_SECRET, ALERTMANAGER_TOKEN) for ending in ("", "_FILE", "_COMMAND")
)
"""Variables of secrets: no rows of the table, as no file may hold them."""

ALERT_SETTINGS = (
    Setting(
        "monitor.alert_topic",
        Text("a name"),
        "The topic that alerts are kept in; it must exist.",
        default=ALERT_TOPIC,
        flag=("--alert-topic",),
    ),
    Setting(
        "monitor.alertmanagers",
        Names(),
        "Tell this Alertmanager, such as http://127.0.0.1:9093. Repeat for several.",
        flag=("--alertmanager", "alertmanagers"),
        metavar="URL",
    ),
    Setting(
        "monitor.webhook",
        Text("a URL"),
        "Post each alert here as JSON.",
        flag=("--webhook",),
        metavar="URL",
    ),
    Setting(
        "monitor.link",
        Text("a URL"),
        "Where people see more, such as the dashboard: Alertmanager gets it with each alert.",
        flag=("--link",),
        metavar="URL",
    ),
    Setting(
        "monitor.still_every",
        Number(1),
        "Tell so often that an alert goes on: seconds of event time.",
        default=STILL_EVERY_S,
        flag=("--still-every", "still_every_s"),
        metavar="S",
    ),
    Setting(
        "monitor.notify_age",
        Number(0),
        "An alert whose window ended longer ago goes into the topic only: seconds.",
        default=NOTIFY_AGE_S,
        flag=("--notify-age", "notify_age_s"),
        metavar="S",
    ),
    Setting(
        "monitor.charts",
        Text("a path"),
        "Keep the last hours in this file, for the dashboard's charts.",
        flag=("--charts",),
        metavar="FILE",
        unset="charts.sqlite in the run's --state",
    ),
    Setting(
        "monitor.outbox",
        Text("a path"),
        "Keep what the webhook has still to be told in this file.",
        flag=("--outbox",),
        metavar="FILE",
        unset="outbox.sqlite in the run's --state",
    ),
    Setting(
        "monitor.metrics",
        ListenAt(),
        "Serve /metrics for Prometheus, and /charts.json for `headrace dashboard --monitor`.",
        flag=("--metrics",),
    ),
)
