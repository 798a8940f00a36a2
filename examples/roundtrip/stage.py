"""Starts and stops what the demo needs: the topics, the sample app under gunicorn, and the archiver's processes.

Each process gets a session of its own, so that Ctrl-C in the terminal reaches only the demo, which then ends them all
in order; and a log file in the demo's folder.
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

PARTITIONS = 6
APP_WORKERS = 3
APP_THREADS = 4
READY_S = 60.0
GRACE_S = 30.0
POLL_S = 0.1
BIN = Path(sys.executable).parent
EXAMPLES = Path(__file__).parent.parent


class Failed(Exception):
    """Something that the demo started did not do what it should; the message says what, and where its log is."""


def wait_for(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Return once `condition()` is true. Raises Failed after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"waited {timeout_s:.0f} s in vain: {what}")
        time.sleep(POLL_S)


class Program:
    """One program that the demo started, with its log file."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                list(command), env=dict(env), stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def running(self) -> bool:
        """Say whether it still runs."""
        return self._process.poll() is None

    def check(self) -> None:
        """Raise Failed when it has ended."""
        if not self.running():
            raise Failed(f"{self.name} ended with exit code {self._process.returncode}:\n{self.tail()}")

    def stop(self) -> int:
        """Ask it to end, make it after a grace period, and return its exit code. Its own children end with it."""
        if self.running():
            self._process.terminate()
        try:
            code = self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        for number in (signal.SIGKILL,) if self._group_alive() else ():
            os.killpg(self.pid, number)
        self._process.wait(GRACE_S)
        return code

    def text(self) -> str:
        """Return all of its log."""
        return self.log.read_text(errors="replace")

    def tail(self, lines: int = 15) -> str:
        """Return the end of its log."""
        kept = self.text().splitlines()[-lines:]
        return "\n".join(f"    {line}" for line in (*kept, f"({self.log})"))

    def _group_alive(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def make_topics(kafka: str, topics: Sequence[str]) -> None:
    """Create the topics. Time stamps are the producer's, as a replay into a topic needs them to be."""
    admin = AdminClient({"bootstrap.servers": kafka})
    plain = {"message.timestamp.type": "CreateTime", "retention.ms": str(7 * 86_400_000)}
    wanted = [NewTopic(topic, PARTITIONS, 1, config=plain) for topic in topics]
    wanted.append(NewTopic("headrace.schemas", 1, 1, config={"cleanup.policy": "compact"}))
    for future in admin.create_topics(wanted).values():
        future.result(READY_S)
    # Created is not yet known to all: `headrace archive` refuses a topic that the broker does not list.
    names = {topic.topic for topic in wanted}
    wait_for(lambda: names <= admin.list_topics(timeout=READY_S).topics.keys(), READY_S, "the topics that were created")


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def start_app(env: Mapping[str, str], folder: Path) -> tuple[Program, int]:
    """Start the sample app under gunicorn: one master that forks workers. Returns it and its port."""
    port = free_port()
    command = [
        str(BIN / "gunicorn"), "--chdir", str(EXAMPLES), "--bind", f"127.0.0.1:{port}", "--preload",
        "--workers", str(APP_WORKERS), "--worker-class", "gthread", "--threads", str(APP_THREADS),
        "--keep-alive", "60", "--graceful-timeout", "10", "--no-control-socket", "app:app",
    ]  # fmt: skip
    program = Program("the sample app", command, env, folder / "app.log")

    def healthy() -> bool:
        program.check()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()

    try:
        wait_for(healthy, READY_S, f"the sample app's answer on port {port}; see {program.log}")
    except BaseException:
        program.stop()
        raise
    return program, port


def start_archiver(env: Mapping[str, str], folder: Path, topics: Sequence[str], workers: int) -> Program:
    """Start `headrace archive` with its worker processes."""
    chosen = [word for topic in topics for word in ("--topic", topic)]
    command = [str(BIN / "headrace"), "archive", *chosen, "--workers", str(workers), "--flush-interval", "2"]
    return Program("headrace archive", command, env, folder / "archive.log")


def children(pid: int) -> list[int]:
    """Return the ids of a process's direct children, oldest first."""
    if Path("/proc/self/stat").exists():
        # The command's name, the second field, may hold blanks and brackets; the parent is the second one after it.
        stats = [_text_of(path) for path in Path("/proc").glob("[0-9]*/stat")]
        pairs = [(stat.split(" ", 1)[0], stat.rpartition(")")[2].split()[1]) for stat in stats if stat]
    else:
        shown = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
        pairs = [(line.split()[0], line.split()[1]) for line in shown.stdout.splitlines()]
    return sorted(int(child) for child, parent in pairs if int(parent) == pid)


def _text_of(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # it ended while we looked
