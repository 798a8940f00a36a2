"""`--memory` holds for the whole process, as the system counts it. `python bench/memory.py` is the long form."""

import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer
from servers import Servers
from stores import s3_store

from headrace.archiver.commit_log import read_state

MEMORY_MIB = 96
BODY_BYTES, BODIES = 1_000_000, 220
SMALL, PARTITIONS = 40_000, 200
RUN_S = 300

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of a process"),
]


def peak_mib(servers: Servers, url: str, topics: list[str], log: Path) -> float:
    """Archive topics with the real command; return the high-water mark of its worker's memory."""
    command = [sys.executable, "-c", "from headrace.cli.main import main; main()", "archive", "--until-idle"]
    command += ["--memory", str(MEMORY_MIB), "--group", f"memory-{log.stem}"]
    command += [word for topic in topics for word in ("--raw", topic)]
    env = {**os.environ, **servers.env, "HEADRACE_ARCHIVE": url}
    peak = 0
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=env, stdout=output, stderr=output)
    until = time.monotonic() + RUN_S
    try:
        while process.poll() is None:
            assert time.monotonic() < until, log.read_text()
            for pid in re.findall(r"worker \d+ started, pid (\d+)", log.read_text()):
                try:
                    status = Path(f"/proc/{pid}/status").read_text()
                except OSError:
                    continue  # it has ended
                if mark := re.search(r"VmHWM:\s+(\d+)", status):
                    peak = max(peak, int(mark[1]))
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, log.read_text()
    return peak / 1024


def fill(servers: Servers, topic: str, bodies: int, body_bytes: int, partitions: int) -> None:
    rng = random.Random(bodies)
    producer = Producer({"bootstrap.servers": servers.kafka, "message.max.bytes": 2_000_000})
    for n in range(bodies):
        while True:
            try:
                producer.produce(topic, value=rng.randbytes(body_bytes), partition=n % partitions)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0


def test_a_worker_stays_within_its_memory(servers: Servers, tmp_path: Path) -> None:
    """Over more megabytes of large records than it may take, and small ones of many partitions, all are archived."""
    few = servers.new_topic()
    large = servers.new_topic(4, config={"max.message.bytes": "2000000"})
    small = servers.new_topic(PARTITIONS)
    fill(servers, few, 10, 10, 1)
    fill(servers, large, BODIES, BODY_BYTES, 4)
    fill(servers, small, SMALL, 84, PARTITIONS)
    url = servers.store_url
    bare = peak_mib(servers, url, [few], tmp_path / "bare.log")
    peak = peak_mib(servers, url, [large, small], tmp_path / "full.log")
    rows = {
        topic: sum(at.rows for at in read_state(s3_store(servers, url), topic).partitions()) for topic in (large, small)
    }
    assert rows == {large: BODIES, small: SMALL}
    print(f"bare {bare:.0f} MiB, then {peak:.0f} MiB")
    assert BODIES * BODY_BYTES > 2 * MEMORY_MIB << 20  # a worker that holds everything could not pass
    assert peak - bare <= MEMORY_MIB
