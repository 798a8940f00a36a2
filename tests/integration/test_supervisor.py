"""`headrace archive` as a person runs it: workers that die are started again, and nothing is left running."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from journal import archived_rows
from kafka_changes import numbered, produce
from servers import Servers
from stores import s3_store
from worker_slots import WAIT_S, slots, wait_until, worker_config

from headrace.archiver.commit_log import read_state


class Running:
    """A `headrace archive` process and what it says."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    def workers(self) -> list[int]:
        """Process ids of all workers started so far."""
        return [int(pid) for pid in re.findall(r"worker \d+ started, pid (\d+)", self.log.read_text())]


@contextmanager
def archiver(servers: Servers, url: str, log: Path, *arguments: str) -> Iterator[Running]:
    env = {**os.environ, **servers.env, "HEADRACE_ARCHIVE": url}
    command = [sys.executable, "-c", "from headrace.cli.main import main; main()", "archive", *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=env, stderr=output, stdout=output, stdin=subprocess.DEVNULL)
    running = Running(process, log)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pid in running.workers():
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    state = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")


def took(log: Path) -> int:
    """How many records the workers say they took."""
    return sum(int(count) for count in re.findall(r"took (\d+) records", log.read_text()))


@pytest.mark.servers
def test_a_killed_worker_is_started_again_and_sigterm_leaves_cleanly(servers: Servers, tmp_path: Path) -> None:
    """After kill -9 of a worker another one takes its place; SIGTERM commits what is held and ends with 0."""
    topic, store = servers.new_topic(1), s3_store(servers)
    arguments = ("--raw", topic, "--group", topic, "--instance", topic, "--flush-interval", "3600", "-v")
    with archiver(servers, store.url, tmp_path / "log", *arguments) as running:
        wait_until(lambda: len(running.workers()) == 1, "a worker")
        os.kill(running.workers()[0], signal.SIGKILL)
        wait_until(lambda: len(running.workers()) == 2, "the worker to be started again")
        produce(servers.kafka, topic, numbered("a", 0, 10))
        wait_until(lambda: took(running.log) == 10, "the new worker to read all")
        # With an hour between flushes only SIGTERM commits.
        assert read_state(store, topic).seq == 0
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(WAIT_S) == 0, running.log.read_text()
        assert not alive(running.workers()[1])
    assert [value for _, _, value in archived_rows(store, topic)] == numbered("a", 0, 10)


@pytest.mark.servers
def test_workers_leave_when_their_supervisor_is_killed(servers: Servers, tmp_path: Path) -> None:
    """kill -9 of the supervisor leaves no worker behind: they notice, commit and go."""
    topic, store = servers.new_topic(1), s3_store(servers)
    arguments = ("--raw", topic, "--group", topic, "--instance", topic, "--workers", "2")
    produce(servers.kafka, topic, numbered("a", 0, 10))
    with archiver(servers, store.url, tmp_path / "log", *arguments) as running:
        wait_until(lambda: "reading 0 from 0" in running.log.read_text(), "a worker to read")
        running.process.kill()
        running.process.wait()
        wait_until(lambda: not any(alive(pid) for pid in running.workers()), "both workers to leave")
    assert "supervisor is gone" in running.log.read_text()
    state = read_state(store, topic)
    assert state.seq <= 1


@pytest.mark.servers
def test_a_worker_whose_supervisor_goes_at_once_leaves_cleanly(servers: Servers, tmp_path: Path) -> None:
    """Before it has read anything, before Python has started: it is no failure."""
    config = worker_config(servers.kafka, s3_store(servers).url, servers.new_topic(1), 0, group=tmp_path.name)
    with slots([config], {**os.environ, **servers.env}, tmp_path) as (slot,):
        slot.start()
        assert slot.leave() == 0


@pytest.mark.servers
def test_ctrl_c_is_a_clean_end(servers: Servers, tmp_path: Path) -> None:
    """SIGINT to the whole process group, as a terminal sends it, commits and ends without a traceback."""
    topic, store = servers.new_topic(1), s3_store(servers)
    produce(servers.kafka, topic, numbered("a", 0, 10))
    with archiver(
        servers, store.url, tmp_path / "log", "--raw", topic, "--group", topic, "--instance", topic
    ) as running:
        wait_until(lambda: "reading 0 from 0" in running.log.read_text(), "a worker to read")
        for pid in (running.process.pid, *running.workers()):
            os.kill(pid, signal.SIGINT)
        assert running.process.wait(WAIT_S) == 0
    assert "Traceback" not in running.log.read_text()
