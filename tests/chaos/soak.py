"""An archiver that runs on for half an hour at a steady load, with a fault every ten seconds that it must live through.

No fault here ends a process: what is looked for are memory, open files and threads that grow. They are read from /proc
for every process of the archiver, and held against each other at the end.
"""

import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from chaos.archiver_process import ArchiverProcess
from chaos.journal_producer import JournalProducer
from chaos.lane import Lane
from chaos.oracle import Archive, Verdict, judge
from chaos.rig import Rig
from chaos.s3_proxy import FAULTS, S3Fault
from chaos.tally import Tally

PARTITIONS = 6
WORKERS = 2
FLUSH_INTERVAL_S = "5"
FAULT_EVERY_S = 10.0
SAMPLE_EVERY_S = 2.0
PAUSE_S = 5.0
WARM_UP_S = 300.0
LIVED_S = 600.0  # a process is judged by itself when it lived so long
DRAINED_S = 900.0
# What may come on top within the time after the warm-up. A log of some hundred commits is kept in memory: 1 to 2 MiB.
MEMORY_GROWTH_MIB_MAX = 24.0
FILES_GROWTH_MAX = 6
THREADS_GROWTH_MAX = 3


@dataclass(frozen=True)
class Sample:
    """One process at one moment: seconds since the start, resident memory, open files, threads."""

    at_s: float
    memory_mib: float
    files: int
    threads: int


@dataclass(frozen=True)
class Growth:
    """How a process changed after its warm-up, by a straight line through its samples, over `seconds`."""

    pid: int
    seconds: float
    memory_mib: float
    files: float
    threads: float
    most: Sample

    @property
    def flat(self) -> bool:
        return (
            self.memory_mib <= MEMORY_GROWTH_MIB_MAX
            and self.files <= FILES_GROWTH_MAX
            and self.threads <= THREADS_GROWTH_MAX
        )

    def __str__(self) -> str:
        return (
            f"pid {self.pid}: over {self.seconds / 60:.0f} minutes memory {self.memory_mib:+.1f} MiB, files "
            f"{self.files:+.1f}, threads {self.threads:+.1f}; at most {self.most.memory_mib:.0f} MiB, "
            f"{self.most.files} files, {self.most.threads} threads"
        )


def sample_of(pid: int, at_s: float) -> Sample | None:
    """Read a process from /proc; None when it is gone."""
    try:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return Sample(at_s, int(status["VmRSS"].split()[0]) / 1024, files, int(status["Threads"]))
    except (OSError, KeyError):
        return None


def growth_of(pid: int, samples: list[Sample], *, warm_up_s: float) -> Growth | None:
    """Fit a line through what comes after the warm-up; None for a process that did not live long enough."""
    after = [sample for sample in samples if sample.at_s >= samples[0].at_s + warm_up_s]
    if len(after) < 3:
        return None
    times = np.array([sample.at_s for sample in after])
    seconds = float(times[-1] - times[0])

    def grown(values: list[float]) -> float:
        return float(np.polyfit(times, np.array(values), 1)[0]) * seconds

    return Growth(
        pid,
        seconds,
        grown([sample.memory_mib for sample in after]),
        grown([sample.files for sample in after]),
        grown([sample.threads for sample in after]),
        Sample(
            after[-1].at_s,
            max(sample.memory_mib for sample in samples),
            max(sample.files for sample in samples),
            max(sample.threads for sample in samples),
        ),
    )


def faults(seed: int) -> Iterator[S3Fault | str]:
    """Yield for ever what is broken next: mostly S3, now and then the broker, the disk, or the archiver stops."""
    rng = Random(f"{seed}/soak")
    s3 = [(name, method) for name, (methods, _) in FAULTS.items() for method in methods.split()]
    while True:
        turn: list[S3Fault | str] = [
            S3Fault(name, method, 0, round(rng.uniform(0.5, 4), 1), rng.randint(1, 5) if name == "503" else 1)
            for name, method in s3
        ]
        turn += ["pause", "pause", "pause", "broker hangs", "broker hangs", "disk full"]
        rng.shuffle(turn)
        yield from turn


