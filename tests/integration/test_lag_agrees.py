"""States made for real on the servers: lag, --check, --explain, the metrics and the page say the same of each."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from archiving import Archive
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from kafka_changes import numbered, produce
from scraping import samples_of
from servers import Servers
from worker_slots import wait_until

from headrace.archiver.metric_collector import exposed
from headrace.archiver.oncall.looking import Looker, Watcher
from headrace.archiver.oncall.metric_list import LAG_METRICS
from headrace.archiver.oncall.thresholds import Thresholds
from headrace.archiver.s3 import S3Store
from headrace.cli.dashboard_data import page_json
from headrace.cli.looks import make_looker

pytestmark = pytest.mark.servers
HALF_AN_HOUR = {"retention.ms": "1800000"}


def caught_up(servers: Servers, archive: Archive) -> str:
    topic = servers.new_topic(1)
    produce(servers.kafka, topic, numbered("v", 0, 10))
    archive.archive(raw=[topic])
    return topic


def behind(servers: Servers, archive: Archive) -> str:
    topic = caught_up(servers, archive)
    produce(servers.kafka, topic, numbered("v", 10, 14))
    return topic


def new(servers: Servers, _archive: Archive) -> str:
    topic = servers.new_topic(1)
    produce(servers.kafka, topic, numbered("v", 0, 3))
    return topic


def idle(servers: Servers, _archive: Archive) -> str:
    return servers.new_topic(1)


def losing(servers: Servers, _archive: Archive) -> str:
    topic = servers.new_topic(1, HALF_AN_HOUR)
    produce(servers.kafka, topic, numbered("v", 0, 3))
    return topic


def lost(servers: Servers, archive: Archive) -> str:
    topic = behind(servers, archive)
    admin = AdminClient({"bootstrap.servers": servers.kafka})
    for future in admin.delete_records([TopicPartition(topic, 0, 12)]).values():
        future.result(30)
    return topic


def recreated(servers: Servers, archive: Archive) -> str:
    topic = caught_up(servers, archive)
    admin = AdminClient({"bootstrap.servers": servers.kafka})
    admin.delete_topics([topic])[topic].result(30)
    wait_until(lambda: topic not in admin.list_topics(timeout=120).topics, "it is gone")
    servers.new_topic(1, name=topic)
    produce(servers.kafka, topic, numbered("w", 0, 2))
    return topic


def compacted(servers: Servers, _archive: Archive) -> str:
    topic = servers.new_topic(1, {"cleanup.policy": "compact"})
    producer = Producer({"bootstrap.servers": servers.kafka})
    producer.produce(topic, b"v", key=b"k")
    assert producer.flush(120) == 0
    return topic


Make = Callable[[Servers, Archive], str]
TABLE: Sequence[tuple[Make, str, int, set[str], int]] = (
    # made by, state, records behind, rules, --check's exit code
    (caught_up, "caught-up", 0, set(), 0),
    (behind, "behind", 4, set(), 0),
    (new, "not-archived", 3, {"never-started"}, 1),
    (idle, "idle", 0, set(), 0),
    (losing, "not-archived", 3, {"losing-data", "never-started"}, 2),
    (lost, "behind", 2, {"data-lost"}, 2),
    (recreated, "not-archived", 2, {"never-started"}, 1),
    (compacted, "not-archived", 1, {"never-started"}, 1),
)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0].__name__)
def test_all_say_the_same(
    servers: Servers, row: tuple[Make, str, int, set[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One state, five ways to hear of it; no NaN anywhere, and no lag of an idle topic."""
    make, state, waiting, rules, code = row
    archive = Archive(servers)
    for name, value in servers.env.items():
        monkeypatch.setenv(name, value)
    topic = make(servers, archive)
    arguments = ("lag", "--topic", topic, "--group", archive.group)
    told = json.loads(archive.call(*arguments, "--json").stdout)
    (partition,) = told["partitions"]
    assert (partition["state"], partition["records_behind"]) == (state, waiting)
    assert {each["rule"] for each in told["findings"]} == rules
    checked = archive.call(*arguments, "--check")
    assert checked.code == code, checked.output
    assert checked.stdout.split(":")[0] == told["verdict"].replace("-", " ")
    explained = archive.call(*arguments, "--explain", f"{topic}/0").stdout
    assert all(f"docs/runbook/{rule}.md" in explained for rule in rules)
    assert ("no rule has anything to say" in explained) == (not rules)
    status = _looker(archive, topic).look()
    metrics = samples_of(exposed(LAG_METRICS, lambda: status)().decode())
    assert metrics["headrace_partition_state"] == {("0", state, topic): 1}
    assert metrics["headrace_partition_records_behind"] == {("0", topic): waiting}
    assert {labels[1] for labels in metrics.get("headrace_finding", {})} == rules
    assert not any(math.isnan(value) for samples in metrics.values() for value in samples.values())
    page = _page(archive, topic)
    assert page["verdict"] == told["verdict"]
    assert (page["topics"][0]["state"], page["topics"][0]["records_behind"]) == (state, waiting)
    assert {each["rule"] for each in page["findings"]} == rules


def _looker(archive: Archive, topic: str) -> Looker:
    env = archive.env
    store = S3Store(archive.url)
    return make_looker(env["HEADRACE_KAFKA"], store, archive.url, archive.group, Thresholds(), [topic], with_news=True)


def _page(archive: Archive, topic: str) -> Any:
    watcher = Watcher(_looker(archive, topic), every_s=10, wait=lambda _seconds: True)
    watcher.step()
    return json.loads(page_json(watcher.status(), watcher.history(), watcher.troubles(), 10.0))
