"""EventLog over a spool and a fake broker: durability, adoption, degrading, close."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError
from fake_producer import HOLD, FakeBroker, FakeProducer

from headrace.producer import EventLog
from headrace.producer.spool import ownership
from headrace.producer.spool.limits import SpoolLimits
from headrace.schemas import Error, Pin
from headrace.schemas.catalog import builtin
from headrace.schemas.frame import decode

PIN = Pin(user_id=7, pin_id=9, action="SAVE")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., EventLog]]:
    """Makes logs with a spool, over the broker given, and closes them."""
    made: list[EventLog] = []

    def build(broker: FakeBroker, **more: Any) -> EventLog:
        chosen: dict[str, Any] = {"service": "web", "kafka": "x", "host": "h1", "spool": tmp_path / "spool", **more}
        log = EventLog(**chosen, make_producer=broker.make_producer)
        made.append(log)
        return log

    yield build
    for log in made:
        log.close(0.1)


def folders(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "spool").glob("*/*"))


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def pins(broker: FakeBroker) -> list[int]:
    return [decode(value, builtin())["pin_id"] for value in broker.values("pin")]


def test_delivered_events_leave_nothing(make: Callable[..., EventLog], tmp_path: Path) -> None:
    """Events go through the disk to the broker, and after close() the spool is empty."""
    broker = FakeBroker()
    log = make(broker)
    assert folders(tmp_path) == []
    for number in range(5000):
        assert log.emit(Pin(user_id=7, pin_id=number, action="SAVE"))
    assert log.counts().durability == "disk"
    assert len(folders(tmp_path)) == 1
    assert log.close(60)
    assert pins(broker) == list(range(5000))
    assert log.counts().dropped == {}
    assert folders(tmp_path) == []


def test_what_is_left_at_exit_is_delivered_by_the_next(make: Callable[..., EventLog], tmp_path: Path) -> None:
    """close() without a broker leaves the events, not counted as lost; the next process of the service sends them."""
    away, broker = FakeBroker(), FakeBroker()
    away.decide = lambda *_: HOLD
    log = make(away)
    for number in range(1000):
        assert log.emit(Pin(user_id=7, pin_id=number, action="SAVE"))
    assert not log.close(0.1)
    assert log.counts().dropped == {}
    assert len(folders(tmp_path)) == 1
    following = make(broker)
    following.emit(PIN)
    until(lambda: following.counts().adopted == 1000)
    assert following.flush(60)
    assert sorted(pins(broker)) == sorted([*range(1000), 9])
    assert following.counts().accepted == 1
    assert following.counts().adopted_lost == {}
    assert following.close(60)
    assert folders(tmp_path) == []


def test_a_shipper_that_ends_too_late_for_close_lets_go_of_the_folder(
    make: Callable[..., EventLog], tmp_path: Path
) -> None:
    """close() does not wait for a client that hangs; once that ends, another log adopts what was left, in the same
    process too."""
    hanging, go_on = threading.Event(), threading.Event()

    class Hanging(FakeBroker):
        def make_producer(self, config: Mapping[str, Any]) -> FakeProducer:
            producer = super().make_producer(config)
            poll = producer.poll

            def hang(timeout: float) -> int:
                hanging.set()
                assert go_on.wait(180)
                return poll(timeout)

            producer.poll = hang  # type: ignore[method-assign]
            return producer

    broker, other = Hanging(), FakeBroker()
    broker.decide = lambda *_: HOLD
    log = make(broker)
    assert log.emit(PIN)
    assert hanging.wait(180)
    assert not log.close(0.1)
    (left,) = folders(tmp_path)
    assert ownership.adopt(left) is None, "its thread has not ended"
    go_on.set()
    adopter = make(other)
    assert adopter.emit(PIN)
    until(lambda: left not in folders(tmp_path) and len(pins(other)) == 2)


def test_another_services_orphans_stay(make: Callable[..., EventLog], tmp_path: Path) -> None:
    """A process adopts only what its own service left."""
    away, broker = FakeBroker(), FakeBroker()
    away.decide = lambda *_: HOLD
    log = make(away, service="other")
    log.emit(PIN)
    log.close(0.1)
    following = make(broker)
    following.emit(PIN)
    assert following.flush(60)
    until(lambda: broker.values("pin") != [])
    following.close()
    assert len(broker.values("pin")) == 1
    assert [each.parent.name for each in folders(tmp_path)] == ["other"]


def test_a_refused_orphan_is_counted(make: Callable[..., EventLog]) -> None:
    """What Kafka refuses for good of a dead process's events is dropped alone, and counted apart from one's own."""
    away, broker = FakeBroker(), FakeBroker()
    away.decide = lambda *_: HOLD
    log = make(away)
    for message in ("a", "bad", "c"):
        log.emit(Error(level="INFO", message=message))
    log.close(0.1)
    broker.decide = lambda _, value: KafkaError(KafkaError.MSG_SIZE_TOO_LARGE) if b"bad" in value else None
    following = make(broker)
    following.emit(PIN)
    until(lambda: following.counts().adopted == 2)
    until(lambda: following.counts().adopted_lost == {"refused": 1})
    assert following.counts().dropped == {}


def test_a_spool_that_cannot_be_used_is_memory(
    make: Callable[..., EventLog], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A spool below a file cannot be made: a warning at construction, then a log in memory that works and says so."""
    (tmp_path / "spool").write_text("a file")
    broker = FakeBroker()
    with caplog.at_level(logging.WARNING):
        log = make(broker)
    assert "cannot be used" in caplog.text
    assert log.counts().durability == "memory"
    assert log.emit(PIN)
    assert log.flush(60)
    assert log.counts().durability == "memory"