class Soak:
    """Runs once. `samples` holds what was read of each process, by pid; `faults` when something was broken."""

    def __init__(self, rig: Rig, *, seed: int, seconds: float, events_per_s: int) -> None:
        self.tally = Tally()
        self.samples: dict[int, list[Sample]] = defaultdict(list)
        self.faults: list[float] = []
        self._rig = rig
        self._seed = seed
        self._seconds = seconds
        self._events_per_s = events_per_s
        self._over = threading.Event()
        self._began = time.monotonic()

    def run(self) -> Verdict:
        """Break things for the time given, then wait until all is archived, and judge."""
        lane = Lane(self._rig, 0, self.tally, threading.Event(), events_per_s=self._events_per_s, on_tmp_disk=False)
        topic = "soak"
        with ExitStack() as stack:
            stack.enter_context(lane.proxy)
            topic_id = self._rig.create(topic, PARTITIONS)
            archive = Archive(self._rig.s3, self._rig.bucket, topic)
            arguments = ["--topic", topic, "--group", topic, "--instance", topic, "--workers", str(WORKERS)]
            arguments += ["--archive", f"s3://{self._rig.bucket}/{topic}", "--flush-interval", FLUSH_INTERVAL_S]
            archiver = ArchiverProcess(arguments, lane.environment(), self._rig.folder / "soak.log")
            stack.callback(archiver.close)
            producer = stack.enter_context(
                JournalProducer(
                    self._rig.kafka, topic, topic_id, partitions=PARTITIONS, events_per_s=self._events_per_s
                )
            )
            archiver.start()
            sampling = threading.Thread(target=self._sample, args=(archiver,), name="sampling")
            sampling.start()
            try:
                self._break(lane, archiver)
            finally:
                self._over.set()
                sampling.join()
            lane.proxy.heal()
            producer.stop()
            self._wait(lambda: self._drained(archive, topic, topic_id, producer), archiver)
            archiver.leave(DRAINED_S)
            return judge(
                archive,
                topic,
                producer.journal,
                gave_up=producer.failed,
                injected=[],
                kafka=self._rig.read(topic),
                topic_id=topic_id,
            )

    def _break(self, lane: Lane, archiver: ArchiverProcess) -> None:
        self._began = time.monotonic()
        for number, fault in enumerate(faults(self._seed), 1):
            due = self._began + number * FAULT_EVERY_S
            if due > self._began + self._seconds:
                return
            self._over.wait(max(0.0, due - time.monotonic()))
            assert archiver.running, f"the archiver ended by itself:\n{archiver.tail()}"
            self.faults.append(time.monotonic() - self._began)
            if isinstance(fault, S3Fault):
                lane.proxy.begin([fault], again=False)
            elif fault == "pause":
                pids = archiver.stop_all()
                self._over.wait(PAUSE_S)
                archiver.go_on(pids)
                self.tally.add("pauses", "shorter than the session timeout")
            elif fault == "broker hangs":
                # Not restarted: on a busy machine that takes more than the 30 s after which a worker ends itself.
                self._rig.instance.signal_kafka(signal.SIGSTOP)
                self._over.wait(PAUSE_S)
                self._rig.instance.signal_kafka(signal.SIGCONT)
                self.tally.note("broker stopped for some seconds")
            elif self._rig.store_disk is not None:
                with self._rig.store_disk.full():
                    self._over.wait(PAUSE_S)
                self._rig.instance.restart_s3()
                self.tally.add("ENOSPC", "store's disk")

    def _sample(self, archiver: ArchiverProcess) -> None:
        while not self._over.wait(SAMPLE_EVERY_S):
            for pid in archiver.workers().values():
                sample = sample_of(pid, time.monotonic() - self._began)
                if sample is not None:
                    self.samples[pid].append(sample)

    def _drained(self, archive: Archive, topic: str, topic_id: str, producer: JournalProducer) -> bool:
        at = archive.log(topic).positions(topic_id, PARTITIONS)
        return at is not None and all(at[p] >= end for p, end in producer.ends(topic_id).items())

    def _wait(self, condition: Callable[[], bool], archiver: ArchiverProcess) -> None:
        until = time.monotonic() + DRAINED_S
        while not condition():
            assert time.monotonic() < until, f"not archived within {DRAINED_S} s:\n{archiver.tail()}"
            threading.Event().wait(0.5)

    def growths(self) -> list[Growth]:
        """The processes that lived long enough to be judged."""
        warm_up_s = min(WARM_UP_S, self._seconds / 3)
        lived_s = min(LIVED_S, self._seconds / 2)
        found = [
            growth_of(pid, samples, warm_up_s=warm_up_s)
            for pid, samples in self.samples.items()
            if samples[-1].at_s - samples[0].at_s >= lived_s
        ]
        return [growth for growth in found if growth is not None]
