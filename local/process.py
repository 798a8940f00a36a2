"""One server process: started with a pid file, recognised again later, stopped. Never signals a process it can't prove.

A pid alone proves nothing, since the system hands out pids again. A process is ours when its command line, as the
system reports it, holds an argument that only we would have written: the *marker*, which names the instance's folder.

The pid file is written by the child itself before it becomes the server. So there is no moment at which a server runs
and no pid file says so, even when the process that starts it is killed half-way.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from .errors import LocalError

# $0 is the pid file. The rename makes it complete or absent; exec keeps the pid.
_WRITE_PID_THEN_EXEC = 'echo $$ >"$0.new" && mv "$0.new" "$0" && exec "$@"'
# The outer shell ends at once, so that the server is nobody's child: it outlives us, and leaves us no zombie.
_DETACH = '/bin/sh -c "$0" "$@" &'
_POLL_S = 0.02
_PID_TIMEOUT_S = 10.0
_KILL_TIMEOUT_S = 10.0


def command_line(pid: int) -> list[str]:
    """Return a process's arguments; empty when there is no such process, or only a zombie is left of it."""
    if Path("/proc/self/cmdline").exists():
        try:
            raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return []
        return [part.decode(errors="surrogateescape") for part in raw.rstrip(b"\0").split(b"\0") if part]
    # macOS has no /proc; ps separates arguments by blanks, which is enough to look for a marker.
    shown = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return [shown.stdout.strip()] if shown.stdout.strip() else []


def is_alive(pid: int) -> bool:
    """Say whether a process exists that may still hold files and ports; a zombie holds none."""
    if Path("/proc/self/stat").exists():
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            # The first thread of a dying process may be a zombie while others still hold its files.
            return state not in "ZX" or len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
        except OSError:
            return False
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip()[:1] not in ("", "Z")


class Process:
    """A server known by its pid file and its marker.

    `marker` is an argument that stands in the server's command line and nowhere else on this machine. `name` is for
    messages. Files: `pid_file` (the pid, one line) and `log_file` (what the server prints, appended).
    """

    def __init__(self, name: str, marker: str, pid_file: Path, log_file: Path) -> None:
        self.name = name
        self.marker = marker
        self.pid_file = pid_file
        self.log_file = log_file

    @property
    def pid(self) -> int | None:
        """The pid of the running server, or None. Checked against the system each time."""
        try:
            pid = int(self.pid_file.read_text())
        except (OSError, ValueError):
            return None
        return pid if self._is_ours(pid) else None

    def _is_ours(self, pid: int) -> bool:
        arguments = command_line(pid)
        if len(arguments) == 1:  # as ps shows it, in one piece
            return f" {self.marker} " in f"{arguments[0]} "
        return self.marker in arguments

    def start(self, arguments: Sequence[str], folder: Path, env: Mapping[str, str]) -> None:
        """Start the server in a session of its own, so that Ctrl-C in a terminal reaches it only through us.

        Returns when the pid file is written; whether the program then works is the caller's to find out. Raises
        LocalError when it could not even be written.
        """
        self._launch(["/bin/sh", "-c", _DETACH, _WRITE_PID_THEN_EXEC], arguments, folder, env).wait()
        if not self.pid_file.exists():
            raise LocalError(f"could not start {self.name} ({arguments[0]}):\n{self.log_tail()}")

    def run(self, arguments: Sequence[str], folder: Path, env: Mapping[str, str], timeout_s: float) -> int:
        """Run a program that ends by itself, under the same pid file, and return its exit code."""
        child = self._launch(["/bin/sh", "-c", _WRITE_PID_THEN_EXEC], arguments, folder, env)
        try:
            return child.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise LocalError(f"{self.name} did not end within {timeout_s:.0f} s; see {self.log_file}") from error
        finally:
            child.kill()
            child.wait()
            self.pid_file.unlink(missing_ok=True)

    def _launch(
        self, shell: Sequence[str], arguments: Sequence[str], folder: Path, env: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start `shell` with the arguments and return when the pid file is there, or can't be written.

        In a thread, since Ctrl-C interrupts the main thread only, and leaving this block waits for the other one: so
        who cleans up after an interruption finds the pid file of what was just being started.
        """
        if self.marker not in arguments:
            raise ValueError(f"{self.name}: the command line does not hold its marker {self.marker}")
        try:
            self.pid_file.parent.mkdir(parents=True, exist_ok=True)
            self.log_file.parent.mkdir(parents=True, exist_ok=True)
            self.pid_file.unlink(missing_ok=True)
            with self.log_file.open("ab") as log, ThreadPoolExecutor(1) as thread:
                thread.submit(lambda: None).result()  # leaving the block waits only for a thread that has begun
                return thread.submit(self._spawn, [*shell, str(self.pid_file), *arguments], folder, env, log).result()
        except OSError as error:
            raise LocalError(f"could not start {self.name} ({arguments[0]}): {error}") from error

    def _spawn(
        self, command: Sequence[str], folder: Path, env: Mapping[str, str], log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        deadline = time.monotonic() + _PID_TIMEOUT_S
        while not self._has_begun(child) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return child

    def _has_begun(self, shell: subprocess.Popen[bytes]) -> bool:
        try:
            pid = int(self.pid_file.read_text())
        except (OSError, ValueError):
            return False
        # In the middle of exec a process has no command line, so it could not be recognised as ours.
        line = " ".join(command_line(pid))
        is_server = line != "" and not line.startswith(f"/bin/sh -c {_WRITE_PID_THEN_EXEC}")
        return is_server or (shell.poll() is not None and not is_alive(pid))

    def stop(self, grace_s: float) -> None:
        """End the server: SIGTERM, then SIGKILL after `grace_s` seconds (at once when it is 0). Removes the pid file.

        Does nothing to a process that is not ours, whatever the pid file says. Raises LocalError when it won't end.
        """
        pid = self.pid
        if pid is not None:
            if grace_s > 0:
                _signal(pid, signal.SIGTERM)
                _signal(pid, signal.SIGCONT)  # a stopped process would not see the SIGTERM
                _wait_gone(pid, grace_s)
            if self.pid is not None:
                _signal(pid, signal.SIGKILL)
            if not _wait_gone(pid, _KILL_TIMEOUT_S):
                raise LocalError(f"{self.name} (pid {pid}) did not end after SIGKILL; see {self.log_file}")
        self.pid_file.unlink(missing_ok=True)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the server; raise LocalError when it is not running."""
        pid = self.pid
        if pid is None:
            raise LocalError(f"{self.name} is not running, so {number.name} was sent to nobody")
        _signal(pid, number)

    def log_tail(self, lines: int = 15) -> str:
        """Return the last lines that the server printed, indented; says so when there are none."""
        return tail(self.log_file, lines)


def tail(path: Path, lines: int) -> str:
    """Return the last lines of a file, indented by four blanks, or a note that there is nothing in it."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            kept = file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        kept = []
    return "\n".join(f"    {line}" for line in kept) if kept else f"    ({path} is empty)"


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it ended by itself in between


def _wait_gone(pid: int, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
