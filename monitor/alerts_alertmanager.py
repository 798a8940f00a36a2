"""Tells Alertmanager by its API v2: what fires is sent again and again while it fires, what ended is sent until taken.

Sources: its OpenAPI description (postableAlerts), and Prometheus's page on the alerts API. Alertmanager puts together
what has the same labels, so that several workers, or one after a restart, may send the same alert: it stays one. Each
alert carries an end a few minutes ahead, so that it ends by itself when no monitor sends it any more.
"""

import json
import logging
import re
import ssl
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .alerts_event import Told, finite, iso
from .alerts_http import Backoff, Endpoint, Outcome, post
from .alerts_notifier import Notifier
from .alerts_numbers import MonitorNumbers

log = logging.getLogger("headrace.monitor")

PATH = "/api/v2/alerts"
RESEND_S = 60.0
"""What fires is sent so often: well within Alertmanager's resolve_timeout of 5 minutes."""
HOLD_RESENDS = 4
"""The end that an alert carries is so many resends ahead: it outlives some that fail."""
TIMEOUT_S = 10.0
BATCH = 200
ENTRIES_MAX = 10_000
OWN_LABELS = ("alertname", "severity", "source")
_NAME = re.compile(r"[^A-Za-z0-9_]")

StillFiring = Callable[[Collection[str]], Mapping[str, Told]]
"""Returns what was told last, by whoever, of those of these fingerprints that still fire. May take its time."""


@dataclass(slots=True)
class _Entry:
    told: Told
    news: bool
    """Whether it was not posted yet."""

    @property
    def ended(self) -> bool:
        return self.told.transition.state == "resolved"


def labels_of(told: Told) -> dict[str, str]:
    """Return the labels: the rule's name, its severity, and the groups' values under names that Prometheus allows."""
    found = told.transition
    labels = {"alertname": found.rule, "severity": found.severity, "source": "headrace"}
    for name, value in sorted(found.labels.items()):
        plain = _NAME.sub("_", name) or "_"
        plain = f"_{plain}" if plain[0].isdigit() else plain
        while plain in labels:
            plain = f"exported_{plain}"
        labels[plain] = value
    return {name: value for name, value in labels.items() if value}  # an empty label is none, to Prometheus


def annotations_of(told: Told) -> dict[str, str]:
    """Return what people read."""
    found = told.transition
    runbook = "runbook_url" if found.runbook.startswith(("http://", "https://")) else "runbook"
    expected = "" if found.expected is None else " to ".join(f"{each:g}" for each in found.expected)
    texts = {
        "summary": found.message,
        runbook: found.runbook,
        "value": "" if finite(found.value) is None else f"{found.value:g}",
        "expected": expected,
        "window": f"{iso(found.window_start_us)}/{iso(found.window_end_us)}",
    }
    return {name: text for name, text in texts.items() if text}


def postable(told: Told, now_us: int, hold_us: int, generator_url: str = "") -> dict[str, Any]:
    """Return one postableAlert. Event time may run ahead of the clock; what begins in the future would not fire."""
    began = min(told.began_us, now_us)
    ended = told.transition.state == "resolved"
    ends = max(began, min(told.transition.window_end_us, now_us)) if ended else now_us + hold_us
    alert: dict[str, Any] = {
        "labels": labels_of(told),
        "annotations": annotations_of(told),
        "startsAt": iso(began),
        "endsAt": iso(ends),
    }
    return alert | ({"generatorURL": generator_url} if generator_url else {})


