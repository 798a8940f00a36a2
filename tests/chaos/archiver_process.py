"""`headrace archive` as a process of its own with its workers, and what chaos does to them.

What happened is read from the supervisor's log and from /proc, so that a kill is counted when a process is seen dead by
it, and never because somebody meant to kill it.
"""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

STARTED = re.compile(r"worker (\d+) started, pid (\d+)")
KILLED = re.compile(r"worker (\d+) was ended by signal 9")
COMMAND = (sys.executable, "-c", "from headrace.cli.main import main; main()", "archive")
WORKER_MODULE = "headrace.archiver.worker_process"


class ArchiverProcess:
    """One place for an archiver. Started again and again with the same arguments; all write to one log."""

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self.log = log
        self._arguments = list(arguments)
        self._env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None
        self._begins_at = 0  # where the log of the running supervisor begins
        self._pids: set[int] = set()  # every worker ever started, for the end
        log.touch()

    def start(self, failpoint: str | None = None) -> None:
        """Start a supervisor, whose workers have a failpoint if there is one (see cli/archive.py)."""
        assert not self.running
        self._begins_at = self.log.stat().st_size
        env = {**self._env, "HEADRACE_FAILPOINT": failpoint} if failpoint else self._env
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, *self._arguments],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the last supervisor ended; None while it runs and before it was ever started."""
        return None if self._process is None else self._process.poll()

    def said(self) -> str:
        """What the running supervisor and its workers have logged so far."""
        with self.log.open("rb") as log:
            log.seek(self._begins_at)
            return log.read().decode(errors="replace")

    def workers(self) -> dict[int, int]:
        """The living workers: number -> pid. One that just died may still be among them."""
        found = {int(number): int(pid) for number, pid in STARTED.findall(self.said())}
        self._pids.update(found.values())
        return {number: pid for number, pid in found.items() if is_worker(pid)}

    def has_started(self) -> int:
        """How many different workers the running supervisor has started."""
        return len({number for number, _ in STARTED.findall(self.said())})

    def stop_all(self) -> list[int]:
        """SIGSTOP to the supervisor and its workers; returns the pids for go_on()."""
        if self._process is None or not self.running:
            return []
        self._process.send_signal(signal.SIGSTOP)  # first, so that it starts no other one
        pids = set(self.workers().values()) | {pid for pid in children(self._process.pid) if is_worker(pid)}
        stopped = [pid for pid in pids if send(pid, signal.SIGSTOP)]
        return [self._process.pid, *stopped]

    def go_on(self, pids: Sequence[int]) -> None:
        """SIGCONT to what stop_all() stopped."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def killed_workers(self) -> Counter[int]:
        """How often the running supervisor has seen each worker dead of SIGKILL, by its number."""
        return Counter(map(int, KILLED.findall(self.said())))

    def kill_supervisor(self) -> None:
        """SIGKILL; its workers find out and leave."""
        self.workers()
        if self._process is not None and self.running:
            self._process.kill()
            self._process.wait()

    def kill_all(self) -> int:
        """SIGKILL to the supervisor and its workers, as when a machine dies. Returns how many processes that were."""
        if not self.running:
            return 0
        self.kill_supervisor()
        pids = list(self.workers().values())
        for pid in pids:
            send(pid, signal.SIGKILL)
        return 1 + len(pids)

    def leave(self, timeout_s: float) -> int:
        """SIGTERM, and wait for the end. Returns the exit code."""
        self.workers()
        if self._process is None:
            return 0
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"headrace archive did not leave in {timeout_s} s:\n{self.tail()}") from None

    def orphans(self) -> list[int]:
        """Workers of supervisors that are gone, which should be leaving."""
        living = set(self.workers().values()) if self.running else set()
        return [pid for pid in self._pids - living if is_worker(pid)]

    def wake(self) -> None:
        """SIGCONT to every worker that is stopped: a failpoint may have been reached after nobody waited any more."""
        self.workers()
        for pid in self._pids:
            if state_of(pid) == "T":
                send(pid, signal.SIGCONT)

    def close(self) -> None:
        """End whatever is left."""
        self.kill_all()
        self.workers()
        for pid in self._pids:
            if is_worker(pid):
                send(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def tail(self, characters: int = 4000) -> str:
        return self.log.read_text(errors="replace")[-characters:]


def is_worker(pid: int) -> bool:
    """Whether a pid is a living worker, and not another process that was given its number."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        return WORKER_MODULE.encode() in line
    except OSError:
        return False


def children(pid: int) -> list[int]:
    """The processes that a process has started and that have not been waited for."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def state_of(pid: int) -> str:
    """The state letter that the kernel shows; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def send(pid: int, number: int) -> bool:
    """Send a worker a signal; False when it is gone."""
    if not is_worker(pid):
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
