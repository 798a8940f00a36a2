"""A spool on a disk and a clock that misbehave under a working app: no exception, and emitted = delivered + counted.

The app is the real EventLog with its threads, over a fake broker that holds what it is sent until the test lets it go.
HEADRACE_SEEDS sets how many seeds the damage tests take (10): a seed decides where bits flip, not what the threads do.
"""

import faulthandler
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from fake_producer import HOLD, FakeBroker

from headrace.producer import EventLog
from headrace.producer.spool import ownership
from headrace.producer.spool.limits import SpoolLimits
from headrace.schemas import Pin
from headrace.schemas.catalog import builtin
from headrace.schemas.frame import Decoder

SEGMENT_BYTES = 64 << 10
LIMITS = SpoolLimits(segment_bytes=SEGMENT_BYTES, free_bytes_min=0)
SEEDS = int(os.environ.get("HEADRACE_SEEDS", "10"))


class App:
    """An app whose threads emit without end. What an emit() raises ends the test; what it returned is counted."""

    def __init__(self, spool: Path, threads: int = 2, **more: Any) -> None:
        self.broker = FakeBroker()
        self.broker.decide = lambda *_: HOLD
        more = {"spool_limits": LIMITS, **more}
        self.log = EventLog(
            service="web", kafka="x", host="h1", spool=spool, make_producer=self.broker.make_producer, **more
        )
        self.refused = 0
        self.taken = 0
        self.raised: list[BaseException] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(user,)) for user in range(threads)]

    def _work(self, user: int) -> None:
        number = 0
        try:
            while not self._stop.is_set():
                taken = self.log.emit(Pin(user_id=user, pin_id=number, action="SAVE"))
                self.taken += taken
                self.refused += not taken
                number += 1
                if number % 20 == 0:
                    time.sleep(0.001)
        except BaseException as error:  # noqa: BLE001 - any of them is what must not happen
            self.raised.append(error)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Emit as long as the block lasts."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def let_go(self) -> None:
        """Have the broker take all from now on."""
        self.broker.decide = lambda *_: None

    def end(self) -> dict[str, int]:
        """Deliver and close; return the drops by reason. Checks that nothing was raised and all is accounted for."""
        self.let_go()
        assert self.raised == []
        assert self.log.flush(60), self.log.counts()
        counts = self.log.counts()
        self.log.close(120)
        decoder = Decoder(builtin())
        ids = {decoder.decode(value)["event_id"] for value in self.broker.values("pin")}
        print(
            f"{counts.emitted} emitted = {len(ids)} delivered + {sum(counts.dropped.values())} counted "
            f"{counts.dropped}, {len(self.raised)} exceptions"
        )
        assert counts.emitted == self.taken + self.refused
        assert counts.emitted == len(ids) + sum(counts.dropped.values())
        assert len(self.broker.values("pin")) == counts.acked
        return counts.dropped


def until(true: Callable[[], bool], timeout_s: float = 180, told: Callable[[], object] = lambda: "") -> None:
    """Wait for a condition; one that does not come about fails with what `told` says, and what each thread was at."""
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            faulthandler.dump_traceback()
            pytest.fail(f"not within {timeout_s} s; {told()}")
        time.sleep(0.005)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of `size` bytes, where this user may mount one."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount; test_spooled_log.py fills a disk by RLIMIT_FSIZE, without")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full_and_has_room_again(tmp_path: Path) -> None:
    """A real file system of 2 MB fills up, by others too: events are refused as disk_full, then taken again."""
    with small_disk(tmp_path / "disk", 2 << 20) as disk:
        app = App(disk / "spool")
        with app.busy():
            until(lambda: app.log.counts().dropped.get("disk_full", 0) > 500)
            taken = app.taken
            app.let_go()
            until(lambda: app.taken > taken + 2000)
            hog = disk / "hog"
            with suppress(OSError), hog.open("wb") as out:
                while True:
                    out.write(bytes(4096))
            refused = app.log.counts().dropped["disk_full"]
            until(lambda: app.log.counts().dropped["disk_full"] > refused + 500)
            hog.unlink()
            taken = app.taken
            until(lambda: app.taken > taken + 2000)
        assert set(app.end()) == {"disk_full"}


def test_a_folder_that_is_removed_under_the_app(tmp_path: Path) -> None:
    """The spool is removed with all that waits in it: what cannot be read or written any more is counted, and a new one
    is made, of which another process could deliver what is emitted then."""
    app = App(tmp_path / "spool")
    with app.busy():
        until(lambda: app.taken > 5000)
        (tmp_path / "spool").rename(tmp_path / "gone")  # in one step: the app makes files while they are removed
        shutil.rmtree(tmp_path / "gone")
        until(lambda: any((tmp_path / "spool").glob("web/*/*.seg")))
        taken = app.taken
        until(lambda: app.taken > taken + 5000)
    assert set(app.end()) <= {"unwritable", "unreadable"}


