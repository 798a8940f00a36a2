"""`headrace verify --audit` on real servers: whatever became of an event on its way, its number is named with why.

Every way to lose events is walked by sessions of their own. They share one archive, since making one takes longest.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from archiving import Archive, Finished
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from servers import Servers

from headrace.producer import EventLog
from headrace.producer.spool.limits import SpoolLimits
from headrace.producer.spool.segment_files import chain_of
from headrace.producer.spool.segment_format import EVENT, HEADER_BYTES, parse_at
from headrace.schemas import Error, Pin
from headrace.schemas.catalog import AUDIT_TOPIC

pytestmark = pytest.mark.servers

NOWHERE = "127.0.0.1:1"
TINY = SpoolLimits(bytes_max=1 << 20, free_bytes_min=0)

APP = """
import sys, time
from headrace.producer import EventLog
from headrace.producer.auditing import AuditSettings
from headrace.schemas import Pin

log = EventLog(
    service="web", kafka=sys.argv[1], topic=sys.argv[2], spool=sys.argv[3], audit=AuditSettings(float(sys.argv[5])),
    ship=sys.argv[6],
)
for number in range(int(sys.argv[4])):
    assert log.emit(Pin(user_id=number, pin_id=number, action="SAVE"))
print(log._process.envelope.session_id.hex(), flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def audited(servers: Servers) -> str:
    """The audit topic, whose name is fixed: made once for all tests of the session."""
    try:
        servers.new_topic(partitions=2, name=AUDIT_TOPIC)
    except KafkaException as error:
        assert "already exists" in str(error)  # noqa: PT017 - another module may have made it
    return AUDIT_TOPIC


def until(true: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def pin(number: int) -> Pin:
    return Pin(user_id=number, pin_id=number, action="SAVE")


def session_of(log: EventLog) -> str:
    assert log._process is not None
    return log._process.envelope.session_id.hex()


def killed(kafka: str, topic: str, spool: Path, events: int, audit_s: float = 1e6, *, ship: str = "here") -> str:
    """Run an app that emits and is killed; return its session."""
    command = [sys.executable, "-c", APP, kafka, topic, str(spool), str(events), str(audit_s), ship]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as app:
        assert app.stdout is not None
        session = app.stdout.readline().strip()
        app.send_signal(signal.SIGKILL)
    assert len(session) == 32
    return session


def adopt(servers: Servers, topic: str, spool: Path, **settings: Any) -> str:
    """Start the service again, until it has delivered what is in the spool; return its session."""
    with EventLog(service="web", kafka=servers.kafka, topic=topic, spool=spool, audit=True, **settings) as log:
        assert log.emit(pin(0))
        until(lambda: len(list((spool / "web").iterdir())) == 1)
        assert log.flush(120)
    return session_of(log)


def flip(spool: Path, session: str, positions: set[int]) -> None:
    """Flip one bit in each of some events of a session's folder."""
    (folder,) = spool.glob(f"web/*-{session}")
    for segment in chain_of(folder):
        data, at = bytearray(segment.path.read_bytes()), HEADER_BYTES
        while (stored := parse_at(bytes(data[at : at + 5000]), 0, segment.seed)) is not None:
            if stored.kind == EVENT and stored.position in positions:
                data[at + stored.length - 1] ^= 1
            at += stored.length
        segment.path.write_bytes(data)


def verified(archive: Archive, topic: str, code: int, *more: str) -> dict[str, Any]:
    """Run the audit; return its sessions by id, and the whole under `report`."""
    done = archive.call("verify", topic, "--audit", "--json", *more)
    assert done.code == code, done.output
    report = json.loads(done.stdout)
    return {"report": report, **{each["session"]: each for each in report["sessions"]}}


def fate(session: dict[str, Any]) -> dict[str, Any]:
    """What became of a session's numbers: only what there is."""
    names = ("spooled", "waiting", "not_yet", "unexplained")
    found = {**session["dropped"], **{name: session[name] for name in names}}
    return {name: numbers for name, numbers in found.items() if numbers}


Expected = dict[str, tuple[int, dict[str, Any]]]


@dataclass
class Scene:
    """The archive, its topics, and what each session's numbers must have come to, by topic and session."""

    archive: Archive
    topics: dict[str, str]
    expected: dict[str, Expected]
    before_the_audit: Finished
    too_early: dict[str, Any]


@pytest.fixture(scope="module")
def scene(servers: Servers, audited: str, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Sessions meet their fates, and all is archived: one topic first, whose accounts come later than its archive."""
    folder, archive = tmp_path_factory.mktemp("audit"), Archive(servers)
    topics = {
        "early": servers.new_topic(partitions=2),
        "lossy": servers.new_topic(partitions=3, config={"max.message.bytes": "20000"}),
        "shipped": servers.new_topic(partitions=3, config={"max.message.bytes": "20000"}),
        "vanished": servers.new_topic(),
        "silent": servers.new_topic(),
    }
    early, expected = logged(servers.kafka, topics["early"], 30), {name: Expected() for name in topics}
    archive.archive([topics["early"]])
    for number in range(12):
        early.emit(pin(number))
    assert early.close(30)
    dead = killed(NOWHERE, topics["early"], folder / "dead", 7)
    before_the_audit = archive.call("verify", topics["early"], "--audit")
    expected["lossy"] = with_losses(servers, topics["lossy"], folder)
    expected["shipped"] = shipped_apart(servers, topics["shipped"], folder / "shipped")
    expected["vanished"] = with_deletion(servers.kafka, topics["vanished"])
    for audit in (False, True):
        log = logged(servers.kafka, topics["silent"], 5, audit=audit)
        assert log.close(30)
        expected["silent"][session_of(log)] = (5, {})
    archive.archive([topics[name] for name in ("lossy", "shipped", "vanished", "silent")] + [audited])
    too_early = verified(archive, topics["early"], 0, "--spool", str(folder / "dead"))
    archive.archive([topics["early"]])
    expected["early"] = {session_of(early): (42, {"not_yet": [[31, 42]]}), dead: (7, {"spooled": [[1, 7]]})}
    return Scene(archive, topics, expected, before_the_audit, too_early)


def logged(kafka: str, topic: str, events: int, *, audit: bool = True) -> EventLog:
    """A log whose events have been delivered."""
    log = EventLog(service="web", kafka=kafka, topic=topic, audit=audit)
    for number in range(events):
        log.emit(pin(number))
    assert log.flush(120)
    return log


def with_losses(servers: Servers, topic: str, folder: Path) -> Expected:
    """Lose events in every way that a producer accounts for."""
    expected = Expected()
    with EventLog(service="web", kafka=servers.kafka, topic=topic, spool=folder / "sound", audit=True) as sound:
        for number in range(200):
            assert sound.emit(pin(number))
    expected[session_of(sound)] = (200, {})

    with EventLog(service="web", kafka=servers.kafka, topic=topic, audit=True) as refused:
        for number in range(10):
            bad = number in {3, 4, 8}
            event = Error(level="ERROR", message=secrets.token_hex(30_000)) if bad else pin(number)
            assert refused.emit(event)
        assert refused.flush(60)
    expected[session_of(refused)] = (10, {"refused": [[4, 5], [9, 9]]})

    full = EventLog(service="web", kafka=NOWHERE, topic=topic, spool=folder / "full", spool_limits=TINY, audit=True)
    accepted = 0
    while full.emit(pin(accepted)):
        accepted += 1
    refused_by = {accepted + 1: refusal(full)}
    for number in range(accepted + 2, accepted + 6):
        assert not full.emit(pin(number))
        refused_by[number] = refusal(full)
    full.close(0.2)
    expected[session_of(full)] = (accepted + 5, by_reason(refused_by))
    expected[adopt(servers, topic, folder / "full")] = (1, {})

    expected[killed(NOWHERE, topic, folder / "expired", 50)] = (50, {"expired": [[1, 50]]})
    later: dict[str, Any] = {
        "clock_ns": lambda: time.time_ns() + 120 * 10**9, "spool_limits": SpoolLimits(age_s_max=60)
    }  # fmt: skip
    expected[adopt(servers, topic, folder / "expired", **later)] = (1, {})

    damaged = killed(NOWHERE, topic, folder / "damaged", 100)
    flip(folder / "damaged", damaged, {20, 21, 22, 60})
    expected[adopt(servers, topic, folder / "damaged")] = (1, {})
    expected[damaged] = (100, {"damaged": [[21, 23], [61, 61]]})

    under_way = killed(servers.kafka, topic, folder / "killed", 20_000, audit_s=0.01)
    expected[adopt(servers, topic, folder / "killed")] = (1, {})
    expected[under_way] = (20_000, {})
    return expected


def shipped_apart(servers: Servers, topic: str, spool: Path) -> Expected:
    """Lose events, apps and ship processes where the apps leave delivering to others."""
    expected, apart = Expected(), {"service": "web", "topic": topic, "spool": spool, "ship": "separate", "audit": True}
    full = EventLog(**apart, spool_limits=TINY)  # type: ignore[arg-type]
    accepted = 0
    while full.emit(pin(accepted)):
        accepted += 1
    refused_by = {accepted + 1: refusal(full)}
    for number in range(accepted + 2, accepted + 6):
        assert not full.emit(pin(number))
        refused_by[number] = refusal(full)
    assert full.close()
    expected[session_of(full)] = (accepted + 5, by_reason(refused_by))

    damaged = killed("", topic, spool, 100, ship="separate")
    flip(spool, damaged, {20, 21, 22, 60})
    expected[damaged] = (100, {"damaged": [[21, 23], [61, 61]]})

    refused = EventLog(**apart)  # type: ignore[arg-type]
    for number in range(10):
        assert refused.emit(
            Error(level="ERROR", message=secrets.token_hex(30_000)) if number in {3, 8} else pin(number)
        )
    expected[session_of(refused)] = (10, {"refused": [[4, 4], [9, 9]]})

    ships = [Ship(spool, servers.kafka), Ship(spool, servers.kafka)]
    try:
        until(lambda: any("delivered" in ship.text for ship in ships))
        under_way = killed("", topic, spool, 8_000, audit_s=0.01, ship="separate")
        expected[under_way] = (8_000, {})
        for ship in ships:
            ship.process.kill()
    finally:
        for ship in ships:
            ship.process.kill()
            ship.process.wait()
    assert refused.emit(pin(11))
    assert refused.close()
    expected[session_of(refused)] = (11, {"refused": [[4, 4], [9, 9]]})
    last = Ship(spool, servers.kafka, "--until-empty")
    assert last.process.wait(180) in (0, 1), last.text
    assert [path for path in spool.glob("*/*") if path.name != "dead-letters"] == [], last.text
    return expected


class Ship:
    """A ship process that tells by audit events."""

    def __init__(self, spool: Path, kafka: str, *more: str) -> None:
        self._said = spool.parent / f"ship-{time.monotonic_ns()}.log"
        command = [sys.executable, "-c", "from headrace.cli.main import main; main()", "ship", str(spool)]
        with self._said.open("w") as said:
            self.process = subprocess.Popen(
                [*command, "--kafka", kafka, *more], stdout=said, stderr=said, env={**os.environ, "HEADRACE_AUDIT": "1"}
            )

    @property
    def text(self) -> str:
        return self._said.read_text()


def refusal(log: EventLog) -> str:
    """Why a log refused last: its class is shed first, and with the last bytes the spool is full."""
    assert log._process is not None
    return log._process.queue.refusal


def by_reason(numbers: dict[int, str]) -> dict[str, Any]:
    """Numbers that rise, by reason, as ranges."""
    found: dict[str, list[list[int]]] = {}
    for number, reason in numbers.items():
        ranges = found.setdefault(reason, [])
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return found


def with_deletion(kafka: str, topic: str) -> Expected:
    """Have Kafka delete records before they are archived."""
    log, whole = logged(kafka, topic, 100), logged(kafka, topic, 1)
    assert log.close(30)
    assert whole.close(30)
    admin = AdminClient({"bootstrap.servers": kafka})
    for future in admin.delete_records([TopicPartition(topic, 0, 40)]).values():
        future.result(30)
    return {session_of(log): (100, {"unexplained": [[1, 40]]}), session_of(whole): (1, {})}


@pytest.mark.parametrize("topic", ["lossy", "shipped"])
def test_each_loss_is_named(scene: Scene, topic: str) -> None:
    """Full spool, refusal by Kafka, expiry, flipped bits, SIGKILL, and no loss at all: each session's numbers add up,
    and each lost number stands under its reason. Nothing is unexplained, so the exit code is 0. The same where
    `headrace ship` delivers: two at once, killed together with the app, and a third one that goes on."""
    found = verified(scene.archive, scene.topics[topic], 0)
    report = found.pop("report")
    expected = scene.expected[topic]
    assert found.keys() == expected.keys()
    for session, (emitted, lost) in expected.items():
        told = found[session]
        assert (told["emitted"], fate(told), told["uncertain"]) == (emitted, lost, {}), told
        assert told["state"] == "closed"
        assert told["archived"] == emitted - sum(b - a + 1 for ranges in lost.values() for a, b in ranges)
    assert report["ok"]
    assert (report["clashes"], report["rows_without_number"], report["rows_quarantined"]) == (0, 0, 0)
    assert report["repeats"] == sum(each["repeats"] for each in found.values())
    assert report["rows"] == report["totals"]["archived"] + report["repeats"]


def test_rows_that_vanish_are_a_hole(scene: Scene) -> None:
    """Records that Kafka deleted before they were archived, and which nobody reported as lost, are named by session
    and number; exit code 1, with what to do."""
    topic, expected = scene.topics["vanished"], scene.expected["vanished"]
    found = verified(scene.archive, topic, 1)
    assert {session: (found[session]["emitted"], fate(found[session])) for session in expected} == expected
    said = scene.archive.call("verify", topic, "--audit")
    assert said.code == 1
    assert "HOLE, unexplained: 40: 1-40" in said.stdout
    assert f"session {next(iter(expected))} of web on" in said.stdout
    assert "101 = 61 + 0 + 0 + 0 + 0 + 40" in said.stdout
    assert "next:" in said.stdout


def test_what_is_not_archived_yet_is_said_so(scene: Scene) -> None:
    """An account that is newer than the topic's archive makes no hole: its numbers are `not yet`, and `spooled` where
    a spool of this host has them; once they are archived, everything adds up."""
    for session, (emitted, lost) in scene.expected["early"].items():
        assert (scene.too_early[session]["emitted"], fate(scene.too_early[session])) == (emitted, lost)
    session = next(iter(scene.expected["early"]))
    found = verified(scene.archive, scene.topics["early"], 0)
    assert (found[session]["archived"], found[session]["state"], fate(found[session])) == (42, "closed", {})


def test_sessions_without_an_account_are_said_so(scene: Scene) -> None:
    """A session that sent no audit event is no success and no hole: nobody knows whether it emitted more."""
    topic = scene.topics["silent"]
    found = verified(scene.archive, topic, 0)
    states = [(found[session]["state"], fate(found[session])) for session in scene.expected["silent"]]
    assert states == [("no account", {}), ("closed", {})]
    assert "1 sessions have no account" in scene.archive.call("verify", topic, "--audit").stdout


def test_requests_that_cannot_be_met(scene: Scene) -> None:
    """An archive without audit events, the audit topic itself, unknown topics and options that don't go together exit
    2; an unreachable Kafka exits 3."""
    assert (scene.before_the_audit.code, "HEADRACE_AUDIT=1" in scene.before_the_audit.stderr) == (2, True)
    topic, call = scene.topics["silent"], scene.archive.call
    for wrong, hint in ((AUDIT_TOPIC, "accounts of other topics"), ("nope", "it has")):
        done = call("verify", wrong, "--audit")
        assert (done.code, hint in done.stderr) == (2, True), done.output
    assert call("verify", topic, "--spool", "/tmp").code == 2
    assert call("verify", topic, "--audit", "--against-kafka").code == 2
    assert call("verify", topic, "--audit", "--spool", "/no/such").code == 2
    assert call("verify", topic, "--audit", "--kafka", NOWHERE).code == 3
