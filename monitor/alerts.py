"""Wires what a live run tells: topic, notifiers, charts and numbers. The only module here that knows all of them."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.producer import EventLog
from headrace.schemas.catalog import ALERT_TOPIC, builtin
from headrace.schemas.frame import Decoder

from .alerts_alertmanager import PATH, Alertmanager
from .alerts_defaults import NOTIFY_AGE_S, STILL_EVERY_S
from .alerts_event import Told
from .alerts_http import Backoff, Endpoint, endpoint
from .alerts_memory import AlertMemory, Noticed
from .alerts_notifier import Notifier
from .alerts_numbers import MonitorNumbers
from .alerts_outbox import Outbox
from .alerts_points import PointStore
from .alerts_teller import Teller
from .alerts_topic import AlertTopic
from .alerts_webhook import Webhook
from .transition import Transition, WindowPoint

BACKOFF_FIRST_S = 1.0
BACKOFF_MOST_S = 30.0


@dataclass(frozen=True)
class AlertSettings:
    """Whom to tell, and how often. `alertmanagers` and `webhook`: addresses; `charts` and `outbox`: files.

    Raises ValueError for an address or a secret that cannot be used.
    """

    topic: str = ALERT_TOPIC
    alertmanagers: Sequence[str] = ()
    alertmanager_token: str | None = field(default=None, repr=False)
    webhook: str | None = None
    webhook_secret: str | None = field(default=None, repr=False)
    link: str = ""
    still_every_s: float = STILL_EVERY_S
    notify_age_s: float = NOTIFY_AGE_S
    charts: Path | None = None
    outbox: Path | None = None

    def __post_init__(self) -> None:
        for url in self.alertmanagers:
            endpoint("--alertmanager", url, PATH)
        if self.webhook is not None:
            endpoint("--webhook", self.webhook)
        if self.link:
            endpoint("--link", self.link)
        token = self.alertmanager_token
        if token is not None and not (token.isascii() and token.isprintable() and token):
            raise ValueError("the token for Alertmanager must be one line of printable ASCII")

    @property
    def expire_us(self) -> int:
        """So long an alert is taken to fire after it was told last: two of the times at which it is told again."""
        return int((2 * self.still_every_s + self.notify_age_s) * 1e6)


class Alerts:
    """What a run hands its transitions and points to: a Sink, and an `on_points`.

    `rules`: severity and what it is about, by name, for the charts.
    """

    def __init__(
        self,
        settings: AlertSettings,
        kafka: Mapping[str, Any],
        rules: Mapping[str, tuple[str, str]],
        *,
        now_us: Callable[[], int],
        monotonic: Callable[[], float],
        draw: Callable[[], float],
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """Read what was told, and begin to tell. Raises AlertsUnusable, and OSError for a file that cannot be.

        `kafka`: librdkafka's settings with bootstrap.servers; `draw()`: a random number from 0 to 1.
        """
        self.numbers = MonitorNumbers(lambda: now_us() - settings.expire_us)
        self._store: PointStore | None = None
        if settings.charts is not None:
            self._store = PointStore(settings.charts, self.numbers, now_us=now_us)
            self._store.rules(rules)
        servers = str(kafka["bootstrap.servers"])
        extra = {name: value for name, value in kafka.items() if name != "bootstrap.servers"}
        log = EventLog(service="headrace-monitor", kafka=servers, kafka_config=extra, topic=settings.topic)
        record = AlertTopic(log, kafka, settings.topic, Decoder(builtin()), monotonic=monotonic)
        self._teller = Teller(
            record,
            AlertMemory(still_every_us=int(settings.still_every_s * 1e6)),
            Noticed(age_us_max=int(settings.notify_age_s * 1e6)),
            self.numbers,
            now_us=now_us,
            expire_us=settings.expire_us,
            on_told=self._marks,
        )
        self._teller.start(self._notifiers(settings, now_us, monotonic, draw, trust))

    def send(self, transitions: Sequence[Transition]) -> None:
        """See Sink."""
        self._teller.send(transitions)

    def on_points(self, points: Sequence[WindowPoint]) -> None:
        """Take the points of windows that closed."""
        self.numbers.points(points)
        if self._store is not None:
            self._store.points(points)

    def close(self) -> None:
        """See Sink."""
        self._teller.close()
        if self._store is not None:
            self._store.close()

    def _marks(self, news: Sequence[Told]) -> None:
        if self._store is not None:
            self._store.marks(news)

    def _notifiers(
        self,
        settings: AlertSettings,
        now_us: Callable[[], int],
        monotonic: Callable[[], float],
        draw: Callable[[], float],
        trust: ssl.SSLContext | None,
    ) -> list[Notifier]:
        made: list[Notifier] = []
        for url in settings.alertmanagers:
            to: Endpoint = endpoint("--alertmanager", url, PATH)
            made.append(
                Alertmanager(
                    to,
                    self.numbers,
                    token=settings.alertmanager_token,
                    generator_url=settings.link,
                    backoff=Backoff(BACKOFF_FIRST_S, BACKOFF_MOST_S, draw),
                    still_firing=self._teller.still_firing,
                    expire_us=settings.expire_us,
                    now_us=now_us,
                    monotonic=monotonic,
                    trust=trust,
                )
            )
        if settings.webhook is not None:
            secret = settings.webhook_secret
            made.append(
                Webhook(
                    endpoint("--webhook", settings.webhook),
                    Outbox(settings.outbox),
                    self.numbers,
                    secret=None if secret is None else secret.encode(),
                    backoff=Backoff(BACKOFF_FIRST_S, BACKOFF_MOST_S, draw),
                    now_us=now_us,
                    trust=trust,
                )
            )
        return made
