"""Runs N worker processes, starts those again that end on their own, and stops them all in an orderly way.

A worker that dies costs nothing but time: its partitions go on from the log. Restarts back off while they keep failing.
"""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .clock import Clock
from .config import ArchiverConfig
from .logged import fields
from .tallies import Tallies
from .worker_process import EXIT_DAMAGED, EXIT_REFUSED

log = logging.getLogger("headrace.archiver")

POLL_S = 0.1
DONE_CHECK_S = 0.5
RESTART_PAUSE_S = 0.2
RESTART_PAUSE_S_MAX = 30.0
HEALTHY_S = 30.0  # a worker that ran this long starts its restart pauses over
STOP_TIMEOUT_S = 60.0
ENDS_ALL = {EXIT_REFUSED: 2, EXIT_DAMAGED: 1}  # a worker's exit codes that no restart can mend, and the run's own
FAILURES_MAX_WHEN_ENDING = 5  # a run that is to end gives up after this many failures in a row of one worker


@dataclass
class _Slot:
    config: ArchiverConfig
    process: subprocess.Popen[bytes]
    started_s: float
    failures: int = 0
    restart_at_s: float | None = None


class Supervisor:
    """Keeps one process for each configuration. `done()` ends the run when it is given and returns True.

    `tallies` takes what the workers tell of themselves; None: they are not asked.
    """

    def __init__(
        self,
        configs: Sequence[ArchiverConfig],
        *,
        clock: Clock,
        done: Callable[[], bool] | None = None,
        tallies: Tallies | None = None,
    ) -> None:
        self._clock = clock
        self._done = done
        self._tallies = tallies
        self._slots = [_Slot(config, self._start(config), clock.monotonic()) for config in configs]

    def run(self, stopping: Callable[[], bool]) -> int:
        """Supervise until `stopping()`, `done()`, or a worker refuses for good. Returns the exit code."""
        next_check_s = self._clock.monotonic()
        code = 0
        try:
            while not stopping() and code == 0:
                self._clock.pause(POLL_S)
                if self._tallies is not None:
                    self._tallies.read()
                code = self._look_after_all()
                if self._done is not None and self._clock.monotonic() >= next_check_s:
                    if self._done():
                        break
                    next_check_s = self._clock.monotonic() + DONE_CHECK_S
        finally:
            self._stop_all()
            if self._tallies is not None:
                self._tallies.close()
        return code

    def _look_after_all(self) -> int:
        for slot in self._slots:
            code = self._look_after(slot)
            if code:
                return code
        return 0

    def _look_after(self, slot: _Slot) -> int:
        now = self._clock.monotonic()
        if slot.restart_at_s is not None:
            if now >= slot.restart_at_s:
                slot.process, slot.started_s, slot.restart_at_s = self._start(slot.config), now, None
            return 0
        ended = slot.process.poll()
        if ended is None:
            return 0
        if self._tallies is not None:
            self._tallies.ended(slot.config.worker)
        if ended in ENDS_ALL:
            return ENDS_ALL[ended]
        slot.failures = 1 if now - slot.started_s >= HEALTHY_S else slot.failures + 1
        how = f"was ended by signal {-ended}" if ended < 0 else f"ended with exit code {ended}"
        if self._done is not None and slot.failures >= FAILURES_MAX_WHEN_ENDING:
            log.error("worker %d %s, %d times in a row; giving up", slot.config.worker, how, slot.failures)
            return ended if ended > 0 else 1
        pause = min(RESTART_PAUSE_S * 2 ** (slot.failures - 1), RESTART_PAUSE_S_MAX)
        log.warning("worker %d %s; starting it again in %.1f s", slot.config.worker, how, pause)
        slot.restart_at_s = now + pause
        return 0

    def _start(self, config: ArchiverConfig) -> subprocess.Popen[bytes]:
        if self._tallies is None:
            process = _spawn(config, ())
        else:
            reading, writing = os.pipe()
            try:
                process = _spawn(replace(config, tally_fd=writing), (writing,))
            finally:
                os.close(writing)
            self._tallies.opened(config.worker, reading)
        log.info(
            "worker %d started, pid %d",
            *(config.worker, process.pid),
            extra=fields("worker-started", worker=config.worker, worker_pid=process.pid),
        )
        return process

    def _stop_all(self) -> None:
        running = [slot for slot in self._slots if slot.process.poll() is None]
        for slot in running:
            slot.process.send_signal(signal.SIGTERM)
        for slot in running:
            try:
                slot.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                log.warning("worker %d did not leave in %d s; ending it", slot.config.worker, STOP_TIMEOUT_S)
                slot.process.kill()
                slot.process.wait()


def _spawn(config: ArchiverConfig, descriptors: Sequence[int]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "headrace.archiver.worker_process"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=descriptors)
    if process.stdin is None:
        raise RuntimeError("the worker process has no standard input")
    process.stdin.write(config.to_json().encode() + b"\n")
    process.stdin.flush()
    return process
