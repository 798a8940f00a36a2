"""Processes that deliver a spool, killed at each of their steps on its files, and what is then left and told.

`python killed_anywhere.py KIND FOLDER` runs all trials of one kind and prints what it did; it raises at the first one
that ends otherwise than it must. A process of its own, since it forks: one child for each process that is
killed, by SIGKILL, right before its nth step: so that the kernel frees its locks, and the files are as they were then.
"""

import functools
import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from spool_kit import Clock

from headrace.producer.auditing import AuditSettings
from headrace.producer.letter import Letter, refused
from headrace.producer.queues import Queue
from headrace.producer.record import Record
from headrace.producer.spool import ownership
from headrace.producer.spool.adoption import Adopter
from headrace.producer.spool.limits import SpoolLimits
from headrace.producer.spool.segment_files import chain_of
from headrace.producer.spool.segment_format import HEADER_BYTES, find_good, parse_at
from headrace.producer.spool.separate_queue import SeparateQueue
from headrace.producer.spool.ship_audit import ShipAudit
from headrace.producer.spool.ship_queue import ShipQueue
from headrace.producer.spool.spool_queue import SpoolQueue
from headrace.replay.audit import reconcile
from headrace.replay.audit_accounts import read_accounts
from headrace.replay.audit_numbers import SessionRows
from headrace.replay.intervals import Intervals
from headrace.schemas.catalog import AUDIT_TOPIC, builtin
from headrace.schemas.event import Envelope, Event
from headrace.schemas.frame import Decoder