class Alertmanager(Notifier):
    """The notifier of one Alertmanager. `name` is what metrics call it; `expire_us`: what was not told again for so
    long (event time) is taken to be forgotten, by a rule that was removed or a monitor that is gone.
    """

    def __init__(
        self,
        to: Endpoint,
        numbers: MonitorNumbers,
        *,
        token: str | None,
        generator_url: str,
        backoff: Backoff,
        still_firing: StillFiring,
        expire_us: int,
        now_us: Callable[[], int],
        monotonic: Callable[[], float],
        trust: ssl.SSLContext | None = None,
        resend_s: float = RESEND_S,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        super().__init__(f"alertmanager {to.shown}")
        self._to, self._numbers = to, numbers
        self._headers = {"User-Agent": "headrace"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._generator_url, self._backoff, self._still_firing = generator_url, backoff, still_firing
        self._expire_us, self._now_us, self._monotonic = expire_us, now_us, monotonic
        self._trust, self._resend_s, self._timeout_s = trust, resend_s, timeout_s
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._resend_at = 0.0
        self._failing = False
        numbers.waiting(self.name, 0)

    def offer(self, news: Sequence[Told]) -> None:
        """See Notifier."""
        with self._lock:
            if not self._entries:
                self._resend_at = self._monotonic() + self._resend_s
            for each in news:
                if each.fingerprint not in self._entries and len(self._entries) >= ENTRIES_MAX:
                    self._numbers.notified(self.name, "dropped")
                    continue
                self._entries[each.fingerprint] = _Entry(each, news=True)
            self._numbers.waiting(self.name, self._count_news())
        self._nudge()

    def resume(self, firing: Sequence[Told]) -> None:
        """Go on sending what fired before: nobody else may do it now."""
        self.offer(firing)

    def _round(self) -> float | None:
        outcome = self._post_all(news=True)
        if outcome.kind != "retry" and self._monotonic() >= self._resend_at:
            # Looked up first: what another worker has ended must not begin again.
            self._follow()
            outcome = self._post_all(news=False)
        if outcome.kind == "retry":
            return max(self._backoff.failed(), outcome.after_s)
        with self._lock:
            if not self._entries:
                return None
            return max(0.01, self._resend_at - self._monotonic())

    def _follow(self) -> None:
        """Leave alone what does not fire any more: another worker has the partition now, and told of its end."""
        with self._lock:
            firing = [fingerprint for fingerprint, each in self._entries.items() if not each.ended]
        known = self._still_firing(firing) if firing else {}
        now_us = self._now_us()
        with self._lock:
            for fingerprint in firing:
                entry, told = self._entries[fingerprint], known.get(fingerprint)
                if entry.news:
                    continue  # it was told of meanwhile
                if told is None or now_us - told.transition.at_us > self._expire_us:
                    del self._entries[fingerprint]

    def _post_all(self, *, news: bool) -> Outcome:
        """Post what was not posted yet, or what was and still fires."""
        with self._lock:
            wanted = [each for each in self._entries.values() if each.news is news]
        outcome = Outcome("sent")
        for start in range(0, len(wanted), BATCH):
            outcome = self._post(wanted[start : start + BATCH])
            if outcome.kind == "retry":
                return outcome
        if not news:
            self._resend_at = self._monotonic() + self._resend_s
        return outcome

    def _post(self, batch: Sequence[_Entry]) -> Outcome:
        now_us, hold_us = self._now_us(), int(HOLD_RESENDS * self._resend_s * 1e6)
        alerts = [postable(each.told, now_us, hold_us, self._generator_url) for each in batch]
        body = json.dumps(alerts, allow_nan=False).encode()
        outcome = post(self._to, body, self._headers, timeout_s=self._timeout_s, trust=self._trust)
        if outcome.kind == "retry":
            self._numbers.notified(self.name, "failed")
            if not self._failing:
                log.warning("alertmanager cannot be told, and is tried again: %s", outcome.text)
            self._failing = True
            return outcome
        self._backoff.worked()
        self._failing = False
        if outcome.kind == "refused":
            # It takes those of a request that it can use, all the same.
            log.error("alertmanager refuses one or more of %d alerts: %s", len(batch), outcome.text)
            self._numbers.notified(self.name, "refused", len(batch))
        else:
            self._numbers.notified(self.name, "sent", len(batch))
        with self._lock:
            for each in batch:
                each.news = False
                if each.ended and self._entries.get(each.told.fingerprint) is each:
                    del self._entries[each.told.fingerprint]
            self._numbers.waiting(self.name, self._count_news())
        return outcome

    def _count_news(self) -> int:
        return sum(each.news for each in self._entries.values())

    def _empty(self) -> bool:
        with self._lock:
            return not self._count_news()

    def _let_go(self) -> None:
        """Nothing is held."""
