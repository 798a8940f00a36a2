"""The rules that go by what sessions tell of themselves, on a real audit topic: real sessions, real lag.

On servers of their own: what a session told there is in every look at the cluster for an hour.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from archiving import Archive
from scraping import samples_of
from servers import Servers, running
from worker_slots import wait_until

from headrace.archiver.metric_collector import exposed
from headrace.archiver.oncall.finding import Finding
from headrace.archiver.oncall.metric_list import LAG_METRICS
from headrace.archiver.oncall.thresholds import Thresholds
from headrace.archiver.s3 import S3Store
from headrace.cli.looks import make_looker
from headrace.producer import EventLog
from headrace.producer.auditing import AuditSettings
from headrace.producer.spool.limits import SpoolLimits
from headrace.schemas import Pin
from headrace.schemas.catalog import AUDIT_TOPIC
from headrace.schemas.events import Audit

pytestmark = pytest.mark.servers

OFTEN = AuditSettings(interval_s=0.5)
APP = """
import sys, time
from headrace.producer import EventLog
from headrace.producer.auditing import AuditSettings
from headrace.schemas import Pin

log = EventLog(service="killed", kafka=sys.argv[1], topic=sys.argv[2], audit=AuditSettings(interval_s=0.5))
for number in range(20):
    assert log.emit(Pin(user_id=number, pin_id=number, action="SAVE"))
print("emitted", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def own_servers() -> Iterator[Servers]:
    with running({name: value for name, value in os.environ.items() if name != "HEADRACE_TEST_DIR"}) as servers:
        servers.new_topic(2, name=AUDIT_TOPIC)
        yield servers


def said_of(archive: Archive, topic: str, service: str) -> list[dict[str, Any]]:
    """What `headrace lag` finds that concerns a service."""
    answer = archive.call("lag", "--topic", topic, "--json").stdout
    told = json.loads(answer) if answer else {"findings": []}  # a topic that was made a moment ago is not there yet
    return [
        each for each in told["findings"] if each["evidence"].startswith(service) or f" {service} " in each["evidence"]
    ]


def test_a_queue_that_grows_is_found_before_it_drops(own_servers: Servers, tmp_path: Path) -> None:
    """Its topic is missing, so that nothing leaves a small spool; lag says when it is full. Once it drains: silence."""
    archive, idle, missing = Archive(own_servers), own_servers.new_topic(), f"not-there-{time.time_ns()}"
    small = SpoolLimits(bytes_max=1 << 20, free_bytes_min=0)
    log = EventLog(
        service="grows", kafka=own_servers.kafka, topic=missing, spool=tmp_path, spool_limits=small, audit=OFTEN
    )
    number = 0

    def found() -> list[dict[str, Any]]:
        nonlocal number
        for _ in range(100):
            log.emit(Pin(user_id=number, pin_id=number, action="SAVE"))
            number += 1
        return said_of(archive, idle, "grows")

    wait_until(lambda: bool(found()), "lag says that the queue will drop events")
    (told,) = found()
    assert (told["rule"], told["topic"], told["partition"]) == ("spool-about-to-drop", missing, None)
    assert told["commands"] == ["headrace spool DIR"]
    assert "wait for Kafka" in told["evidence"]
    explained = archive.call("lag", "--topic", idle, "--explain", "archive").output
    assert "Traceback" not in explained
    own_servers.new_topic(1, name=missing)
    assert log.close(60)
    wait_until(lambda: said_of(archive, idle, "grows") == [], "its last account says that it is closed")


def test_a_session_that_died_with_events_in_memory_is_found(
    own_servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It told that twenty events waited in its memory, was killed, and is silent: a warning, five minutes later."""
    archive, idle, missing = Archive(own_servers), own_servers.new_topic(), f"not-there-{time.time_ns()}"
    for name, value in own_servers.env.items():
        monkeypatch.setenv(name, value)
    kafka = {"bootstrap.servers": own_servers.kafka}
    soon = Thresholds(account_s=2.0)  # instead of five minutes
    looker = make_looker(kafka, S3Store(archive.url), archive.url, archive.group, soon, [idle])

    def waiting() -> bool:
        return any(each.service == "killed" and each.waiting == 20 for each in looker.look().gathered.whole.accounts)

    with subprocess.Popen([sys.executable, "-c", APP, own_servers.kafka, missing], stdout=subprocess.PIPE) as app:
        try:
            wait_until(waiting, "it tells that twenty wait")
        finally:
            app.send_signal(signal.SIGKILL)
    told: list[Finding] = []

    def found() -> bool:
        status = looker.look()
        told[:] = [each for each in status.findings if each.topic == missing]
        return bool(told)

    wait_until(found, "lag says that it is silent")
    assert [(each.rule, each.severity) for each in told] == [("audit-hole", "warning")]
    assert "of killed on" in told[0].evidence
    assert "had 20 events waiting in memory" in told[0].evidence
    assert told[0].commands == (f"headrace verify {missing} --audit",)
    status = looker.look()
    metrics = samples_of(exposed(LAG_METRICS, lambda: status)().decode())
    assert [labels for labels in metrics["headrace_finding"] if missing in labels and "audit-hole" in labels]


def test_events_that_a_session_does_not_account_for_are_found(own_servers: Servers) -> None:
    """An account as only a bug would leave it, in the real topic: ten accepted, five acknowledged, two waiting."""
    archive, topic = Archive(own_servers), own_servers.new_topic()
    now = datetime.now(UTC)
    account = Audit(
        about_session=b"\x05" * 16, about_topic=topic, reporter="OWN", closed=False, durability="DISK", since=now,
        first_seq=1, last_seq=10, accepted=10, acked=5, waiting=2, dropped={}, lost_from=[], lost_to=[],
        lost_reason=[], dropped_elsewhere={}, seconds_until_drop=None,
    )  # fmt: skip
    with EventLog(service="holes", kafka=own_servers.kafka, topic=AUDIT_TOPIC) as log:
        assert log.emit(account)
        assert log.flush(60)
    (told,) = said_of(archive, topic, "holes")
    assert (told["rule"], told["severity"], told["topic"]) == ("audit-hole", "critical", topic)
    assert "accepted 3 events" in told["evidence"]
    checked = archive.call("lag", "--topic", topic, "--check")
    assert (checked.code, checked.stdout.split(":")[0]) == (2, "critical")
    explained = archive.call("lag", "--explain", topic).stdout
    assert f"$ headrace verify {topic} --audit" in explained
    assert "docs/runbook/audit-hole.md" in explained
