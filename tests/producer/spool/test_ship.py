"""`headrace ship` as a process, on a real Kafka: kills, signals, rivals, jobs, and folders that are no spool.

HEADRACE_SHIP_KILLS sets how often ship and app are killed (8).
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import Servers
from topic_events import check_order, events_of, left_in, until

from headrace.producer import EventLog
from headrace.schemas import Pin

pytestmark = pytest.mark.servers

PARTITIONS = 3
KILLS = int(os.environ.get("HEADRACE_SHIP_KILLS", "8"))
SHIP = [sys.executable, "-W", "error", "-c", "from headrace.cli.main import main; main()", "ship"]

APP = """
import os, struct, sys, threading
from headrace.producer import EventLog
from headrace.schemas import Pin

log = EventLog(service=sys.argv[4], topic=sys.argv[1], spool=sys.argv[2], ship="separate")
base = int(sys.argv[3]) * 10_000_000

def emit(thread):
    number = base + thread * 1_000_000
    while log.emit(Pin(user_id=number % 50, pin_id=number, action="SAVE")):
        os.write(1, struct.pack("<q", number))
        number += 1

for thread in range(2):
    threading.Thread(target=emit, args=(thread,)).start()
"""


class Ship:
    """A ship process, and what it said."""

    def __init__(self, spool: Path, kafka: str, *more: str) -> None:
        self.said = spool.parent / f"ship-{time.monotonic_ns()}.log"
        with self.said.open("w") as log:
            self.process = subprocess.Popen([*SHIP, str(spool), "--kafka", kafka, *more], stderr=log, stdout=log)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(180)

    @property
    def text(self) -> str:
        return self.said.read_text()


@pytest.fixture
def ship(servers: Servers, tmp_path: Path) -> Iterator[Callable[..., Ship]]:
    """Starts ship processes on `spool` in the test's folder; those that still run at the end are killed."""
    started: list[Ship] = []

    def start(*more: str, kafka: str = servers.kafka) -> Ship:
        started.append(Ship(tmp_path / "spool", kafka, *more))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.end(signal.SIGKILL)


