"""A real Prometheus over real endpoints: an alert fires, and every query of the Grafana dashboard gives data."""

import json
import re
import subprocess
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from archiving import Archive
from debian_tools import prometheus
from house.tree import ROOT
from kafka_changes import numbered, produce
from scraping import get
from servers import Servers
from verb_running import started
from worker_slots import wait_until

from headrace.archiver.kafka_metadata import KafkaMetadata
from headrace.local.ports import choose
from headrace.producer import EventLog
from headrace.schemas import Pin

pytestmark = pytest.mark.servers

DASHBOARD = json.loads((ROOT / "docker" / "grafana" / "headrace.json").read_text())


def queries() -> list[tuple[str, str]]:
    """Every query of the dashboard, with its panel's title, for all topics."""
    return [(p["title"], t["expr"].replace("$topic", ".*")) for p in DASHBOARD["panels"] for t in p["targets"]]


@contextmanager
def scraping(folder: Path, targets: list[str]) -> Iterator[str]:
    """Run Prometheus with the project's alert rules, at one scrape a second, and yield its address."""
    rules = (ROOT / "docker" / "prometheus" / "headrace.rules.yml").read_text()
    # An alert that waits for minutes fires at once here: how long each one waits is what promtool's tests are for.
    (folder / "rules.yml").write_text(
        "\n".join(line for line in rules.splitlines() if not line.startswith("        for:"))
    )
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "headrace", "static_configs": [{"targets": targets}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    tool, port = prometheus(), choose(1, Random())[0]
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [tool.path, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}"],
            env=tool.env, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
        )  # fmt: skip
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


def asked(url: str, path: str) -> Any:
    try:
        answer = get(f"{url}{path}")
    except OSError:
        return None
    return json.loads(answer.body)["data"] if answer.status == 200 else None


def answer_of(url: str, expression: str) -> list[Any]:
    data = asked(url, f"/api/v1/query?query={urllib.parse.quote(expression)}")
    return data["result"] if data else []


def test_alerts_fire_and_every_query_gives_data(servers: Servers, tmp_path: Path) -> None:
    """Half an hour's retention and no archiver: losing-data fires for that topic; each panel has something to show."""
    archive, topic = Archive(servers), servers.new_topic(2)
    doomed = servers.new_topic(1, {"retention.ms": "1800000"})
    if "pin" not in KafkaMetadata({"bootstrap.servers": servers.kafka}).topics():
        servers.new_topic(1, name="pin")
    produce(servers.kafka, doomed, numbered("v", 0, 10))
    spool = tmp_path / "spool"
    log = EventLog(service="web", spool=spool, ship="separate")
    assert log.emit(Pin(user_id=7, pin_id=1, action="SAVE"))
    log.close(5)
    with ExitStack() as stack:
        looks = ("exporter", "--listen", "127.0.0.1:0", "--every", "1", "--topic", topic, "--topic", doomed)
        _, exporter = stack.enter_context(started(archive, *looks, "--group", archive.group))
        arguments = ("archive", "--raw", topic, "--group", archive.group, "--flush-interval", "0.5")
        _, archiver = stack.enter_context(started(archive, *arguments, "--metrics", "127.0.0.1:0"))
        _, shipper = stack.enter_context(started(archive, "ship", str(spool), "--metrics", "127.0.0.1:0"))
        targets = [said.url().split("/")[2] for said in (exporter, archiver, shipper)]
        url = stack.enter_context(scraping(tmp_path, targets))
        written = 0

        def firing() -> set[tuple[str, str]]:
            data = asked(url, "/api/v1/alerts") or {"alerts": []}
            return {
                (each["labels"]["alertname"], each["labels"].get("topic", ""))
                for each in data["alerts"] if each["state"] == "firing"
            }  # fmt: skip

        def all_answer() -> bool:
            nonlocal written
            produce(servers.kafka, topic, numbered("v", written, written + 5))  # rates need something to go on
            written += 5
            return not [title for title, expression in queries() if not answer_of(url, expression)]

        wait_until(lambda: ("HeadraceLosingData", doomed) in firing(), "the alert fires")
        assert ("HeadraceLosingData", topic) not in firing()
        assert ("HeadraceWarning", doomed) in firing()  # never-started
        try:
            wait_until(all_answer, "every query gives data")
        except AssertionError:
            assert [each for each in queries() if not answer_of(url, each[1])] == []
        assert [each for each in queries() if "NaN" in json.dumps(answer_of(url, each[1]))] == []


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    """Every metric of a query is on the page that a test compares with the code; every panel has a query."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    names = {word for _, text in queries() for word in re.findall(r"headrace_\w+", text)}
    assert len(names) > 15
    assert {name for name in names if f"`{name}" not in page} == set()
    assert all(panel["targets"] for panel in DASHBOARD["panels"])
