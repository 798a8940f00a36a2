"""Alertmanager, as a real HTTP server that checks what its API asks for: sent while it fires, ended once."""

import re
import time
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from alert_kit import MINUTE_US, START_US, Receiver, receiving, transition, wait_until

from headrace.monitor.alerts_alertmanager import HOLD_RESENDS, PATH, Alertmanager, postable
from headrace.monitor.alerts_event import Told
from headrace.monitor.alerts_http import Backoff, endpoint
from headrace.monitor.alerts_numbers import MonitorNumbers
from headrace.monitor.transition import State

LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
LINK = "https://headrace.example/"


def check_postable_alerts(found: Any) -> None:
    """The rules of `postableAlerts` in Alertmanager's API description, and those that it checks beside it."""
    assert isinstance(found, list)
    for alert in found:
        assert set(alert) <= {"labels", "annotations", "startsAt", "endsAt", "generatorURL"}
        assert "labels" in alert
        for labels in (alert["labels"], alert.get("annotations", {})):
            assert all(isinstance(name, str) and isinstance(value, str) for name, value in labels.items())
            assert all(LABEL_NAME.fullmatch(name) for name in labels)
        assert any(alert["labels"].values()), "at least one label"
        assert alert["labels"]["alertname"]
        starts, ends = (datetime.fromisoformat(alert[name]) for name in ("startsAt", "endsAt"))
        assert starts.tzinfo is not None
        assert starts <= ends, "start after end is refused"
        if "generatorURL" in alert:
            assert urlsplit(alert["generatorURL"]).scheme


def told(state: State = "firing", minute: int = 0, **changed: Any) -> Told:
    return Told.of(transition(state, minute, **changed), START_US)


class Bench:
    """An Alertmanager's notifier with short waits; `known` is what the topic says of what fires."""

    def __init__(self, url: str, resend_s: float = 3600.0, token: str | None = None) -> None:
        self.numbers = MonitorNumbers()
        self.known: dict[str, Told] | None = None
        self.now_us = START_US + 10 * MINUTE_US
        self.notifier = Alertmanager(
            endpoint("alertmanager", f"{url}/am/", PATH), self.numbers, token=token, generator_url=LINK,
            backoff=Backoff(0.01, 0.05, lambda: 0.5), still_firing=self.still_firing, expire_us=60 * MINUTE_US,
            now_us=lambda: self.now_us, monotonic=time.monotonic, resend_s=resend_s, timeout_s=30,
        )  # fmt: skip
        self.offered: dict[str, Told] = {}
        self.notifier.start()

    def offer(self, *news: Told) -> None:
        self.offered |= {each.fingerprint: each for each in news}
        self.notifier.offer(news)

    def still_firing(self, fingerprints: Collection[str]) -> Mapping[str, Told]:
        known = self.offered if self.known is None else self.known
        return {each: known[each] for each in fingerprints if each in known}

    def count(self, outcome: str) -> float:
        return self.numbers.count("notified").get((self.notifier.name, outcome), 0)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


def test_it_gets_what_its_api_asks_for(receiver: Receiver) -> None:
    """POST of an array of alerts at api/v2/alerts below the given path; labels, annotations, times, link, token."""
    bench = Bench(receiver.url, token="t0ken")
    bench.offer(told())
    (got,) = receiver.until(1)
    assert (got.path, got.headers["Content-Type"]) == ("/am/api/v2/alerts", "application/json")
    assert got.headers["Authorization"] == "Bearer t0ken"
    check_postable_alerts(got.json)
    assert got.json == [
        {
            "labels": {"alertname": "failed-logins", "severity": "critical", "source": "headrace", "service": "web"},
            "annotations": {
                "summary": "41 of 50 log-ins failed", "runbook_url": "https://runbooks.example/logins", "value": "41",
                "expected": "2 to 9.5", "window": "2026-11-25T04:20:00.000Z/2026-11-25T04:21:00.000Z",
            },
            "startsAt": "2026-11-25T04:21:00.000Z",
            "endsAt": "2026-11-25T08:31:00.000Z",  # four resends ahead
            "generatorURL": LINK,
        }
    ]  # fmt: skip
    bench.notifier.close()


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": {}},
        {"labels": {"alertname": "x", "severity": "y", "source": "z", "exported_severity": "w"}},
        {"labels": {"user.id": "1", "user-id": "2", "9": "3", "": "4", "ünï": "5", "empty": ""}},
        {"value": float("nan"), "expected": None, "message": "", "runbook": ""},
        {"value": float("inf"), "runbook": "see page 3"},
        {"minute": 600},  # the stream's clock runs hours ahead
        {"state": "resolved", "minute": 600},
        {"state": "resolved", "minute": 0},
        {"state": "resolved", "minute": -5},
    ],
)
def test_whatever_a_rule_says_alertmanager_can_take_it(changed: dict[str, Any]) -> None:
    """Names, values and times that Prometheus does not have are made into some that it has; no label is lost."""
    found = told(**changed)
    alert = postable(found, START_US + MINUTE_US, HOLD_RESENDS * MINUTE_US, LINK)
    check_postable_alerts([alert])
    values = [value for value in found.transition.labels.values() if value]
    assert len(alert["labels"]) == 3 + len(values)
    assert alert["labels"]["severity"] == "critical"
    ended = datetime.fromisoformat(alert["endsAt"]).timestamp() <= START_US / 1e6 + 60
    assert ended == (found.transition.state == "resolved")


