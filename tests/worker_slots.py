"""Real worker processes that tests start, kill and start again."""

import dataclasses
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from headrace.archiver.config import ArchiverConfig
from headrace.archiver.limits import Limits
from headrace.archiver.topic_decoder import TopicSettings

WAIT_S = 240.0


def worker_config(kafka: str, archive_url: str, topic: str, worker: int, *, group: str) -> ArchiverConfig:
    """A worker that commits a few times a second and gets its partitions back at once after a kill."""
    return ArchiverConfig(
        kafka={"bootstrap.servers": kafka},
        archive_url=archive_url,
        topics=(TopicSettings(topic),),
        group=group,
        instance_id=f"{group}-{worker}",
        worker=worker,
        limits=Limits(flush_interval_s=0.2),
        flush_when_idle=True,
    )


class WorkerSlot:
    """One place in the group, filled by one process after another."""

    def __init__(self, config: ArchiverConfig, env: Mapping[str, str], log: Path) -> None:
        self._config = config
        self._env = dict(env)
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, failpoint: tuple[str, int, int] | None = None) -> subprocess.Popen[bytes]:
        """Start a process, which sends itself a signal at the failpoint if there is one: (name, hit, signal)."""
        self.close()
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "headrace.archiver.worker_process"],
                stdin=subprocess.PIPE,
                stderr=log,
                env=self._env,
            )
        if self.process.stdin is None:
            raise RuntimeError("no standard input")
        config = dataclasses.replace(self._config, failpoint=failpoint)
        self.process.stdin.write(config.to_json().encode() + b"\n")
        self.process.stdin.flush()
        return self.process

    def leave(self) -> int:
        """Have the process leave as it does when its supervisor is gone, and return its exit code.

        Not by a signal: one that comes before Python has a handler for it ends the process, and a worker that finds
        nothing to do can be asked to leave as soon as that.
        """
        if self.process is None or self.process.stdin is None:
            raise RuntimeError("never started")
        self.process.stdin.close()
        return self.wait_for_end()

    def wait_for_end(self) -> int:
        """Wait for the process to end by itself; its log's tail is in the error when it does not."""
        if self.process is None:
            raise RuntimeError("never started")
        try:
            return self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            tail = self._log.read_text(errors="replace")[-3000:]
            raise AssertionError(f"the worker did not end within {WAIT_S} s; its log ends:\n{tail}") from None

    def close(self) -> None:
        """End what still runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()


@contextmanager
def slots(configs: list[ArchiverConfig], env: Mapping[str, str], folder: Path) -> Iterator[list[WorkerSlot]]:
    """Worker slots that are all ended when the test is."""
    made = [WorkerSlot(config, env, folder / f"worker-{n}.log") for n, config in enumerate(configs)]
    try:
        yield made
    finally:
        for slot in made:
            slot.close()


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
    """Look at a condition until it holds; fail with `what` after the bound."""
    until = time.monotonic() + timeout_s
    never = threading.Event()
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        never.wait(0.05)
