"""Replays into Kafka that were stopped in the middle: by a kill, by Ctrl-C, and found again after Kafka forgot them."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from replay_kit import CLOCK, FOREVER, contents, kafka, planned
from servers import Servers
from small_archive import Rec, SmallArchive
from stores import s3_store

from headrace.replay.kafka_progress import group_of, read_progress
from headrace.replay.kafka_target import read_target

pytestmark = pytest.mark.servers

ROWS = 20_000
PROGRAM = (sys.executable, "-c", "import sys; from headrace.cli.main import main; main(sys.argv[1:])")


@pytest.fixture(scope="module")
def many(servers: Servers) -> SmallArchive:
    """Two partitions in two commits, on the real store, so that another process can read them."""
    archive = SmallArchive("many", form="raw", store=s3_store(servers))
    for start in range(0, ROWS, ROWS // 2):
        archive.commit([Rec(p, o, b"%d" % o) for p in (0, 1) for o in range(start, start + ROWS // 2)])
    return archive


@dataclass(frozen=True)
class Stopped:
    """How the first run ended, and the replay's id."""

    code: int
    stderr: str
    replay: str


def environment(servers: Servers, archive: SmallArchive) -> Mapping[str, str]:
    return {**os.environ, **servers.env, "HEADRACE_ARCHIVE": archive.store.url}


def stopped(servers: Servers, archive: SmallArchive, target: str, when: int, number: int) -> Stopped:
    """Run slowly, so that a transaction is committed in the middle, and stop when so many records are visible."""
    facts = read_target(kafka(servers), target, CLOCK)
    name = planned(servers, archive, target).id
    command = [*PROGRAM, "replay", "many", "--into", f"kafka:{target}", "--rate", "2000"]
    with subprocess.Popen(command, env=environment(servers, archive), stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            found = read_progress(kafka(servers), name, facts, pause=CLOCK.pause)
            if found is not None and sum(found.done.values()) >= when:
                process.send_signal(number)
                break
        said = process.communicate(timeout=120)[1]
    return Stopped(process.returncode, said, name)


def again(servers: Servers, archive: SmallArchive, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [*PROGRAM, *arguments]
    env = environment(servers, archive)
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)


def assert_once(servers: Servers, target: str) -> None:
    found = contents(servers, target)
    assert {p: [r.value for r in each] for p, each in found.items()} == {
        p: [b"%d" % o for o in range(ROWS)] for p in (0, 1)
    }


@pytest.mark.parametrize("when", [0, 1])
def test_a_killed_replay_goes_on_where_it_was(servers: Servers, many: SmallArchive, when: int) -> None:
    """kill -9 before or after the first records are visible, then the same command: nothing twice, nothing missing."""
    target = servers.new_topic(2, FOREVER)
    assert stopped(servers, many, target, when, signal.SIGKILL).code == -signal.SIGKILL
    last = again(servers, many, "replay", "many", "--into", f"kafka:{target}")
    assert last.returncode == 0, last.stderr
    assert f"replayed {2 * ROWS:,} records of many" in last.stdout
    assert ("by earlier runs" in last.stdout) == bool(when)
    assert "target verified" in last.stdout
    assert_once(servers, target)


def test_ctrl_c_says_the_command_that_goes_on(servers: Servers, many: SmallArchive) -> None:
    """Exit 130; the line that is printed, typed as it stands in an environment without ours, ends the replay."""
    target = servers.new_topic(2, FOREVER)
    first = stopped(servers, many, target, 1, signal.SIGINT)
    assert first.code == 130
    (line,) = (line for line in first.stderr.splitlines() if "--resume" in line)
    program, *arguments = shlex.split(line)
    assert program == "headrace"
    env = {name: value for name, value in environment(servers, many).items() if not name.startswith("HEADRACE")}
    last = subprocess.run([*PROGRAM, *arguments], env=env, capture_output=True, text=True, timeout=300, check=False)
    assert last.returncode == 0, last.stderr
    assert "by earlier runs" in last.stdout
    assert_once(servers, target)


@pytest.mark.parametrize("foreign", [False, True])
def test_progress_that_kafka_forgot_is_made_anew_from_the_target(
    servers: Servers, many: SmallArchive, foreign: bool
) -> None:
    """What the target holds is compared with the plan's first records; with anything else in it the replay refuses."""
    target = servers.new_topic(2, FOREVER)
    first = stopped(servers, many, target, 1, signal.SIGKILL)
    admin = AdminClient(kafka(servers))
    (forgotten,) = admin.delete_consumer_groups([group_of(first.replay)]).values()
    forgotten.result(timeout=120)
    if foreign:
        producer = Producer(kafka(servers))
        producer.produce(target, b"foreign", partition=1)
        producer.flush()
    last = again(servers, many, "replay", "--resume", first.replay)
    if foreign:
        assert last.returncode == 2, last.stderr
        assert "are not its first ones" in last.stderr
        return
    assert last.returncode == 0, last.stderr
    assert "by earlier runs" in last.stdout
    assert_once(servers, target)
