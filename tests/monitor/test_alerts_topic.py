"""The topic of alerts on a real Kafka: told, read back by the next worker, archived like any other."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from alert_kit import MINUTE_US, START_US, KeptNotifier, transition
from archived_events import archived
from archiving import Archive
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from servers import Servers

from headrace.monitor.alerts_event import Told
from headrace.monitor.alerts_memory import AlertMemory, Noticed
from headrace.monitor.alerts_numbers import MonitorNumbers
from headrace.monitor.alerts_teller import Teller
from headrace.monitor.alerts_topic import AlertsUnusable, AlertTopic
from headrace.producer import EventLog
from headrace.schemas.catalog import builtin
from headrace.schemas.frame import Decoder

pytestmark = pytest.mark.servers


def alert_topic(servers: Servers, topic: str) -> AlertTopic:
    log = EventLog(service="monitor", kafka=servers.kafka, topic=topic, clock_ns=lambda: START_US * 1000)
    settings = {"bootstrap.servers": servers.kafka}
    return AlertTopic(log, settings, topic, Decoder(builtin()), monotonic=time.monotonic)


@pytest.fixture
def worker(servers: Servers) -> Callable[[str], tuple[Teller, KeptNotifier]]:
    def make(topic: str) -> tuple[Teller, KeptNotifier]:
        notifier = KeptNotifier()
        teller = Teller(
            alert_topic(servers, topic), AlertMemory(still_every_us=60 * MINUTE_US), Noticed(age_us_max=MINUTE_US),
            MonitorNumbers(), now_us=lambda: START_US, expire_us=180 * MINUTE_US,
        )  # fmt: skip
        teller.start([notifier])
        return teller, notifier

    return make


def test_what_one_worker_told_no_other_tells(
    servers: Servers, worker: Callable[[str], tuple[Teller, KeptNotifier]]
) -> None:
    """A second worker, begun before or after, finds the alert in the topic; the archive has each alert once."""
    topic = servers.new_topic(partitions=2)
    one, heard_one = worker(topic)
    two, heard_two = worker(topic)
    groups = [transition(labels={"service": f"s{n}"}) for n in range(20)]
    one.send(groups)
    two.send([*groups, transition("resolved", 2, labels={"service": "s3"})])
    late, heard_late = worker(topic)
    late.send([*groups, transition("resolved", 2, labels={"service": "s3"})])
    assert (len(heard_one.offered), len(heard_two.offered), len(heard_late.offered)) == (20, 1, 0)
    assert {each.transition.labels["service"] for each in heard_late.resumed} == {f"s{n}" for n in range(20) if n != 3}
    for teller in (one, two, late):
        teller.close()
    rows = archived_alerts(servers, topic)
    assert len(rows) == 21
    assert len({row["alert_id"] for row in rows}) == 21
    ended = next(row for row in rows if row["state"] == "RESOLVED")
    assert (ended["rule"], dict(ended["labels"]), ended["value"]) == ("failed-logins", {"service": "s3"}, 41.0)
    assert (ended["expected_low"], ended["expected_high"]) == (2.0, 9.5)
    assert (ended["window_end"] - ended["began"]).total_seconds() == 120


def archived_alerts(servers: Servers, topic: str) -> list[dict[str, Any]]:
    archive = Archive(servers)
    archive.must("archive", "--topic", topic, "--until-idle")
    names = ("alert_id", "rule", "state", "labels", "value", "expected_low", "expected_high", "window_end", "began")
    found: list[dict[str, Any]] = archived(archive, topic, names).to_pylist()
    return found


def test_what_is_no_alert_is_passed_over(servers: Servers) -> None:
    """Anybody may write to a topic: garbage and other types of events are not alerts, and stop nothing."""
    topic = servers.new_topic()
    producer = Producer({"bootstrap.servers": servers.kafka})
    for value in (b"", b"{}", b"\xc3\x01garbage!!", json.dumps({"alert": 1}).encode()):
        producer.produce(topic, value)
    producer.produce(topic, None, b"key")
    producer.flush(60)
    found = alert_topic(servers, topic)
    assert found.read() == []
    told = Told.of(transition(), START_US)
    found.tell([told])
    assert found.read() == [told]
    assert found.read() == []
    found.close()


class Failing:
    """A consumer that fails at one of its calls, as a leader that moves makes it fail; at reading in the middle."""

    def __init__(self, real: Consumer, calls: list[str]) -> None:
        self._real, self._calls = real, calls
        self._handed = 0

    def __getattr__(self, name: str) -> Any:
        if self._calls and self._calls[0] == name:
            self._fail()
        return getattr(self._real, name)

    def consume(self, _count: int, timeout_s: float) -> list[Any]:
        if self._handed == 2 and self._calls:
            self._fail()
        found = self._real.consume(1, timeout_s)
        self._handed += sum(each.error() is None for each in found)
        return found

    def _fail(self) -> None:
        self._calls.pop(0)
        raise KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))


def test_a_leader_that_moves_is_waited_for(servers: Servers) -> None:
    """Wherever it fails, also with half of it read, all is read in the end, each thing once."""
    topic = servers.new_topic()
    told = [Told.of(transition(minute=n), START_US) for n in range(3)]
    writer = alert_topic(servers, topic)
    writer.tell(told)
    calls = ["list_topics", "get_watermark_offsets", "consume"]
    log = EventLog(service="monitor", kafka=servers.kafka, topic=topic)
    settings = {"bootstrap.servers": servers.kafka}
    found = AlertTopic(
        log, settings, topic, Decoder(builtin()), monotonic=time.monotonic,
        make_consumer=lambda config: Failing(Consumer(dict(config)), calls),
    )  # fmt: skip
    assert found.read() == told
    assert calls == []
    assert found.read() == []
    writer.close()
    found.close()


def test_a_topic_that_is_not_there_is_an_error_that_says_what_to_do(servers: Servers) -> None:
    """A monitor that cannot know what it told does not begin; the topic is not made by reading it."""
    found = alert_topic(servers, "no-such-alerts")
    for _ in range(2):
        with pytest.raises(AlertsUnusable, match=r"no-such-alerts does not exist.*kafka-topics\.sh --create"):
            found.read()
    found.close()
