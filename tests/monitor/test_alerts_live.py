"""A live run from the command line tells: an attack within seconds, once, until it is over."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from alert_kit import receiving, wait_until
from confluent_kafka import Producer
from monitor_logins import login
from monitor_python import command, environment
from scraping import get, scrape
from servers import Servers

from headrace.local.ports import choose
from headrace.monitor.alerts_charts import read_charts

pytestmark = pytest.mark.servers

RESTART = os.environ.get("HEADRACE_LIVE_RESTART") == "1"
"""Whether the worker is another one in the middle of the attack: the long version."""
RULES = """
[rule.failed]
about = "Someone tries many passwords."
type = "login"
measure = "ratio"
where = { success = false }
window = "3s"
hop = "1s"
grace = "1s"
above = 0.5
at_least = 5
severity = "page"
message = "{percent} of log-ins failed"
"""


class Traffic:
    """Log-ins of now, as many a second as asked for."""

    def __init__(self, servers: Servers, topic: str) -> None:
        self._producer = Producer({"bootstrap.servers": servers.kafka})
        self._topic = topic
        self._count = 0

    def send(self, *, success: bool) -> None:
        self._count += 1
        self._producer.produce(self._topic, login(time.time_ns() // 1000, self._count, success=success))
        self._producer.flush(30)


@contextmanager
def running(folder: Path, words: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([*command(), *words], env=environment(), stdout=log, stderr=log)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(60)


def end(worker: "subprocess.Popen[bytes]") -> None:
    worker.terminate()
    assert worker.wait(60) == 0


def newest(charts: Path) -> int:
    """The end of the newest window that was written; 0: none was."""
    return max((each.points[-1][0] for rule in read_charts(charts).rules for each in rule.series), default=0)


def served(url: str) -> Any:
    (series,) = json.loads(get(url).body)["rules"][0]["series"]
    return series


def test_an_attack_is_told_once_and_is_over(servers: Servers, tmp_path: Path) -> None:
    """The webhook hears that it fires, then that it ended, each once; charts and metrics show it."""
    prefix = f"{servers.new_prefix()}."
    source, alerts = servers.new_topic(name=f"{prefix}login"), servers.new_topic()
    traffic, port = Traffic(servers, source), choose(1, Random())[0]
    (tmp_path / "rules.toml").write_text(RULES)
    words = ["monitor", "run", str(tmp_path / "rules.toml"), "--kafka", servers.kafka, "--topic-prefix", prefix]
    words += ["--group", f"{prefix}g", "--state", str(tmp_path / "state"), "--alert-topic", alerts]
    with receiving() as hook:
        words += ["--webhook", f"{hook.url}/hook", "--metrics", f"127.0.0.1:{port}"]
        charts, url = tmp_path / "state" / "charts.sqlite", f"http://127.0.0.1:{port}"

        def sending(until: Callable[[], bool], *, success: bool) -> None:
            def sent_and_so() -> bool:
                traffic.send(success=success)
                return until()

            wait_until(sent_and_so)

        with running(tmp_path, words) as worker:
            sending(lambda: newest(charts) > 0, success=True)
            began = time.monotonic()
            sending(lambda: len(hook.got) >= 1, success=False)
            print(f"told {time.monotonic() - began:.1f} s after the attack began")
            wait_until(lambda: scrape(f"{url}/metrics").get("headrace_monitor_firing") == {("failed", "page"): 1})
            wait_until(lambda: [mark[1] for mark in served(f"{url}/charts.json")["marks"]] == ["firing"])
            if not RESTART:
                sending(lambda: len(hook.got) >= 2, success=True)
            end(worker)
        before = newest(charts)
        if RESTART:
            with running(tmp_path, words) as worker:
                # It goes on failing until the new worker has seen windows of its own, and then it is over.
                sending(lambda: newest(charts) > before, success=False)
                sending(lambda: len(hook.got) >= 2, success=True)
                end(worker)
        assert [each.json["state"] for each in hook.got] == ["firing", "resolved"]
    (series,) = read_charts(charts).rules[0].series
    assert [state for _, state, _ in series.marks] == ["firing", "resolved"]