def test_kills_of_ship_and_app_lose_nothing(servers: Servers, tmp_path: Path, ship: Callable[..., Ship]) -> None:
    """App and ship are killed at random moments under load, again and again: each event that emit() returned True for
    is in Kafka at the end; what came twice has one event id; the first coming is in order in each partition."""
    topic = servers.new_topic(partitions=PARTITIONS)
    spool = tmp_path / "spool"
    spool.mkdir()
    seed = int(os.environ.get("HEADRACE_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"HEADRACE_SEED={seed}")
    chance = random.Random(seed)
    promised: list[int] = []
    shipping, ship_kills = ship(), 0
    for turn in range(KILLS):
        app = subprocess.Popen(
            [sys.executable, "-c", APP, topic, str(spool), str(turn), f"app{turn % 2}"],
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert app.stdout is not None
        data = app.stdout.read(8)
        kill_ship_at = time.monotonic() + chance.uniform(0, 0.8)
        deadline = time.monotonic() + chance.uniform(0, 0.8)
        while time.monotonic() < deadline:
            data += app.stdout.read(1 << 16)
            if time.monotonic() > kill_ship_at:
                kill_ship_at = float("inf")
                shipping.end(signal.SIGKILL)
                ship_kills += 1
                shipping = ship()
        app.send_signal(signal.SIGKILL)
        while rest := app.stdout.read(1 << 16):
            data += rest
        app.stdout.close()
        assert app.wait() == -signal.SIGKILL
        whole = len(data) // 8 * 8
        promised += [int.from_bytes(data[at : at + 8], "little") for at in range(0, whole, 8)]
    until(lambda: [path for service in spool.iterdir() for path in left_in(service)] == [])
    assert shipping.end() == 0, shipping.text
    for word in ("damaged", "unreadable", "refused"):
        assert word not in shipping.text
    found = events_of(servers.kafka, topic, PARTITIONS)
    events = [event for each in found.values() for event in each]
    arrived = {event["pin_id"] for event in events}
    assert [number for number in promised if number not in arrived] == []
    ids = {event["event_id"]: event["pin_id"] for event in events}
    assert len(ids) == len(arrived)
    check_order(found)
    print(
        f"{KILLS} kills of the app, {ship_kills} of ship, {len(promised)} promised, {len(arrived)} arrived, "
        f"{len(events) - len(ids)} came again"
    )
    assert len(promised) > KILLS * 100


def emitted(tmp_path: Path, topic: str, numbers: range) -> EventLog:
    log = EventLog(service="web", topic=topic, spool=tmp_path / "spool", ship="separate")
    for number in numbers:
        assert log.emit(Pin(user_id=number % 20, pin_id=number, action="SAVE"))
    return log


def test_two_ships_share_a_spool(servers: Servers, tmp_path: Path, ship: Callable[..., Ship]) -> None:
    """Two ship processes on one spool deliver each process's events once; when one is ended, the other takes over."""
    topic = servers.new_topic(partitions=PARTITIONS)
    logs = [emitted(tmp_path, topic, range(at, at + 200)) for at in range(0, 2000, 200)]
    ships = [ship(), ship()]
    assert all(log.flush(120) for log in logs)
    assert ships[0].end() == 0
    for log in logs:
        assert log.emit(Pin(user_id=1, pin_id=9999, action="SAVE"))
    assert all(log.flush(120) for log in logs)
    for log in logs:
        log.close()
    until(lambda: list((tmp_path / "spool").glob("*/*")) == [])
    assert ships[1].end() == 0
    events = [event["pin_id"] for each in events_of(servers.kafka, topic, PARTITIONS).values() for event in each]
    assert sorted(events) == sorted([*range(2000), *[9999] * 10])


def test_a_job_ends_when_the_spool_is_empty(servers: Servers, tmp_path: Path, ship: Callable[..., Ship]) -> None:
    """--until-empty delivers what living processes have written too, leaves their folders, and ends with 0."""
    topic = servers.new_topic(partitions=PARTITIONS)
    log = emitted(tmp_path, topic, range(5000))
    job = ship("--until-empty")
    assert job.process.wait(180) == 0, job.text
    assert "5,000 events delivered" in job.text
    assert log.flush(120)
    log.close()
    assert ship("--until-empty").process.wait(180) == 0
    assert list((tmp_path / "spool").glob("*/*")) == []
    assert sum(len(each) for each in events_of(servers.kafka, topic, PARTITIONS).values()) == 5000


def test_sigterm_ends_within_the_grace_when_kafka_is_away(tmp_path: Path, ship: Callable[..., Ship]) -> None:
    """With no broker it says so once, keeps the events, and ends when told to: 0 as a service, 130 on Ctrl-C."""
    log = emitted(tmp_path, "pin", range(10))
    service = ship("--grace", "0.5", kafka="127.0.0.1:1")
    until(lambda: "Kafka: " in service.text)
    begun = time.monotonic()
    assert service.end() == 0
    assert time.monotonic() - begun < 60
    assert "more wait" in service.text
    job = ship("--until-empty", "--grace", "0.1", kafka="127.0.0.1:1")
    until(lambda: "its process lives" in job.text)
    assert job.end() == 1
    by_hand = ship("--grace", "0.1", kafka="127.0.0.1:1")
    until(lambda: "its process lives" in by_hand.text)
    assert by_hand.end(signal.SIGINT) == 130
    assert log.counts().queued == 10
    log.close()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda spool: spool.parent, "No such file or directory"),
        (lambda spool: spool.write_text("x"), "Not a directory"),
        (lambda spool: (spool / "web" / "src").mkdir(parents=True), "web/src is no process's folder"),
        (lambda spool: (spool / "a").mkdir(parents=True) or (spool / "notes.txt").touch(), "a file notes.txt"),
        (lambda spool: (spool / f"h-1-{'0' * 32}").mkdir(parents=True), "one service's folder"),
    ],
)
def test_a_folder_that_is_no_spool_is_refused(
    tmp_path: Path, ship: Callable[..., Ship], make: Callable[[Path], object], said: str
) -> None:
    """Nothing is touched in a folder that something else uses; the message says what was found, and what to give."""
    make(tmp_path / "spool")
    refused = ship()
    assert refused.process.wait(180) == 2
    assert said in refused.text
    assert "Traceback" not in refused.text


def test_settings_that_cannot_work_are_refused(tmp_path: Path, ship: Callable[..., Ship]) -> None:
    """A setting that librdkafka does not know, and text that is no JSON object, end it at once."""
    (tmp_path / "spool").mkdir()
    for text, said in (('{"no.such": 1}', "no.such"), ("[1]", "JSON object")):
        refused = ship("--kafka-config", text)
        assert refused.process.wait(180) == 2
        assert said in refused.text
