"""`headrace local` as people and scripts use it: real processes, signals, exit codes, a real shell."""

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import Servers

from headrace.local import Instance
from headrace.local.process import is_alive

HEADRACE = [sys.executable, "-c", "from headrace.cli.main import main; main()"]


@pytest.fixture
def folder() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="headrace-cli-"))
    made = parent / "i"
    yield made
    Instance(made).down(purge=True)
    shutil.rmtree(parent)


def _run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HEADRACE, "local", *arguments], capture_output=True, text=True, check=False, env={**os.environ, **(env or {})}
    )


class _Foreground:
    """`headrace local up` in the foreground, already answering."""

    def __init__(self, folder: Path) -> None:
        self.child = subprocess.Popen(
            [*HEADRACE, "local", "up", "--dir", str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self.child.stdout is None:
            raise AssertionError("no pipe")
        self.shown = ""
        for line in self.child.stdout:
            self.shown += line
            if "Ctrl-C" in line:
                break

    def end(self, timeout_s: float = 60) -> tuple[int, str, str]:
        out, err = self.child.communicate(timeout=timeout_s)
        return self.child.returncode, self.shown + out, err


@pytest.mark.servers
def test_foreground_up_killed_taken_over_and_stopped(folder: Path) -> None:
    """kill -9 of the foreground `up`: its servers go on, the next `up` finds them, `down` from elsewhere stops them."""
    first = _Foreground(folder)
    assert "eval" in first.shown
    pids = Instance(folder).kafka_pid, Instance(folder).s3_pid
    first.child.kill()
    assert first.end()[0] == -signal.SIGKILL
    again = _run("up", "--dir", str(folder))
    assert again.returncode == 0, again.stderr
    assert "already running" in again.stdout
    assert (Instance(folder).kafka_pid, Instance(folder).s3_pid) == pids
    down = _run("down", "--dir", str(folder))
    assert down.returncode == 0
    assert down.stdout.startswith("stopped")
    assert all(pid is not None and not is_alive(pid) for pid in pids)


@pytest.mark.servers
def test_foreground_up_says_which_server_died_and_why(folder: Path) -> None:
    """One server ends by itself: exit code 1, its name and its log's end on stderr, and the other one is stopped."""
    foreground = _Foreground(folder)
    instance = Instance(folder)
    s3_pid, kafka_pid = instance.s3_pid, instance.kafka_pid
    assert s3_pid is not None
    assert kafka_pid is not None
    os.kill(s3_pid, signal.SIGKILL)
    code, _, err = foreground.end()
    assert code == 1
    assert "S3 (SeaweedFS) ended by itself" in err
    assert "Start Seaweed S3 API Server" in err or "master" in err
    assert not is_alive(kafka_pid)


@pytest.mark.servers
def test_foreground_up_ends_in_order_on_sigterm(folder: Path) -> None:
    """A supervisor's SIGTERM stops both servers, with exit code 0."""
    foreground = _Foreground(folder)
    pids = Instance(folder).kafka_pid, Instance(folder).s3_pid
    foreground.child.send_signal(signal.SIGTERM)
    code, out, err = foreground.end()
    assert code == 0, err
    assert "stopped; data stays" in out
    assert all(pid is not None and not is_alive(pid) for pid in pids)


@pytest.mark.servers
@pytest.mark.parametrize("lines", [1, 2])
def test_ctrl_c_while_starting_stops_what_was_started(folder: Path, lines: int) -> None:
    """Ctrl-C in the middle of a start, detached or not: exit code 1, it says so, and nothing is left running."""
    with subprocess.Popen(
        [*HEADRACE, "local", "up", "--detach", "--dir", str(folder)], stderr=subprocess.PIPE, text=True
    ) as child:
        if child.stderr is None:
            raise AssertionError("no pipe")
        for _ in range(lines):
            child.stderr.readline()
        child.send_signal(signal.SIGINT)
        err = child.stderr.read()
    assert child.returncode == 1
    assert "interrupted" in err
    assert Instance(folder).kafka_pid is None
    assert Instance(folder).s3_pid is None


@pytest.mark.servers
def test_up_killed_at_any_moment_is_cleaned_up_by_the_next(folder: Path) -> None:
    """kill -9 of `up` at several moments of its start: the next one succeeds, and no process is left over."""
    rng = random.Random(3)
    seen: set[int] = set()
    for _ in range(4):
        child = subprocess.Popen(
            [*HEADRACE, "local", "up", "--detach", "--dir", str(folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        if child.stderr is None:
            raise AssertionError("no pipe")
        child.stderr.readline()  # it has begun to start servers
        deadline = time.monotonic() + rng.uniform(0, 2.5)
        while time.monotonic() < deadline and child.poll() is None:
            seen |= {pid for pid in _pids(folder) if pid}
        child.kill()
        child.communicate()
        seen |= {pid for pid in _pids(folder) if pid}
    last = _run("up", "--detach", "--dir", str(folder))
    assert last.returncode == 0, last.stderr
    running = {Instance(folder).kafka_pid, Instance(folder).s3_pid}
    assert None not in running
    assert {pid for pid in seen if is_alive(pid)} <= running
    assert _run("down", "--purge", "--dir", str(folder)).returncode == 0
    assert not any(is_alive(pid) for pid in seen)
    assert not folder.exists()


def _pids(folder: Path) -> list[int | None]:
    found: list[int | None] = []
    for name in ("kafka.pid", "s3.pid"):
        try:
            found.append(int((folder / "run" / name).read_text()))
        except (OSError, ValueError):
            found.append(None)
    return found


@pytest.mark.servers
def test_env_points_a_shell_at_the_servers(servers: Servers) -> None:
    """`eval "$(headrace local env)"` sets each variable to what the Python API says."""
    folder = str(servers.instance.folder)
    command = f'eval "$({shlex.join([*HEADRACE, "local", "env", "--dir", folder])})"; env'
    shown = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert set(servers.instance.env().items()) <= {
        tuple(line.split("=", 1)) for line in shown.splitlines() if "=" in line
    }


@pytest.mark.servers
def test_status_of_a_running_instance(servers: Servers) -> None:
    """Exit code 0; as text and as JSON it names both addresses."""
    folder = str(servers.instance.folder)
    text = _run("status", "--dir", folder)
    assert text.returncode == 0
    assert servers.kafka in text.stdout
    found = json.loads(_run("status", "--json", "--dir", folder).stdout)
    assert found["running"] is True
    assert [each["name"] for each in found["servers"]] == ["kafka", "s3"]
    assert found["servers"][0]["address"] == servers.kafka


def test_nothing_there(tmp_path: Path) -> None:
    """No instance: status and env exit with 3, env prints nothing to eval, down has nothing to do; all say so."""
    folder = str(tmp_path / "none")
    status = _run("status", "--dir", folder)
    assert status.returncode == 3
    assert "headrace local up" in status.stdout
    assert json.loads(_run("status", "--json", "--dir", folder).stdout) == {
        "running": False,
        "folder": folder,
        "servers": [],
    }
    env = _run("env", "--dir", folder)
    assert (env.returncode, env.stdout) == (3, "")
    assert "headrace local up --detach --dir" in env.stderr
    down = _run("down", "--purge", "--dir", folder)
    assert down.returncode == 0
    assert "nothing was running" in down.stdout
    assert not Path(folder).exists()


def test_the_default_folder_is_the_users_state_folder(tmp_path: Path) -> None:
    """Without --dir the XDG state folder is meant."""
    status = _run("status", env={"XDG_STATE_HOME": str(tmp_path)})
    assert str(tmp_path / "headrace" / "local") in status.stdout


def test_up_without_a_network_and_with_an_empty_cache_says_what_to_do(tmp_path: Path) -> None:
    """Exit code 1, and one message: what, from where, into where, and the ways out. Nothing is left running."""
    folder = tmp_path / "i"
    up = _run(
        "up",
        "--detach",
        "--dir",
        str(folder),
        env={"XDG_CACHE_HOME": str(tmp_path / "cache"), "HEADRACE_MAVEN_URL": "http://127.0.0.1:9/mirror"},
    )
    assert up.returncode == 1
    for part in ("could not fetch org.", "127.0.0.1:9", str(tmp_path / "cache"), "KAFKA_HOME", "network"):
        assert part in up.stderr
    assert "Traceback" not in up.stderr
    assert _run("status", "--dir", str(folder)).returncode == 3
    assert _run("down", "--purge", "--dir", str(folder)).returncode == 0
    assert not folder.exists()


@pytest.mark.parametrize("verb", ["up", "down", "status", "env"])
def test_help_teaches_with_an_example(verb: str) -> None:
    """Each verb's help shows a command to copy."""
    shown = _run(verb, "--help").stdout
    assert "Example" in shown
    assert "headrace local" in shown.split("Example")[1]