def test_a_spool_that_goes_before_the_first_event_is_memory(make: Callable[..., EventLog], tmp_path: Path) -> None:
    """Between construction and first use the folder turned into something else: memory, and no exception."""
    broker = FakeBroker()
    log = make(broker, strict=True)
    for path in (tmp_path / "spool" / "web", tmp_path / "spool"):
        path.rmdir()
    (tmp_path / "spool").write_text("a file")
    assert log.emit(PIN)
    assert log.counts().durability == "memory"


def test_drops_are_counted_by_reason(
    make: Callable[..., EventLog],
) -> None:
    """With a disk below its floor emit() says False, and the reason is counted."""
    broker = FakeBroker()
    log = make(broker, spool_limits=SpoolLimits(free_bytes_min=1 << 60))
    assert not log.emit(PIN)
    assert log.counts().dropped == {"disk_full": 1}
    assert log.counts().emitted == 1


def test_block_waits_for_its_deadline(make: Callable[..., EventLog]) -> None:
    """With when_full=block a full spool is waited for, for as long as was said and no longer."""
    log = make(FakeBroker(), spool_limits=SpoolLimits(free_bytes_min=1 << 60), when_full="block", block_s_max=0.2)
    started = time.monotonic()
    assert not log.emit(PIN)
    assert 0.2 <= time.monotonic() - started < 60


# A process whose files may not grow beyond a size: what posix_fallocate says on a full disk, for real.
FULL = """
import sys
sys.path.insert(0, sys.argv[2])
import resource
from fake_producer import HOLD, FakeBroker, FakeProducer
from headrace.producer import EventLog
from headrace.producer.spool import ownership
from headrace.producer.spool.limits import SpoolLimits
from headrace.schemas import Pin
broker = FakeBroker()
broker.decide = lambda *_: HOLD
log = EventLog(service="web", kafka="x", spool=sys.argv[1], make_producer=broker.make_producer, strict=True,
               spool_limits=SpoolLimits(free_bytes_min=0))
assert log.emit(Pin(user_id=1, pin_id=0, action="SAVE"))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
taken = 1
while log.emit(Pin(user_id=1, pin_id=taken, action="SAVE")):
    taken += 1
assert taken > 1000 and log.counts().dropped == {"disk_full": 1}, log.counts()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
import time
deadline = time.monotonic() + 180
while not log.emit(Pin(user_id=1, pin_id=taken, action="SAVE")):
    assert time.monotonic() < deadline
    time.sleep(0.01)
log.close(0.1)
print(taken + 1)
"""


def test_a_full_disk_costs_events_and_nothing_else(make: Callable[..., EventLog], tmp_path: Path) -> None:
    """When files cannot grow, emit() says False with reason disk_full; with room again it goes on; none is lost."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FULL, str(tmp_path / "spool"), str(Path(__file__).parents[2])],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    broker = FakeBroker()
    following = make(broker)
    following.emit(PIN)
    until(lambda: following.counts().adopted == int(done.stdout))


def test_threads_share_one_spool(make: Callable[..., EventLog], tmp_path: Path) -> None:
    """Threads whose first emit() comes at the same moment make one folder, and all events arrive once."""
    broker = FakeBroker()
    log = make(broker)
    barrier = threading.Barrier(8)

    def emit(user: int) -> None:
        barrier.wait()
        for number in range(500):
            assert log.emit(Pin(user_id=user, pin_id=number, action="SAVE"))

    threads = [threading.Thread(target=emit, args=(user,)) for user in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders(tmp_path)) == 1
    assert log.close(60)
    assert sorted(pins(broker)) == sorted(list(range(500)) * 8)
