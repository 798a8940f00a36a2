"""Metrics of a prefork server: gunicorn with three workers on a real Kafka, scraped over HTTP."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from servers import Servers

pytestmark = pytest.mark.servers

APP = """
import os
import sys
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from headrace.producer import EventLog
from headrace.producer.prometheus import export
from headrace.schemas import Pin

log = EventLog(service="web", kafka=os.environ["KAFKA"], topic=os.environ["TOPIC"], spool=os.environ["SPOOL"])
export(log)

def app(environ, start_response):
    if environ["PATH_INFO"] == "/metrics":
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        body, kind = generate_latest(registry), CONTENT_TYPE_LATEST
    else:
        log.emit(Pin(user_id=1, pin_id=1, action="SAVE"))
        log.emit(Pin, user_id=1, pin_id=None, action="SAVE")
        body, kind = str(os.getpid()).encode(), "text/plain"
    start_response("200 OK", [("Content-Type", kind), ("Connection", "close")])
    return [body]
"""

CONFIG = """
from prometheus_client import multiprocess

def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
"""


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def scrape(url: str) -> dict[str, float]:
    """One scrape; repeated where prometheus_client meets a file that a new worker is just making, and answers 500."""
    found: list[str] = []

    def answered() -> bool:
        try:
            found.append(get(url + "/metrics"))
        except urllib.error.HTTPError as error:
            return error.code != HTTPStatus.INTERNAL_SERVER_ERROR
        return True

    until(answered)
    return {
        sample.name.removeprefix("headrace_producer_") + "".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(found[0])
        for sample in family.samples
    }


def until(true: Callable[[], bool], timeout_s: float = 180) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        get(url + "/metrics")
    except OSError:
        return False
    return True


def test_a_scrape_sums_over_workers_dead_ones_too(servers: Servers, tmp_path: Path) -> None:
    """Any worker's /metrics tells what all three did; what a killed one had counted stays in the sum, and its gauges
    go with it."""
    (tmp_path / "prefork_app.py").write_text(APP)
    (tmp_path / "conf.py").write_text(CONFIG)
    for folder in ("metrics", "spool"):
        (tmp_path / folder).mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "KAFKA": servers.kafka,
        "TOPIC": servers.new_topic(),
        "SPOOL": str(tmp_path / "spool"),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"),
    }
    command = [sys.executable, "-m", "gunicorn", "--workers", "3", "--preload", "--bind", f"127.0.0.1:{port}"]
    server = subprocess.Popen(
        [*command, "--config", "conf.py", "--log-level", "error", "prefork_app:app"], cwd=tmp_path, env=environment
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: answers(url))
        sent, pids = 0, set[int]()
        while len(pids) < 3:
            pids.add(int(get(url + "/emit")))
            sent += 1
        for _ in range(60):
            get(url + "/emit")
            sent += 1
        until(lambda: scrape(url).get("acked_total") == sent)
        before = scrape(url)
        assert (before["accepted_total"], before["dropped_totalinvalid"]) == (sent, sent)
        assert before["durabilitydisk"] == 3
        assert before["queued"] == 0
        assert before["seconds_until_droplow"] > 0
        killed = pids.pop()
        os.kill(killed, signal.SIGKILL)
        until(lambda: scrape(url)["durabilitydisk"] == 2)
        assert scrape(url)["accepted_total"] == sent
        while int(get(url + "/emit")) in pids:
            sent += 1
        sent += 1
        until(lambda: scrape(url)["acked_total"] == sent)
        after = scrape(url)
        assert (after["accepted_total"], after["dropped_totalinvalid"]) == (sent, sent)
        assert after["durabilitydisk"] == 3
    finally:
        server.terminate()
        assert server.wait(180) == 0
