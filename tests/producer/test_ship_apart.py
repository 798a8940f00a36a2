"""EventLog(ship="separate"): the app writes to the spool and never loads the Kafka client, also under greenlets."""

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_producer import FakeBroker

from headrace.producer import EventLog
from headrace.producer.auditing import AuditSettings
from headrace.producer.queues import MemoryQueue
from headrace.producer.spool.keeper import Keeper
from headrace.producer.spool.limits import SpoolLimits
from headrace.producer.spool.separate_queue import SeparateQueue
from headrace.producer.spool.shipping import Shipping
from headrace.schemas import Pin
from headrace.schemas.catalog import AUDIT_TOPIC, builtin
from headrace.schemas.frame import decode

PIN = Pin(user_id=7, pin_id=9, action="SAVE")


def run(program: str, *args: object, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *map(str, args)],
        capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **env},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def delivered(spool: Path) -> list[int]:
    """Ship all that is in a spool to a fake broker; return the pins."""
    broker = FakeBroker()
    assert shipping(spool, broker).run(until_empty=True)
    return [decode(value, builtin())["pin_id"] for value in broker.values("pin")]


def shipping(spool: Path, broker: FakeBroker, audit: AuditSettings | None = None) -> Shipping:
    return Shipping(
        spool, config={}, make_producer=broker.make_producer, in_flight_records_max=1000, limits=SpoolLimits(),
        grace_s=5, say=print, clock_ns=time.time_ns, monotonic=time.monotonic, audit=audit,
    )  # fmt: skip


def told(broker: FakeBroker, reporter: str) -> list[dict[str, Any]]:
    """What a reporter said of the pins."""
    said = [decode(value, builtin()) for value in broker.values(AUDIT_TOPIC)]
    return [each for each in said if (each["reporter"], each["about_topic"]) == (reporter, "pin")]


def test_a_living_session_is_told_of_by_both(tmp_path: Path) -> None:
    """The app tells what it emitted, who ships what was delivered. Neither says that the session is closed before all
    is delivered, though the app's own audit events, delivered before, outnumber what waits; then it is closed, and
    nothing is left in the spool."""
    log, broker = EventLog(service="web", spool=tmp_path, ship="separate", audit=AuditSettings(0.01)), FakeBroker()
    for number in range(5):
        assert log.emit(Pin(user_id=7, pin_id=number, action="SAVE"))
    # At least one account, so that there are more of them than events that wait at the end.
    until(lambda: log._process is not None and log._process.queue.depth()[0] > 5)
    assert log.counts().queued == 5
    ship = shipping(tmp_path, broker, AuditSettings(0.001, 0.001))
    thread = threading.Thread(target=ship.run)
    thread.start()
    until(lambda: told(broker, "ADOPTER") and told(broker, "ADOPTER")[-1]["acked"] == 5)
    until(lambda: log.counts().queued == 0)
    assert log.counts().acked == 5
    ship.stop()
    thread.join()
    assert log.emit(PIN)
    log.close()
    assert shipping(tmp_path, broker, AuditSettings()).run(until_empty=True)
    own, others = told(broker, "OWN"), told(broker, "ADOPTER")
    assert [each["closed"] for each in own] == [False] * len(own)
    assert (own[-1]["last_seq"], own[-1]["waiting"]) == (6, 6)
    assert [each["closed"] for each in others] == [False] * (len(others) - 1) + [True]
    assert [(each["last_seq"], each["acked"], each["waiting"]) for each in others if each["closed"]] == [(6, 6, 0)]
    assert {each["service"] for each in others} == {"web"}
    assert list(tmp_path.glob("*/*")) == []


def test_who_may_not_write_beside_the_services_is_told_at_once(tmp_path: Path) -> None:
    """Audit events of a ship process wait in the spool: where it may make no folder there, it does not begin."""

    def refused(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "mkdir", refused)
        with pytest.raises(PermissionError):
            shipping(tmp_path, FakeBroker(), AuditSettings())
        shipping(tmp_path, FakeBroker())


LIGHT = """
import sys
from headrace.producer import EventLog
from headrace.schemas import Pin
log = EventLog.from_env()
for number in range(1000):
    assert log.emit(Pin(user_id=7, pin_id=number, action="SAVE"))
assert log.counts().durability == "disk" and log.counts().queued == 1000, log.counts()
assert log.close(60)
heavy = sorted(name for name in sys.modules if name.startswith("confluent_kafka"))
assert heavy == [], heavy
"""


