"""A paused archiver that wakes after its partitions went to another one must not double or lose anything."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from journal import JournalProducer, archived_and_clean, assert_archived_once
from servers import Servers
from stores import s3_store
from worker_slots import slots, wait_until, worker_config

from headrace.archiver.commit_log import read_state
from headrace.archiver.log_state import LogState


@pytest.mark.servers
@pytest.mark.timeout(300)
def test_two_groups_on_the_same_partitions_archive_each_record_once(servers: Servers, tmp_path: Path) -> None:
    """Two archivers of different groups both hold all partitions: commits of one fence the other, all day long."""
    topic, store = servers.new_topic(2), s3_store(servers)
    configs = [worker_config(servers.kafka, store.url, topic, n, group=f"{topic}-{n}") for n in range(2)]
    with (
        JournalProducer(servers.kafka, topic, events_per_s=1000) as journal,
        slots(configs, {**os.environ, **servers.env}, tmp_path) as rivals,
    ):
        for rival in rivals:
            rival.start()

        def fenced_often() -> bool:
            fences = sum((tmp_path / f"worker-{n}.log").read_text().count("fenced") for n in range(2))
            return fences >= 5 and read_state(store, topic).seq >= 10

        wait_until(fenced_often, "10 commits and 5 fences")
        journal.stop()
        wait_until(lambda: archived_and_clean(store, topic, journal.acked), "everything archived, nothing left over")
        for rival in rivals:
            assert rival.leave() == 0
    assert_archived_once(store, topic, journal.acked)


@pytest.mark.servers
@pytest.mark.timeout(300)
def test_a_worker_stopped_past_its_session_is_fenced_when_it_wakes(servers: Servers, tmp_path: Path) -> None:
    """SIGSTOP between upload and commit, until the other worker has its partitions and committed: then it wakes."""
    topic, store = servers.new_topic(2), s3_store(servers)
    configs = [worker_config(servers.kafka, store.url, topic, n, group=topic) for n in range(2)]
    with (
        JournalProducer(servers.kafka, topic, events_per_s=1000) as journal,
        slots(configs, {**os.environ, **servers.env}, tmp_path) as (zombie, other),
    ):
        paused = zombie.start(("files-uploaded", 3, signal.SIGSTOP))
        wait_until(lambda: is_stopped(paused.pid), "the worker to stop itself between upload and commit")
        before = read_state(store, topic)
        other.start()
        # The group gives the stopped worker's partitions away after its session timeout of 15 s.
        wait_until(lambda: took_over(before, read_state(store, topic)), "the other worker to commit both partitions")
        os.kill(paused.pid, signal.SIGCONT)
        log = tmp_path / "worker-0.log"
        wait_until(lambda: "fenced" in log.read_text(), "the zombie's commit to be fenced")
        journal.stop()
        wait_until(lambda: archived_and_clean(store, topic, journal.acked), "everything archived, nothing left over")
        assert other.leave() == 0
        # The zombie's place in the group may be gone too; then it has left already, saying so.
        assert zombie.leave() in (0, 3), log.read_text()[-2000:]
    assert_archived_once(store, topic, journal.acked)


def is_stopped(pid: int) -> bool:
    """Whether a process is in the stopped state."""
    state = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip().startswith("T")


def took_over(before: LogState, now: LogState) -> bool:
    """Whether all partitions of `before` were archived further since."""
    return all((at := now.newest(p.identity.partition)) is not None and at.next > p.next for p in before.partitions())
