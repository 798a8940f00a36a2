"""Pid files name our processes, and nobody else's process is ever signalled."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.local.errors import LocalError
from headrace.local.process import Process, command_line, is_alive

_SLEEP = "import time; print('up', flush=True); time.sleep(600)"
_STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
_ENV = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process("sleeper", f"--marker={tmp_path}", tmp_path / "run" / "x.pid", tmp_path / "x.log")
    yield made
    made.stop(0)


def _start(process: Process, program: str = _SLEEP) -> int:
    process.start([sys.executable, "-c", program, process.marker], process.log_file.parent, _ENV)
    _until(lambda: "up" in process.log_file.read_text())
    pid = process.pid
    assert pid is not None
    return pid


def _until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.01)


def test_a_started_process_is_found_by_another_object_and_stopped(process: Process) -> None:
    """What one command started, another one finds through the pid file, and ends."""
    pid = _start(process)
    other = Process(process.name, process.marker, process.pid_file, process.log_file)
    assert other.pid == pid
    other.stop(5)
    assert not is_alive(pid)
    assert process.pid is None
    assert not process.pid_file.exists()


def test_a_process_is_no_child_of_ours_and_leads_its_own_session(process: Process) -> None:
    """Ctrl-C in our terminal does not reach a server, and our death leaves it running."""
    pid = _start(process)
    assert os.getsid(pid) != os.getsid(0)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_a_stale_pid_file_of_another_process_harms_nobody(process: Process) -> None:
    """A pid file that names somebody else's process: it is not taken for ours, not killed, and the file is removed."""
    with subprocess.Popen([sys.executable, "-c", _SLEEP], stdout=subprocess.DEVNULL) as bystander:
        process.pid_file.parent.mkdir()
        process.pid_file.write_text(f"{bystander.pid}\n")
        assert process.pid is None
        with pytest.raises(LocalError, match="not running"):
            process.send(signal.SIGKILL)
        process.stop(5)
        process.stop(0)
        assert bystander.poll() is None
        assert not process.pid_file.exists()
        bystander.kill()


def test_a_process_of_another_instance_is_not_ours(process: Process, tmp_path: Path) -> None:
    """A marker that only begins like ours is another folder's: its process is left alone."""
    pid = _start(process)
    namesake = Process("namesake", process.marker[:-1], process.pid_file, tmp_path / "y.log")
    assert namesake.pid is None
    assert process.pid == pid


@pytest.mark.parametrize("content", ["", "\n", "abc\n", "99999999\n"])
def test_a_pid_file_without_a_running_pid_means_not_running(process: Process, content: str) -> None:
    """An empty, torn or outdated pid file is no error."""
    process.pid_file.parent.mkdir()
    process.pid_file.write_text(content)
    assert process.pid is None
    process.stop(1)
    assert not process.pid_file.exists()


def test_a_stopped_process_is_ended_by_sigterm(process: Process) -> None:
    """After SIGSTOP a process still ends within the grace, since it is continued to see its SIGTERM."""
    pid = _start(process)
    process.send(signal.SIGSTOP)
    began = time.monotonic()
    process.stop(10)
    assert time.monotonic() - began < 5
    assert not is_alive(pid)


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(process: Process) -> None:
    """Stopping always ends in an end."""
    pid = _start(process, _STUBBORN)
    process.stop(0.2)
    assert not is_alive(pid)


def test_a_missing_program_shows_in_the_log(process: Process) -> None:
    """A program that is not there: no process, and the log says why."""
    process.start(["/nowhere/server", process.marker], process.log_file.parent, _ENV)
    _until(lambda: process.pid is None)
    assert "/nowhere/server" in process.log_tail()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """No pid file, no start."""
    (tmp_path / "run").touch()
    process = Process("sleeper", "--m", tmp_path / "run" / "x.pid", tmp_path / "x.log")
    with pytest.raises(LocalError, match="could not start sleeper"):
        process.start([sys.executable, "--m"], tmp_path, _ENV)


def test_run_returns_the_exit_code_and_leaves_no_pid_file(process: Process, tmp_path: Path) -> None:
    """A program that ends by itself gives its exit code."""
    code = process.run([sys.executable, "-c", "raise SystemExit(7)", process.marker], tmp_path, _ENV, timeout_s=20)
    assert code == 7
    assert not process.pid_file.exists()


def test_run_ends_what_takes_too_long(process: Process, tmp_path: Path) -> None:
    """A program that hangs is killed at its deadline, and that is an error."""
    with pytest.raises(LocalError, match="did not end within"):
        process.run([sys.executable, "-c", _SLEEP, process.marker], tmp_path, _ENV, timeout_s=0.3)
    assert process.pid is None


def test_no_process_has_no_command_line() -> None:
    """A pid that does not exist has an empty command line and is not alive; this very process has one."""
    assert command_line(99_999_999) == []
    assert not is_alive(99_999_999)
    assert command_line(os.getpid())
    assert is_alive(os.getpid())


def test_a_command_line_without_its_marker_is_refused(process: Process, tmp_path: Path) -> None:
    """A server that could not be recognised later is not started."""
    with pytest.raises(ValueError, match="marker"):
        process.start([sys.executable, "-c", _SLEEP], tmp_path, _ENV)