def test_the_kafka_client_is_never_loaded(tmp_path: Path) -> None:
    """An app that is told so by the environment imports no confluent_kafka at all, needs no Kafka address, and what
    it emitted is in the spool when it has ended."""
    run(LIGHT, HEADRACE_SERVICE="web", HEADRACE_SHIP="separate", HEADRACE_SPOOL=str(tmp_path), HEADRACE_KAFKA="")
    assert delivered(tmp_path) == list(range(1000))
    assert list((tmp_path / "web").iterdir()) == []


def test_what_is_needed_is_asked_for(tmp_path: Path) -> None:
    """Without a folder there is nothing to ship from; without Kafka nothing ships here; other words are refused."""
    with pytest.raises(ValueError, match="give the spool folder"):
        EventLog(service="web", ship="separate")
    with pytest.raises(ValueError, match="bootstrap servers"):
        EventLog(service="web", spool=tmp_path)
    with pytest.raises(ValueError, match="'here' or 'separate'"):
        EventLog(service="web", spool=tmp_path, ship="elsewhere")  # type: ignore[arg-type] # what is tested


GREENLETS = {
    "gevent": """
import gevent.monkey
gevent.monkey.patch_all()
import gevent, threading
from gevent.threadpool import ThreadPool
pool = ThreadPool(4)
spawn, wait_all, native = gevent.spawn, gevent.joinall, lambda f, n: pool.spawn(f, n)
def pause(): gevent.sleep(0)
def finish(natives):
    for each in natives: each.get()
""",
    "eventlet": """
import warnings
warnings.simplefilter("ignore")  # it says of itself that it is deprecated
import eventlet
eventlet.monkey_patch()
from eventlet import tpool
threads = eventlet.patcher.original("threading")
spawn = eventlet.spawn
def wait_all(greens):
    for each in greens: each.wait()
def native(f, n):
    made = threads.Thread(target=f, args=(n,)); made.start(); return made
def pause(): eventlet.sleep(0)
def finish(natives):
    for each in natives:
        while each.is_alive(): eventlet.sleep(0.01)
""",
}
WORK = """
import os, sys, time
from headrace.producer import EventLog
from headrace.schemas import Pin
log = EventLog(service="web", spool=sys.argv[1], ship="separate", strict=True)
ticks = 0
def tick():
    global ticks
    while not stop:
        ticks += 1
        pause()
def emit(base, each=lambda: None):
    for number in range(500):
        assert log.emit(Pin(user_id=base, pin_id=base * 1000 + number, action="SAVE"))
        each()
stop = False
ticker = spawn(tick)
greens = [spawn(emit, base, pause) for base in range(20)]
natives = [native(emit, base) for base in range(20, 24)]
wait_all(greens)
finish(natives)
stop = True
assert ticks > 400, ticks
assert log.counts().accepted == 24 * 500, log.counts()
pid = os.fork()
if pid == 0:
    child = spawn(emit, 24, pause)
    wait_all([child])
    log.close()
    os._exit(0)
while os.waitpid(pid, os.WNOHANG) == (0, 0):
    time.sleep(0.01)
"""


