"""Tells a webhook: one POST of JSON for each alert, in order, again until it is taken, signed if there is a secret.

At least once: a receiver that must not do a thing twice keeps `alert_id`. The signature is the HMAC-SHA256 of the
header X-Headrace-Timestamp, a dot, and the body, under the secret; the receiver refuses a timestamp that is too old.
"""

import hashlib
import hmac
import json
import logging
import ssl
from collections.abc import Callable, Sequence

from .alerts_event import Told, as_json
from .alerts_http import Backoff, Endpoint, post
from .alerts_notifier import Notifier
from .alerts_numbers import MonitorNumbers
from .alerts_outbox import Outbox

log = logging.getLogger("headrace.monitor")

TIMEOUT_S = 10.0


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """Return what X-Headrace-Signature says."""
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class Webhook(Notifier):
    """The notifier of one address. `now_us()`: the wall clock."""

    def __init__(
        self,
        to: Endpoint,
        outbox: Outbox,
        numbers: MonitorNumbers,
        *,
        secret: bytes | None,
        backoff: Backoff,
        now_us: Callable[[], int],
        trust: ssl.SSLContext | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        super().__init__("webhook")
        self._to, self._outbox, self._numbers = to, outbox, numbers
        self._secret, self._backoff, self._now_us = secret, backoff, now_us
        self._trust, self._timeout_s = trust, timeout_s
        self._failing = False
        numbers.waiting(self.name, outbox.waiting())

    def offer(self, news: Sequence[Told]) -> None:
        """See Notifier: what is offered is in the outbox when this returns."""
        letters = [(each.alert_id, json.dumps(as_json(each), allow_nan=False).encode()) for each in news]
        given_up = self._outbox.put(letters)
        if given_up:
            self._numbers.notified(self.name, "dropped", given_up)
        self._numbers.waiting(self.name, self._outbox.waiting())
        self._nudge()

    def _round(self) -> float | None:
        while (first := self._outbox.first()) is not None:
            number, body = first
            outcome = post(self._to, body, self._headers(body), timeout_s=self._timeout_s, trust=self._trust)
            if outcome.kind == "retry":
                self._numbers.notified(self.name, "failed")
                if not self._failing:
                    log.warning("the webhook cannot be told, and is tried again: %s", outcome.text)
                self._failing = True
                return max(self._backoff.failed(), outcome.after_s)
            self._backoff.worked()
            if outcome.kind == "refused":
                log.error("the webhook refuses an alert, which is given up: %s", outcome.text)
                self._numbers.notified(self.name, "refused")
            else:
                self._numbers.notified(self.name, "sent")
                if self._failing:
                    log.info("the webhook takes alerts again")
            self._failing = False
            self._outbox.done(number)
            self._numbers.waiting(self.name, self._outbox.waiting())
        return None

    def _headers(self, body: bytes) -> dict[str, str]:
        timestamp = str(self._now_us() // 1_000_000)
        headers = {"User-Agent": "headrace", "X-Headrace-Timestamp": timestamp}
        if self._secret is not None:
            headers["X-Headrace-Signature"] = signature(self._secret, timestamp, body)
        return headers

    def _empty(self) -> bool:
        return self._outbox.waiting() == 0

    def _let_go(self) -> None:
        self._outbox.close()
