"""SIGKILL of an app with a spool, up to the archive on S3, and its broker's outages, on real servers.

The app tells over a pipe what emit() has returned for: written after it, so what the test reads was promised.
HEADRACE_KILLS sets how often the app is killed (20).
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from archived_events import archived
from archiving import Archive
from servers import Servers
from topic_events import events_of, left_in, until

from headrace.local import Instance
from headrace.producer import EventLog
from headrace.producer.spool.limits import measure
from headrace.producer.topics import create_topic
from headrace.schemas import Pin

pytestmark = pytest.mark.servers

KILLS = int(os.environ.get("HEADRACE_KILLS", "20"))
PARTITIONS = 3
IMPATIENT = {"delivery.timeout.ms": 1500, "request.timeout.ms": 1000, "socket.timeout.ms": 1000}

APP = """
import os, struct, sys, threading
from headrace.producer import EventLog
from headrace.schemas import Pin

log = EventLog(service="web", kafka=sys.argv[1], topic=sys.argv[2], spool=sys.argv[3])
base = int(sys.argv[4]) * 10_000_000

def emit(thread):
    number = base + thread * 1_000_000
    while log.emit(Pin(user_id=number % 50, pin_id=number, action="SAVE")):
        os.write(1, struct.pack("<q", number))
        number += 1

for thread in range(2):
    threading.Thread(target=emit, args=(thread,)).start()
"""


@pytest.mark.timeout(600 + 20 * KILLS)
def test_a_sigkill_loses_nothing_that_was_accepted(servers: Servers, tmp_path: Path) -> None:
    """The app is killed at random moments under load, again and again: each event that emit() returned True for is in
    the archive on S3 once the next process has adopted the spool; what came twice has one event id."""
    topic = servers.new_topic(partitions=PARTITIONS)
    seed = int(os.environ.get("HEADRACE_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"HEADRACE_SEED={seed}")
    chance = random.Random(seed)
    promised: list[int] = []
    for turn in range(KILLS):
        app = subprocess.Popen(
            [sys.executable, "-c", APP, servers.kafka, topic, str(tmp_path), str(turn)],
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert app.stdout is not None
        data = app.stdout.read(8)
        deadline = time.monotonic() + chance.uniform(0, 0.6)
        while time.monotonic() < deadline:
            data += app.stdout.read(1 << 16)
        app.send_signal(signal.SIGKILL)
        while rest := app.stdout.read(1 << 16):
            data += rest
        app.stdout.close()
        assert app.wait() == -signal.SIGKILL
        whole = len(data) // 8 * 8
        promised += [int.from_bytes(data[at : at + 8], "little") for at in range(0, whole, 8)]
    with EventLog(service="web", kafka=servers.kafka, topic=topic, spool=tmp_path) as log:
        assert log.emit(Pin(user_id=1, pin_id=-1, action="SAVE"))
        until(
            lambda: len(left_in(tmp_path / "web")) == 1,
            300 + 10 * KILLS,
            told=lambda: (log.counts(), sorted((tmp_path / "web").rglob("*"))),
        )
        assert log.flush(120)
        assert log.counts().adopted_lost == {}
    assert left_in(tmp_path / "web") == []
    archive = Archive(servers)
    archive.archive([topic])
    events = archived(archive, topic, ["event_id", "pin_id"])
    arrived = set(events["pin_id"].to_pylist())
    missing = [number for number in promised if number not in arrived]
    ids = len(set(events["event_id"].to_pylist()))
    print(
        f"{KILLS} kills, {len(promised)} events promised: {len(missing)} missing in the archive, "
        f"{events.num_rows - ids} duplicates all by event_id, {len(arrived) - len(promised)} more that were accepted "
        f"and not told"
    )
    assert missing == []
    assert ids == len(arrived)
    assert len(promised) > KILLS * 100


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    made = Instance(tmp_path_factory.mktemp("spool-outage"))
    made.up()
    yield made
    made.down(purge=True)


def test_an_outage_is_a_tail_that_grows(instance: Instance, tmp_path: Path) -> None:
    """While the broker is dead events go to disk, beyond what memory would hold; then all arrive, in order."""
    kafka = instance.env()["HEADRACE_KAFKA"]
    topic = f"spooled-{tmp_path.name}"
    create_topic(kafka, topic, PARTITIONS)
    log = EventLog(
        service="web", kafka=kafka, topic=topic, spool=tmp_path, kafka_config=IMPATIENT, queue_records_max=1000
    )
    emitted = 0

    def emit(count: int) -> None:
        nonlocal emitted
        for _ in range(count):
            assert log.emit(Pin(user_id=emitted % 20, pin_id=emitted, action="SAVE"))
            emitted += 1

    emit(5000)
    assert log.flush(120)
    instance.kill_kafka()
    try:
        emit(60_000)
        until(lambda: log.counts().restarts >= 1)
        assert log.counts().queued > 50_000
        assert measure(tmp_path).spool_bytes > 10 << 20
        emit(1000)
    finally:
        instance.restart_kafka()
    assert log.flush(90)
    counts = log.counts()
    assert (counts.dropped, counts.acked) == ({}, emitted)
    assert log.close(120)
    assert list((tmp_path / "web").iterdir()) == []
    found = events_of(kafka, topic, PARTITIONS)
    assert sorted({event["seq"] for events in found.values() for event in events}) == list(range(1, emitted + 1))
    for events in found.values():
        first = list(dict.fromkeys(event["seq"] for event in events))
        assert first == sorted(first)


def test_workers_that_die_together_are_adopted_by_those_that_start_together(servers: Servers, tmp_path: Path) -> None:
    """Forked workers are killed with events of a broker that was not there; as many new ones adopt all of it, once."""
    topic = servers.new_topic(partitions=PARTITIONS)
    program = """
import os, signal, sys, time
from headrace.producer import EventLog
from headrace.schemas import Pin
log = EventLog(service="web", kafka=sys.argv[1], topic=sys.argv[2], spool=sys.argv[3])
count = int(sys.argv[4])
def work(worker):
    for number in range(count):
        assert log.emit(Pin(user_id=worker, pin_id=number, action="SAVE"))
assert log.emit(Pin(user_id=99, pin_id=0, action="SAVE"))
pids = []
for worker in range(4):
    pid = os.fork()
    if pid == 0:
        work(worker)
        if count > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        deadline = time.monotonic() + 180
        while len(os.listdir(sys.argv[3] + "/web")) > 5 and time.monotonic() < deadline:
            time.sleep(0.05)
        log.close(120)
        os._exit(0)
    pids.append(pid)
for pid in pids:
    os.waitpid(pid, 0)
if count > 1:
    os.kill(os.getpid(), signal.SIGKILL)
"""

    def run(kafka: str, count: int) -> int:
        arguments = [sys.executable, "-c", program, kafka, topic, str(tmp_path), str(count)]
        return subprocess.run(arguments, timeout=120, check=False).returncode

    assert run("127.0.0.1:1", 500) == -signal.SIGKILL
    assert len(list((tmp_path / "web").iterdir())) == 5
    assert run(servers.kafka, 1) == 0
    assert list((tmp_path / "web").iterdir()) == []
    events = [event for found in events_of(servers.kafka, topic, PARTITIONS).values() for event in found]
    assert len({event["event_id"] for event in events}) == 2001 + 5
    sessions = Counter(event["session_id"] for event in events)
    assert sorted(sessions.values()) == [1] * 6 + [500] * 4
