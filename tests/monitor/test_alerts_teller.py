"""The teller: people first, then the topic; nothing twice after a crash, a restart, or a move to another worker."""

from dataclasses import replace

import pytest
from alert_kit import MINUTE_US, START_US, KeptNotifier, KeptRecord, transition

from headrace.monitor.alerts_event import Told
from headrace.monitor.alerts_memory import AlertMemory, Noticed
from headrace.monitor.alerts_numbers import MonitorNumbers
from headrace.monitor.alerts_teller import Teller
from headrace.monitor.alerts_topic import AlertsUnusable
from headrace.monitor.transition import Transition

HOUR_US = 60 * MINUTE_US


class Worker:
    """A teller with all that it needs; the wall clock stands `now` minutes after the start."""

    def __init__(self, topic: list[Told], now: int = 0) -> None:
        self.now_us = START_US + now * MINUTE_US
        self.record, self.notifier, self.numbers = KeptRecord(topic), KeptNotifier(), MonitorNumbers()
        self.marks: list[Told] = []
        self.teller = Teller(
            self.record, AlertMemory(still_every_us=HOUR_US), Noticed(age_us_max=15 * MINUTE_US), self.numbers,
            now_us=lambda: self.now_us, expire_us=3 * HOUR_US, on_told=self.marks.extend,
        )  # fmt: skip
        self.teller.start([self.notifier])

    def send(self, *found: Transition) -> None:
        self.teller.send(found)

    @property
    def offered(self) -> list[str]:
        return [each.transition.state for each in self.notifier.offered]


def states(topic: list[Told]) -> list[str]:
    return [each.transition.state for each in topic]


def test_all_hear_of_it_once() -> None:
    """Topic, people, marks and metrics have the same: firing, resolved."""
    worker = Worker([])
    worker.send(transition("firing"))
    worker.send(transition("still_firing", 1), transition("resolved", 2))
    worker.send(transition("still_firing", 1), transition("resolved", 2))
    assert states(worker.record.topic) == worker.offered == states(worker.marks) == ["firing", "resolved"]
    assert worker.numbers.count("told") == {
        ("failed-logins", "critical", "firing"): 1,
        ("failed-logins", "critical", "resolved"): 1,
    }
    assert worker.numbers.count("silent") == {("failed-logins", "still"): 1, ("failed-logins", "repeat"): 2}
    assert worker.numbers.firing_now() == {("failed-logins", "critical"): 0}


def test_a_restart_says_nothing_again_and_goes_on() -> None:
    """The next process reads the topic: what fires is resumed, not told anew, and its end is told."""
    topic: list[Told] = []
    Worker(topic).send(transition("firing"))
    after = Worker(topic, now=5)
    assert states(after.notifier.resumed) == ["firing"]
    assert after.numbers.firing_now() == {("failed-logins", "critical"): 1}
    after.send(transition("firing"), transition("still_firing", 4))
    assert after.offered == []
    after.send(transition("resolved", 5))
    assert after.offered == ["resolved"]
    assert states(topic) == ["firing", "resolved"]
    assert topic[1].began_us == START_US


def test_a_crash_before_the_topic_has_it_tells_it_again_under_the_same_id() -> None:
    """People hear of it all the same; what they hear after the restart has the id that they know."""
    topic: list[Told] = []
    first = Worker(topic)
    first.record.broken = AlertsUnusable("no broker")
    with pytest.raises(AlertsUnusable):
        first.send(transition("firing"))
    assert topic == []
    second = Worker(topic)
    second.send(transition("firing"))
    assert states(topic) == ["firing"]
    assert [each.alert_id for each in first.notifier.offered] == [each.alert_id for each in second.notifier.offered]


def test_another_worker_knows_what_was_told() -> None:
    """Partitions move while both live: whoever is about to tell reads first what the other has told."""
    topic: list[Told] = []
    one, two = Worker(topic), Worker(topic)
    one.send(transition("firing"))
    two.send(transition("firing"), transition("still_firing", 1))
    assert states(topic) == ["firing"]
    two.send(transition("resolved", 3))
    fingerprint = transition().fingerprint
    assert two.offered == ["resolved"]
    assert one.teller.still_firing([fingerprint]) == {}
    one.send(transition("resolved", 3))
    assert states(topic) == ["firing", "resolved"]


def test_an_alert_of_long_ago_is_not_resumed() -> None:
    """It was told to fire days ago and nobody said that it goes on: it is forgotten, not sent for ever."""
    topic: list[Told] = []
    Worker(topic).send(transition("firing"))
    assert Worker(topic, now=10_000).notifier.resumed == []


def test_catching_up_wakes_nobody_until_it_is_recent() -> None:
    """A monitor that was away for hours: all alerts go into the topic, people hear of what still fires, once."""
    worker = Worker([], now=240)
    worker.send(transition("firing", 0), transition("resolved", 3), transition("firing", 200))
    assert states(worker.record.topic) == ["firing", "resolved", "firing"]
    assert worker.offered == []
    worker.send(*(transition("still_firing", minute) for minute in range(201, 240)))
    assert worker.offered == ["firing"]
    assert worker.notifier.offered[0].began_us == START_US + 200 * MINUTE_US
    assert states(worker.record.topic) == ["firing", "resolved", "firing"]
    worker.send(transition("resolved", 240))
    assert worker.offered == ["firing", "resolved"]


def test_a_restart_while_it_catches_up_still_wakes_people() -> None:
    """What was told to the topic alone, as it was old, is not taken for known after a restart."""
    topic: list[Told] = []
    Worker(topic, now=240).send(transition("firing", 200))
    topic[0] = replace(topic[0], told_us=START_US + 240 * MINUTE_US)
    after = Worker(topic, now=241)
    assert after.notifier.resumed == []
    after.send(transition("still_firing", 239))
    assert after.offered == ["firing"]


def test_closing_closes_all() -> None:
    """Notifiers, then the topic."""
    worker = Worker([])
    worker.teller.close()
    assert worker.record.closed