READ_ONLY = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
sys.path.insert(0, sys.argv[2] + "/producer/spool")
import encodings.idna
from test_hostile_disk import App, until
spool = Path(sys.argv[1])
app = App(spool)
root = os.geteuid() == 0  # may write anything: so be somebody else while it is read-only
with app.busy():
    until(lambda: app.taken > 1000)
    folders = [path for path in spool.rglob("*") if path.is_dir()]
    for folder in folders:
        os.chmod(folder, 0o555)
    if root:
        os.seteuid(65534)
    until(lambda: app.refused > 500)
    if root:
        os.seteuid(0)
    for folder in folders:
        os.chmod(folder, 0o755)
    taken = app.taken
    until(lambda: app.taken > taken + 1000)
assert set(app.end()) == {"unwritable"}
"""


def test_a_folder_that_becomes_read_only(tmp_path: Path) -> None:
    """New segments cannot be made: unwritable. With the right to write back, events are taken again."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", READ_ONLY, str(tmp_path / "spool"), str(Path(__file__).parents[2])],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    print(done.stdout)


DAY_S = 86_400


@pytest.mark.parametrize(
    "jumps", [(-30 * DAY_S,), (30 * DAY_S, -30 * DAY_S), (3600, -7200, 3600), (-80 * 365 * DAY_S,)]
)
def test_a_clock_that_jumps(tmp_path: Path, jumps: tuple[int, ...]) -> None:
    """The wall clock jumps back and far forward under load: nothing is lost but what then seems too old, as expired."""
    offset_s = 0
    app = App(tmp_path / "spool", clock_ns=lambda: time.time_ns() + offset_s * 1_000_000_000)
    with app.busy():
        for jump in jumps:
            taken = app.taken
            until(lambda taken=taken: app.taken > taken + 1000)  # type: ignore[misc] # this turn's
            offset_s += jump
        taken = app.taken
        until(lambda: app.taken > taken + 1000)
    forward = max(sum(jumps[: n + 1]) for n in range(len(jumps)))
    assert set(app.end()) <= ({"expired"} if forward > LIMITS.age_s_max else set())


@pytest.mark.parametrize("seed", range(SEEDS))
def test_bits_that_flip_under_the_app(tmp_path: Path, seed: int) -> None:
    """Bytes of living segments change at random, between being written and being read: what was hit is counted as
    damaged, all else is delivered, and nothing that was not emitted."""
    chance = random.Random(seed)
    app = App(tmp_path / "spool", threads=1)
    with app.busy():
        until(lambda: app.taken > 600)
        for _ in range(chance.randrange(1, 60)):
            segments = sorted(tmp_path.rglob("*.seg"))
            fd = os.open(chance.choice(segments), os.O_RDWR)
            try:
                at = chance.randrange(SEGMENT_BYTES - 64)
                data = bytearray(os.pread(fd, chance.choice((1, 1, 1, 40, 3000)), at))
                for index in range(0, len(data), chance.choice((1, 7))):
                    data[index] ^= 1 << chance.randrange(8)
                os.pwrite(fd, data, at)
            finally:
                os.close(fd)
            if chance.random() < 0.2:
                taken = app.taken
                until(lambda taken=taken: app.taken > taken + 100)  # type: ignore[misc] # this turn's
    assert set(app.end()) <= {"damaged"}


def free(folder: Path) -> bool:
    """Whether nobody owns a folder any more."""
    owned = ownership.adopt(folder)
    if owned is not None:
        owned.release()
    return owned is not None


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_dead_processs_spool_that_is_torn(tmp_path: Path, seed: int) -> None:
    """What a dead process left is cut and hit at random: its adopter delivers or counts all up to the last good event.

    What stood behind that one in the last segment nobody can count: it was never read, and its writer is gone.
    """
    chance = random.Random(seed)
    app, enough = App(tmp_path / "spool", threads=1), chance.randrange(50, 3000)
    with app.busy():
        until(lambda: app.taken > enough)
    assert app.raised == []
    (folder,) = (tmp_path / "spool" / "web").iterdir()
    app.log.close(0.1)
    until(lambda: free(folder))
    segments = sorted(tmp_path.rglob("*.seg"))
    for _ in range(chance.randrange(1, 4)):
        path = chance.choice(segments)
        data = bytearray(path.read_bytes())
        at = chance.randrange(64, len(data)) if len(data) > 64 else 0
        if chance.random() < 0.3:
            del data[at:]
        else:
            data[at : at + chance.choice((1, 50, 5000))] = chance.randbytes(chance.choice((1, 50, 5000)))
        path.write_bytes(data)
    adopter = App(tmp_path / "spool", threads=0)
    adopter.let_go()
    adopter.log.emit(Pin(user_id=99, pin_id=0, action="SAVE"))
    until(lambda: len(list((tmp_path / "spool" / "web").iterdir())) == 1, told=adopter.log.counts)
    counts = adopter.log.counts()
    adopter.log.close(120)
    decoder = Decoder(builtin())
    events = [decoder.decode(value) for value in adopter.broker.values("pin")]
    seqs = [event["seq"] for event in events if event["user_id"] == 0]
    assert seqs == sorted(set(seqs))
    assert set(counts.adopted_lost) <= {"damaged"}
    lost = sum(counts.adopted_lost.values())
    tail = app.taken - len(seqs) - lost
    print(f"seed {seed}: {app.taken} emitted = {len(seqs)} delivered + {lost} counted + {tail} at the torn end")
    assert tail >= 0
    assert len(seqs) + lost >= max(seqs, default=0)
