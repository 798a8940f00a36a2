"""kill -9 of real archiver processes at each named step between fetch and Kafka commit: nothing lost or doubled."""

import itertools
import os
import signal
from pathlib import Path

import pytest
from journal import JournalProducer, archived_and_clean, assert_archived_once
from servers import Servers
from stores import s3_store
from worker_slots import slots, wait_until, worker_config

from headrace.archiver.failpoints import FAILPOINTS

KILLS = int(os.environ.get("HEADRACE_KILLS", "22"))
PARTITIONS = 3


@pytest.mark.servers
@pytest.mark.timeout(1200)
def test_kills_at_every_failpoint_lose_and_double_nothing(servers: Servers, tmp_path: Path) -> None:
    """Two workers are killed in turn at each failpoint, at its first, second or third hit, while events come in."""
    topic, store = servers.new_topic(PARTITIONS), s3_store(servers)
    configs = [worker_config(servers.kafka, store.url, topic, n, group=topic) for n in range(2)]
    env = {**os.environ, **servers.env}
    plan = list(itertools.islice(itertools.cycle(itertools.product((1, 2, 3), FAILPOINTS)), KILLS))
    killed: dict[str, int] = {}
    with JournalProducer(servers.kafka, topic, events_per_s=1000) as journal, slots(configs, env, tmp_path) as pair:
        points: dict[int, str] = {}
        for n, (hit, point) in enumerate(plan):
            slot = n % 2
            if pair[slot].process is not None:
                assert pair[slot].wait_for_end() == -signal.SIGKILL, points[slot]
                killed[points[slot]] = killed.get(points[slot], 0) + 1
            # Cleaning follows the first commit after an assignment only, so it has one hit in a process's life.
            points[slot] = point
            pair[slot].start((point, 1 if point == "after-cleaning" else hit, signal.SIGKILL))
        for slot, point in points.items():
            assert pair[slot].wait_for_end() == -signal.SIGKILL, point
            killed[point] = killed.get(point, 0) + 1
        journal.stop()
        for worker in pair:
            worker.start()
        wait_until(lambda: archived_and_clean(store, topic, journal.acked), "everything archived, nothing left over")
        for worker in pair:
            assert worker.leave() == 0
    assert sum(killed.values()) == KILLS
    assert set(killed) == set(FAILPOINTS[: min(KILLS, len(FAILPOINTS))])
    assert_archived_once(store, topic, journal.acked)
    print(f"{KILLS} kills, {len(journal.acked)} acknowledged events: 0 lost, 0 doubled; by point: {killed}")