def test_it_is_sent_again_while_it_fires_and_ended_once(receiver: Receiver) -> None:
    """Each resend carries a later end; after the end is taken, nothing more."""
    bench = Bench(receiver.url, resend_s=0.05)
    bench.offer(told())
    receiver.until(3)
    bench.now_us += MINUTE_US
    later = receiver.until(len(receiver.got) + 2)[-1].json
    assert later[0]["endsAt"] > receiver.got[0].json[0]["endsAt"]
    assert later[0]["startsAt"] == receiver.got[0].json[0]["startsAt"]
    ending = told("resolved", 8)
    bench.offer(ending)
    wait_until(lambda: receiver.got[-1].json[0]["endsAt"] == "2026-11-25T04:29:00.000Z")
    bench.notifier.close()
    bodies = [each.json for each in receiver.got]
    assert sum(body[0]["endsAt"] == "2026-11-25T04:29:00.000Z" for body in bodies) == 1
    for body in bodies:
        check_postable_alerts(body)


def test_an_end_is_sent_until_it_is_taken(receiver: Receiver) -> None:
    """A server that fails gets it again; the gauge of what waits says so."""
    bench = Bench(receiver.url)
    receiver.answers = [200, 500, 502]
    bench.offer(told())
    receiver.until(1)
    bench.offer(told("resolved", 8))
    got = receiver.until(4)
    assert got[1].json[0]["labels"] == got[3].json[0]["labels"]
    assert got[3].json[0]["endsAt"] == "2026-11-25T04:29:00.000Z"
    bench.notifier.close()
    assert (bench.count("failed"), bench.count("sent")) == (2, 2)
    assert bench.numbers.servers() == {bench.notifier.name: (True, 0)}


def test_what_another_worker_ended_does_not_begin_again(receiver: Receiver) -> None:
    """Before it is sent again it is looked up: an alert whose partition moved is left to whoever has it."""
    bench = Bench(receiver.url, resend_s=0.05)
    bench.offer(told())
    receiver.until(2)
    bench.known = {}
    wait_until(lambda: not bench.notifier._entries)
    bench.notifier.close()
    assert all(each.json[0]["endsAt"] > "2026-11-25T04:31" for each in receiver.got)


def test_what_nobody_confirms_is_forgotten(receiver: Receiver) -> None:
    """A rule that was removed while it fired: Alertmanager ends the alert when the last end that it was told passes."""
    bench = Bench(receiver.url, resend_s=0.05)
    bench.offer(told())
    receiver.until(2)
    bench.now_us += 61 * MINUTE_US
    wait_until(lambda: not bench.notifier._entries)
    bench.notifier.close()


def test_what_fired_before_a_restart_goes_on(receiver: Receiver) -> None:
    """Resumed alerts are sent at once, with the moment at which they began."""
    bench = Bench(receiver.url)
    bench.offered[told().fingerprint] = told()
    bench.notifier.resume([Told.of(transition("still_firing", 9), START_US)])
    assert receiver.until(1)[0].json[0]["startsAt"] == "2026-11-25T04:21:00.000Z"
    bench.notifier.close()


def test_many_are_sent_in_parts(receiver: Receiver) -> None:
    """500 alerts are three requests."""
    bench = Bench(receiver.url)
    bench.offer(*(told(labels={"n": str(n)}) for n in range(500)))
    assert [len(each.json) for each in receiver.until(3)] == [200, 200, 100]
    bench.notifier.close()
    assert bench.count("sent") == 500


def test_a_refusal_is_counted_and_does_not_loop(receiver: Receiver) -> None:
    """400 says that the same would be refused again: it is sent with the next resend only."""
    receiver.answers = [400]
    bench = Bench(receiver.url)
    bench.offer(told())
    receiver.until(1)
    wait_until(lambda: bench.count("refused") == 1)
    bench.offer(told(labels={"service": "api"}))
    receiver.until(2)
    bench.notifier.close()
    assert len(receiver.got) == 2
    assert bench.count("sent") == 1
