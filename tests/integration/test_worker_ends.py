"""A worker that fails before it is in its group ends, so that its supervisor can start another one."""

import subprocess
import sys

import pytest
from servers import Servers

pytestmark = pytest.mark.servers

FAILS = """
import os, sys, threading
from headrace.archiver import worker_process
from headrace.archiver.clock import SystemClock
from headrace.archiver.kafka_source import consumer_config
from headrace.archiver.sources import make_source

kafka, topic, reading = sys.argv[1:]

def run():
    config = consumer_config(kafka, topic, instance_id="i", queue_kb_max=1024)
    kept.append(make_source(
        reading, config, [topic], None, clock=SystemClock(threading.Event()), warn=print, poll_bytes=1 << 20,
        random_bytes=os.urandom,
    ))
    raise RuntimeError("made by the test")

kept = []
worker_process.end_with(run)
"""


@pytest.mark.parametrize("reading", ["batches", "messages"])
def test_a_worker_that_fails_before_it_joined_ends(servers: Servers, reading: str) -> None:
    """Nothing waits for a consumer whose group has not answered; the error is told, and the code is 1."""
    topic = servers.new_topic(partitions=1)
    ended = subprocess.run(
        [sys.executable, "-c", FAILS, servers.kafka, topic, reading],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert "RuntimeError: made by the test" in ended.stderr