@pytest.mark.parametrize("library", GREENLETS)
def test_greenlets_and_real_threads_emit_side_by_side(library: str, tmp_path: Path) -> None:
    """In a process that the real library has patched, hundreds of greenlets, real threads and a forked child emit;
    other greenlets run meanwhile, nothing is refused, and all arrives, in order for each of them."""
    run(GREENLETS[library] + WORK, tmp_path)
    pins = delivered(tmp_path)
    assert sorted(pins) == sorted(base * 1000 + number for base in range(25) for number in range(500))
    for base in range(25):
        own = [pin for pin in pins if pin // 1000 == base]
        assert own == sorted(own)


@pytest.mark.parametrize("library", GREENLETS)
def test_shipping_from_a_process_of_greenlets_is_refused(library: str, tmp_path: Path) -> None:
    """With the real library's patches, a log that would ship from the process itself says what to do instead."""
    program = """
import sys
from headrace.producer import EventLog
try:
    EventLog(service="web", kafka="127.0.0.1:1", spool=sys.argv[1])
except ValueError as error:
    print(error)
"""
    said = run(GREENLETS[library] + program, tmp_path)
    assert said.startswith(f"{library} has replaced")
    assert "headrace ship DIR" in said
    assert "ship='separate'" in said


def test_memory_moves_to_the_folder_when_it_can_be_written(tmp_path: Path) -> None:
    """Events emitted while the spool cannot be made wait in memory, say so, and go to disk, in order, once it can."""
    spool = tmp_path / "spool"
    spool.write_text("a file in the way")
    log = EventLog(service="web", spool=spool, ship="separate")
    for number in range(2500):
        assert log.emit(Pin(user_id=7, pin_id=number, action="SAVE"))
    assert log.counts().durability == "memory"
    spool.unlink()
    assert log.close(60)
    assert log.counts().durability == "disk"
    assert log.counts().dropped == {}
    assert delivered(spool) == list(range(2500))


def test_a_close_waits_for_the_move_that_is_under_way(tmp_path: Path) -> None:
    """The keeper's thread is moving what waits in memory to the disk: whoever looks after the queue beside it, as
    close() does, goes on when all is moved, and does not see the half of it, or move it once more."""
    moving, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    memory, moves = MemoryQueue(queue_records_max=1, queue_bytes_max=1), []
    opened = SeparateQueue(
        tmp_path, service="web", host="h1", session_id=bytes(16), limits=SpoolLimits(), clock_ns=time.time_ns,
        monotonic=time.monotonic,
    )  # fmt: skip

    def move_to(queue: object) -> None:
        moves.append(queue)
        moving.set()
        assert go_on.wait(180)

    keeper = Keeper(memory)
    keeper.on_memory(lambda: opened, move_to)

    def close() -> None:
        keeper.advance()
        ended.set()

    threads = [threading.Thread(target=keeper.advance), threading.Thread(target=close)]
    threads[0].start()
    assert moving.wait(180)
    threads[1].start()
    assert not ended.wait(0.2)
    go_on.set()
    for thread in threads:
        thread.join()
    assert moves == [opened]
    opened.close()


def test_memory_is_lost_at_exit_and_counted(tmp_path: Path) -> None:
    """Where the folder could never be made, close() says False, and what waited in memory is counted."""
    (tmp_path / "spool").write_text("a file in the way")
    log = EventLog(service="web", spool=tmp_path / "spool", ship="separate")
    assert log.emit(PIN)
    assert not log.close()
    assert log.counts().dropped == {"undelivered": 1}


def until(true: Callable[[], object], timeout_s: float = 180) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def remove(spool: Path) -> None:
    """Remove a spool in one step, as nobody does who lets the app make files meanwhile."""
    spool.rename(spool.with_name("gone"))
    shutil.rmtree(spool.with_name("gone"))


def test_a_removed_folder_is_made_anew_and_its_events_counted(tmp_path: Path) -> None:
    """The spool is removed under a living process: what waited in it is counted as unreadable, what is emitted after
    that is on disk again, and delivered; all that was emitted is one or the other."""
    spool = tmp_path / "spool"
    with EventLog(service="web", spool=spool, ship="separate", strict=True) as log:
        for number in range(1000):
            assert log.emit(Pin(user_id=7, pin_id=number, action="SAVE"))
        remove(spool)
        until(lambda: log.counts().dropped)
        # While the folder is being made again an event may be refused, and is counted as that.
        until(lambda: log.emit(Pin(user_id=7, pin_id=1000, action="SAVE")))
        for number in range(1001, 2000):
            assert log.emit(Pin(user_id=7, pin_id=number, action="SAVE"))
        until(lambda: list(spool.glob("web/*/*1.seg")))
        counts = log.counts()
        assert (counts.dropped["unreadable"], counts.acked, counts.queued) == (1000, 0, 1000)
        assert counts.durability == "disk"
        log.close()
        assert delivered(spool) == list(range(1000, 2000))


def put_a_file_in_the_way_of(spool: Path) -> bool:
    """Whether a file stands where the folder was; the log may make its folder again in between."""
    remove(spool)
    try:
        spool.write_text("a file in the way")
    except IsADirectoryError:
        return False
    return True


def test_a_folder_that_is_gone_for_good_refuses(tmp_path: Path) -> None:
    """Where no new folder can be made, events are refused as unwritable within a second, and taken once it can."""
    spool = tmp_path / "spool"
    with EventLog(service="web", spool=spool, ship="separate") as log:
        assert log.emit(PIN)
        until(lambda: put_a_file_in_the_way_of(spool))
        until(lambda: not log.emit(PIN))
        accepted = log.counts().accepted
        assert set(log.counts().dropped) <= {"unreadable", "unwritable"}
        until(lambda: log.counts().dropped.get("unreadable") == accepted)
        spool.unlink()
        until(lambda: log.emit(PIN))
        log.close()
        counts = log.counts()
        assert set(counts.dropped) == {"unreadable", "unwritable"}
        assert len(delivered(spool)) == counts.accepted - counts.dropped["unreadable"] == counts.queued


def test_a_folder_removed_at_the_very_end_is_counted(tmp_path: Path) -> None:
    """What lay in a folder that is gone when the log is closed is counted, though no upkeep came in between."""
    log = EventLog(service="web", spool=tmp_path / "spool", ship="separate")
    assert log.emit(PIN)
    remove(tmp_path / "spool")
    log.close()
    assert log.counts().dropped == {"unreadable": 1}
