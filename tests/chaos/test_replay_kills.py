"""kill -9 of a replay into Kafka, at random moments, again and again until it is through: nothing lost or doubled.

HEADRACE_REPLAY_KILLS sets how many kills (5), HEADRACE_SEED the moments.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from random import Random

import pytest
from archiving import HEADRACE, Finished, plain_environment, run_headrace
from kafka_oracle import read_topic
from servers import Servers
from small_archive import NOV_23_MS, Rec, SmallArchive
from stores import s3_store

KILLS = int(os.environ.get("HEADRACE_REPLAY_KILLS", "5"))
SEED = int(os.environ.get("HEADRACE_SEED", "1"))
PARTITIONS, ROWS = 2, 60_000
STEP = 15_000


def record(partition: int, offset: int) -> Rec:
    headers: list[tuple[str, bytes | None]] = [("n", b"%d" % offset)] if offset % 1_000 == 0 else []
    return Rec(partition, offset, b"%d" % offset, b"k%d" % (offset % 7), NOV_23_MS + offset % 50, headers)


@pytest.mark.servers
@pytest.mark.timeout(3000)
def test_a_replay_that_is_killed_at_random_sends_every_record_once(servers: Servers) -> None:
    """After each kill the same command goes on. Plain consumers see each record once, in order; the receipt holds."""
    store, rng = s3_store(servers), Random(SEED)
    print(f"seed {SEED}")
    archive = SmallArchive("killed", form="raw", store=store)
    for start in range(0, ROWS, STEP):
        archive.commit([record(p, o) for p in range(PARTITIONS) for o in range(start, start + STEP)])
    env = {**servers.env, "HEADRACE_ARCHIVE": store.url}
    target, command = new_target(servers)
    span_s = run_for(command, env, None)[1]  # a run in peace: the kills are spread over so long
    check(servers, target, run_headrace(command, env, timeout_s=300), env)
    killed, replays, resumed = 0, 0, 0
    while killed < KILLS:
        target, command = new_target(servers)
        while killed < KILLS and run_for(command, env, rng.uniform(0, span_s))[0] == -signal.SIGKILL:
            killed += 1
        last = run_headrace(command, env, timeout_s=300)
        assert last.code == 0, last.output
        replays += 1
        resumed += "by earlier runs" in last.output
        check(servers, target, last, env)
    print(f"{killed} kills of {replays} replays; {resumed} went on with what earlier runs had sent")


def new_target(servers: Servers) -> tuple[str, list[str]]:
    """Make a topic; return it with the command that replays into it."""
    target = servers.new_topic(PARTITIONS, {"retention.ms": "-1"})
    return target, ["replay", "killed", "--into", f"kafka:{target}"]


def run_for(command: list[str], env: Mapping[str, str], seconds: float | None) -> tuple[int, float]:
    """Start the replay and kill it so long after it began to work; return its exit code and how long it worked."""
    with subprocess.Popen(
        [*HEADRACE, *command],
        env={**plain_environment(), **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        while not (line := process.stderr.readline()).startswith("replay "):
            assert line, "the replay ended before it began"
        began = time.monotonic()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        return process.wait(), time.monotonic() - began


def check(servers: Servers, target: str, last: Finished, env: Mapping[str, str]) -> None:
    """Hold the target, as a plain consumer sees it, against what was archived, and the receipt against the target."""
    view = read_topic(servers.kafka, target)
    for partition in range(PARTITIONS):
        found = [seen for (p, _), seen in sorted(view.records.items()) if p == partition]
        wanted = [record(partition, offset) for offset in range(ROWS)]
        assert [(s.key, s.value, list(s.headers), s.timestamp) for s in found] == [
            (r.key, r.value, r.headers, r.timestamp) for r in wanted
        ]
    name = next(line.split()[1] for line in last.stderr.splitlines() if line.startswith("replay "))
    verified = run_headrace(["verify", "--receipt", name, "--json"], env)
    assert verified.code == 0, verified.output
    assert json.loads(verified.stdout)["checked"] == {"targets": 1, "records": PARTITIONS * ROWS}