LIMITS = SpoolLimits(bytes_max=64 << 20, segment_bytes=64 << 10, free_bytes_min=0, age_s_max=5000.0)
SESSION = bytes(range(16))
# Numbers of topic a and topic b in the order of emitting; those that are left out were refused. Each takes a third of a
# segment. What becomes of which:
EMITTED = [("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 2), ("a", 5), ("b", 3), ("a", 6), ("a", 7), ("b", 6), ("a", 9)]
EXPIRED, DAMAGED, REFUSED = {("a", 1), ("b", 1)}, {("a", 3), ("b", 3), ("a", 6)}, {("b", 2)}
FATES = {
    "a": (10, {"expired": [(1, 1)], "damaged": [(3, 4), (6, 6)], "not_accepted": [(8, 8)], "torn": [(10, 10)]}),
    "b": (6, {"expired": [(1, 1)], "refused": [(2, 2)], "damaged": [(3, 5)]}),
}
TORN = "a", 10
_STEPS = frozenset({"os.rename", "os.remove", "os.rmdir", "os.mkdir"})
_decoder = Decoder(builtin())


class Steps:
    """Counts a process's steps, and kills it right before one of them. Part of a process that is forked for it."""

    def __init__(self, root: Path, last: int | None) -> None:
        self.done = 0
        self._last = last
        self._root = str(root)
        sys.addaudithook(self._heard)
        write = Path.write_text

        def written(path: Path, text: str) -> int:
            with path.open("w") as file:
                self.next()  # the file is there, and empty
                file.write(text[: len(text) // 2])
                file.flush()
                self.next()
            return write(path, text)

        Path.write_text = written  # type: ignore[method-assign, assignment] # in this process, which ends soon

    def next(self) -> None:
        self.done += 1
        if self.done == self._last:
            os.kill(os.getpid(), signal.SIGKILL)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        changes = event in _STEPS or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if changes and self._root in str(arguments[0]):
            self.next()


class Delivered:
    """What was delivered and told, in a file outside of the spool: it outlives whoever is killed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC)

    def add(self, topic: str, seq: int, value: bytes) -> None:
        os.write(self._fd, json.dumps([topic, seq, value.hex() if topic == AUDIT_TOPIC else ""]).encode() + b"\n")

    def close(self) -> None:
        os.close(self._fd)

    def __iter__(self) -> Iterator[tuple[str, int, bytes]]:
        for line in self._path.read_text().splitlines():
            topic, seq, value = json.loads(line)
            yield topic, seq, bytes.fromhex(value)


class Straight:
    """A shipper that delivers at once, three records at a time."""

    def __init__(
        self, queue: Queue, on_refused: Callable[[Letter], None], *, to: Delivered, steps: Steps, clock: Clock
    ):
        self._queue, self._on_refused, self._to, self._steps, self._clock = queue, on_refused, to, steps, clock
        self.acked = 0

    def run(self, done: Callable[[], bool] = lambda: False) -> None:
        for _ in range(500):
            if done():
                return
            self._clock.seconds += 0.7
            self._queue.tend()
            batch = self._queue.read(3)
            for position, record in batch:
                if (record.topic, record.seq) in REFUSED:
                    letter = refused(record, "too large")
                    self._queue.refused(position, letter)
                    self._on_refused(letter)
                else:
                    self._to.add(record.topic, record.seq, record.value)
            self._steps.next()
            self._queue.ack_all(position for position, _ in batch)
            self.acked += len(batch)
        raise AssertionError("it does not end")

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def adopt(spool: Path, to: Delivered, steps: Steps, *, told: bool = True) -> None:
    """Be a process of the service that adopts what is there."""
    clock = Clock()
    clock.seconds += 5000
    envelope, seq = Envelope(service="web", host="h2", session_id=os.urandom(16)), 0

    def tell(event: Event) -> bool:
        nonlocal seq
        seq += 1
        to.add(AUDIT_TOPIC, seq, event.kafka_value(envelope, os.urandom(16), seq, clock.ns() // 1000, None))
        return True

    adopter = Adopter(
        spool / "web",
        limits=LIMITS,
        make_shipper=functools.partial(Straight, to=to, steps=steps, clock=clock),
        clock_ns=clock.ns,
        monotonic=clock.monotonic,
    )
    adopter.tell = tell if told else None
    adopter.adopt_all()
    assert adopter.last_error is None, adopter.last_error


def adopt_untold(spool: Path, to: Delivered, steps: Steps) -> None:
    """Be one that keeps no books."""
    adopt(spool, to, steps, told=False)


def ship(spool: Path, to: Delivered, steps: Steps) -> None:
    """Be a ship process that ends when the spool is empty."""
    clock = Clock()
    clock.seconds += 5000
    said: list[str] = []
    audit = ShipAudit(
        spool, host="h2", limits=LIMITS, settings=AuditSettings(interval_s=1.0, losses_s=1.0),
        clock_ns=clock.ns, monotonic=clock.monotonic, randomness=os.urandom,
    )  # fmt: skip
    queue = ShipQueue(
        spool, limits=LIMITS, clock_ns=clock.ns, monotonic=clock.monotonic, on_change=said.append, audit=audit
    )
    Straight(queue, lambda _: None, to=to, steps=steps, clock=clock).run(lambda: queue.empty)
    queue.close()
    assert not [line for line in said if "again" in line], said


def start(spool: Path, to: Delivered, steps: Steps) -> None:
    """Be a process that begins with two threads: each makes a folder, and one of them is not needed."""
    del to
    made, other = (started(spool, SpoolQueue, session) for session in (SESSION, SESSION[::-1]))
    emit(made, EMITTED[:3])
    steps.next()
    other.close()
    emit(made, EMITTED[3:])
    made._own.owned.release()


Process = Callable[[Path, Delivered, Steps], None]


def run(process: Process, spool: Path, to: Delivered, last: int | None) -> int | None:
    """Run a process in a child that is killed before its step `last`; return how many steps it took, None: killed."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(out)
            steps = Steps(spool, last)
            process(spool, to, steps)
            os.write(into, b"%d" % steps.done)
            code = 0
        except BaseException:  # noqa: BLE001 - it is told of by the parent
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    os.close(into)
    with os.fdopen(out, "rb") as told:
        data = told.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL), code
    return int(data) if code == 0 else None


def started(spool: Path, kind: type[SpoolQueue], session: bytes = SESSION) -> SpoolQueue:
    """Be a process that has emitted nothing yet."""
    clock = Clock()
    return kind(
        spool, service="web", host="h1", session_id=session, limits=LIMITS, clock_ns=clock.ns, monotonic=clock.monotonic
    )


def emit(made: SpoolQueue, numbers: list[tuple[str, int]]) -> None:
    """Emit these; some of them long ago."""
    for topic, seq in numbers:
        made._now_ms = 1_000_000_000 if (topic, seq) in EXPIRED else 1_004_000_000
        value = b"\xc3\x01FINGERPR" + bytes(19_000)
        assert made.append(Record(topic, b"k", value, made._now_ms, seq, '{"schema": 1}', "pin"))


def damage(folder: Path) -> None:
    """Flip a bit in each of some events, and leave the beginning of one more behind the last."""
    for segment in chain_of(folder):
        data, at = segment.path.read_bytes(), HEADER_BYTES
        with segment.path.open("r+b") as file:
            while (good := find_good(data, at, segment.seed, 0)) is not None:
                stored = parse_at(data, good, segment.seed)
                assert stored is not None
                at = good + stored.length
                if (stored.topic, stored.seq) in DAMAGED:
                    os.pwrite(file.fileno(), bytes([data[at - 1] ^ 1]), at - 1)
                if (stored.topic, stored.seq) == EMITTED[-1]:
                    begun = bytearray(data[good : good + 200])
                    begun[20:28] = (stored.position + 1).to_bytes(8, "little")
                    begun[36:44] = TORN[1].to_bytes(8, "little")
                    os.pwrite(file.fileno(), begun, at)


def accounts_of(delivered: Delivered) -> pa.Table:
    """The audit events that were delivered, as the archive has them."""
    counts = pa.map_(pa.string(), pa.int64())
    types = {
        "session_id": pa.binary(16), "about_session": pa.binary(16), "dropped": counts, "dropped_elsewhere": counts,
        "lost_from": pa.list_(pa.int64()), "lost_to": pa.list_(pa.int64()), "lost_reason": pa.list_(pa.string()),
    }  # fmt: skip
    rows = []
    for name, _, value in delivered:
        if name == AUDIT_TOPIC:
            event = _decoder.decode(value)
            event |= {each: list(event[each].items()) for each in ("dropped", "dropped_elsewhere")}
            rows.append(event | {"_timestamp": int(event["occurred_at"].timestamp() * 1000)})
    names = (
        "service", "host", "session_id", "seq", "about_session", "about_topic", "reporter", "closed", "durability",
        "last_seq", "acked", "waiting", "dropped", "lost_from", "lost_to", "lost_reason", "dropped_elsewhere",
        "_timestamp",
    )  # fmt: skip
    return pa.table({name: pa.array([row[name] for row in rows], types.get(name)) for name in names})


def check(spool: Path, delivered: Delivered, *, told: bool) -> None:
    """Nothing is left, nothing was lost, and where it is told of each number is accounted for."""
    for service in spool.iterdir():
        ownership.sweep(service, time.time() + 4000)  # folders that were never finished go after an hour
    left = [path for path in spool.glob("*/*") if path.name != "dead-letters"]
    assert left == [], left
    for topic, (highest, lost) in FATES.items():
        arrived = sorted({seq for name, seq, _ in delivered if name == topic})
        should = [seq for name, seq in EMITTED if name == topic and (name, seq) not in EXPIRED | DAMAGED | REFUSED]
        assert arrived == should, (topic, arrived)
        if not told:
            continue
        rows = SessionRows(Intervals.of((seq, seq + 1) for seq in arrived))
        account = read_accounts([accounts_of(delivered)], topic, float("inf"))[SESSION]
        found = reconcile(SESSION, rows, account, Intervals.of([]))
        expected = {reason: Intervals.of((first, last + 1) for first, last in each) for reason, each in lost.items()}
        assert (found.state, found.emitted, found.archived) == ("closed", highest, len(should)), found
        assert dict(found.dropped) == expected, (topic, found)
        assert (dict(found.uncertain), len(found.unexplained), len(found.waiting)) == ({}, 0, 0), found
        assert account.unlisted() == {}, account.unlisted()


class Trials:
    """Kills the processes of one kind at their steps, until one gets through.

    `living`: the first one finds a process that lives, and that emits the rest once the first one is dead.
    """

    def __init__(self, folder: Path, process: Process, kind: type[SpoolQueue], *, living: bool = False) -> None:
        self._spool, self._folder, self._process = folder / "spool", folder, process
        self._kind, self._living = kind, living
        self.deaths = 0
        self.beyond = False
        """Whether the first one was through before the step that it was to be killed at."""

    def one(self, *deaths_at: int) -> int:
        """One death after the other, at these steps, then to the end; return the steps that the last one took."""
        shutil.rmtree(self._spool, ignore_errors=True)
        to = Delivered(self._folder / "delivered")
        made = started(self._spool, self._kind)
        first = 6 if self._living else len(EMITTED)
        emit(made, EMITTED[:first])
        if self._living:
            damage(made.folder)
            before = self.deaths
            self._kill(to, deaths_at[:1])
            self.beyond = self.deaths == before
            emit(made, EMITTED[first:])
            deaths_at = deaths_at[1:]
        made._own.owned.release()
        damage(made.folder)
        self._kill(to, deaths_at)
        steps = run(self._process, self._spool, to, None)
        to.close()
        check(self._spool, to, told=self._process is not adopt_untold)
        assert steps is not None
        return steps

    def _kill(self, to: Delivered, deaths_at: Iterable[int]) -> None:
        for at in deaths_at:
            self.deaths += run(self._process, self._spool, to, at) is None


def starting(folder: Path) -> None:
    """Kill a process at each step of its beginning: an adopter finishes what it left, but for a folder half made, which
    holds no events and goes after an hour."""
    spool, to, killed, half_made = folder / "spool", Delivered(folder / "delivered"), 0, 0
    for at in itertools.count(1):
        shutil.rmtree(spool, ignore_errors=True)
        spool.mkdir()
        steps = run(start, spool, to, at)
        run(adopt_untold, spool, to, None)
        left = [path for path in spool.glob("web/*") if path.name != "dead-letters"]
        assert all(path.name.startswith(".new-") and not list(path.glob("*.seg")) for path in left), left
        half_made += len(left)
        for service in spool.iterdir():
            ownership.sweep(service, time.time() + 4000)
        assert not any(path.exists() for path in left)
        if steps is not None:
            break
        killed += 1
    print(f"starting: {killed + 1} steps, {killed} processes killed, {half_made} folders half made")


def main(kind: str, folder: Path, *, thorough: bool) -> None:
    """Kill at each step, and a second one at random; thorough: at each step twice over, and more at random."""
    processes = {"adopter": adopt, "untold": adopt_untold, "ship": ship, "living": ship}
    trials = Trials(
        folder, processes[kind], SeparateQueue if processes[kind] is ship else SpoolQueue, living=kind == "living"
    )
    chance, began, steps = random.Random(7), time.monotonic(), trials.one()
    for at in range(1, steps + 1):
        if trials.beyond and at > 1:
            break
        trials.one(at, *([chance.randrange(1, steps)] if at % 4 == 0 else []))
        if thorough:
            trials.one(at, at)
            trials.one(at, at, at)
            trials.one(at, chance.randrange(1, steps), chance.randrange(1, steps))
    print(f"{kind}: {steps} steps, {trials.deaths} processes killed, {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    if sys.argv[1] == "starting":
        starting(Path(sys.argv[2]))
    else:
        main(sys.argv[1], Path(sys.argv[2]), thorough=bool(os.environ.get("HEADRACE_THOROUGH")))
