"""States made for real on servers: lag, --check, --explain, the metrics and the page say the same of each.

The servers are this module's own: some are broken on the way, and what other tests' producers tell of themselves in
Kafka would be found here too.
"""

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import lag_states as states
import pytest
from archiving import Archive
from odd_s3 import silent_port
from scraping import samples_of
from servers import Servers, running
from worker_slots import wait_until

from headrace.archiver.metric_collector import exposed
from headrace.archiver.oncall.looking import Looker, Watcher
from headrace.archiver.oncall.metric_list import LAG_METRICS
from headrace.archiver.oncall.thresholds import Thresholds
from headrace.archiver.oncall.whole_rules import WHOLE_NAMES
from headrace.cli.dashboard_data import page_json
from headrace.cli.looks import make_looker
from headrace.cli.servers import open_to_look

pytestmark = pytest.mark.servers


@dataclass(frozen=True)
class Row:
    """A state, and what all say of it. `waiting` None: not known. `silent`: what does not answer.

    `known_from`: where the archive's position comes from. `unreadable`: its log is damaged, which is an error.
    """

    make: Callable[[Servers, Archive, ExitStack], str]
    state: str
    waiting: int | None
    rules: frozenset[str]
    code: int
    silent: str = ""
    known_from: str = "log"
    unreadable: bool = False


def row(
    make: Callable[[Servers, Archive, ExitStack], str], state: str, *rest: Any, rules: str = "", **more: Any
) -> Any:
    made = Row(make, state, rest[0], frozenset(rules.split()), rest[1], **more)
    return pytest.param(made, id=make.__name__)


TABLE = (
    # made by, state, records behind, --check's exit code
    row(states.caught_up, "caught-up", 0, 0),
    row(states.behind, "behind", 4, 0),
    row(states.long_behind, "behind", 4, 1, rules="behind"),
    row(states.stalled, "behind", 4, 2, rules="stalled behind"),
    row(states.rewound, "behind", 4, 1, rules="rewound"),
    row(states.quarantined, "caught-up", 0, 1, rules="quarantined"),
    row(states.schema_conflict, "caught-up", 0, 1, rules="schema-conflict"),
    row(states.damaged_log, "unknown", None, 2, rules="damaged-log", unreadable=True),
    row(states.new, "not-archived", 3, 1, rules="never-started"),
    row(states.idle, "idle", 0, 0),
    row(states.losing, "not-archived", 3, 2, rules="losing-data never-started"),
    row(states.lost, "behind", 2, 2, rules="data-lost"),
    row(states.recreated, "not-archived", 2, 1, rules="never-started"),
    row(states.compacted, "not-archived", 1, 1, rules="never-started"),
    row(states.hanging_transaction, "caught-up", 0, 1, rules="open-transaction"),
    row(states.paused_worker, "behind", 4, 2, rules="not-running"),
    row(states.slow_s3, "behind", 4, 0),
    row(states.expired_credentials, "behind", 4, 2, rules="upload-failing", silent="s3", known_from="group"),
    row(states.s3_down, "behind", 4, 2, rules="upload-failing", silent="s3", known_from="group"),
    row(states.truncated, "unknown", None, 2, rules="truncated"),
    row(states.kafka_down, "unknown", None, 3, silent="kafka"),
)
SILENT_S = 11.0
"""A worker that lives is heard each ten seconds; a minute would be long to wait here."""
THRESHOLDS = Thresholds(transaction_s=0.0)


@pytest.fixture(scope="module")
def own_servers() -> Iterator[Servers]:
    with running({name: value for name, value in os.environ.items() if name != "HEADRACE_TEST_DIR"}) as servers:
        yield servers


def less_patient(monkeypatch: pytest.MonkeyPatch, row: Row) -> None:
    if row.make is states.paused_worker:
        for module in ("archiver.oncall.rules", "archiver.oncall.lag", "archiver.oncall.looking", "cli.lag_views"):
            monkeypatch.setattr(f"headrace.{module}.SILENT_S", SILENT_S)
    if row.silent == "kafka":
        monkeypatch.setattr("headrace.archiver.kafka_metadata.FIRST_CONTACT_TIMEOUT_S", 1.0)


@pytest.mark.parametrize("row", TABLE)
def test_all_say_the_same(row: Row, own_servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """One state, six ways to hear of it; no NaN anywhere, and no lag of an idle topic."""
    archive = Archive(own_servers)
    with ExitStack() as stack:
        topic = row.make(own_servers, archive, stack)
        for name, value in archive.env.items():
            monkeypatch.setenv(name, value)
        less_patient(monkeypatch, row)
        arguments = ("lag", "--topic", topic, "--group", archive.group, "--max-transaction", "0")

        def told() -> Any:
            return json.loads(archive.call(*arguments, "--json").stdout)

        def is_so() -> bool:
            found = told()
            (partition,) = found["partitions"]
            return (partition["state"], partition["records_behind"]) == (row.state, row.waiting) and {
                each["rule"] for each in found["findings"]
            } == row.rules

        try:
            wait_until(is_so, "it is so")
        finally:
            print(json.dumps(told(), indent=1))  # pytest shows it with a failure
        _all_agree(row, archive, topic, arguments, told())


def test_an_s3_that_never_answers(own_servers: Servers) -> None:
    """It takes the connection and says nothing: lag ends all the same, with what the group last told Kafka."""
    archive = Archive(own_servers)
    with ExitStack() as stack:
        topic = states.behind(own_servers, archive, stack)
        silent = {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{stack.enter_context(silent_port())}"}
        asked = ("lag", "--topic", topic, "--group", archive.group, "--json")
        finished = archive.run(*asked, env=silent)  # fails when it does not end in time
    told = json.loads(finished.stdout)
    (partition,) = told["partitions"]
    assert (partition["state"], partition["records_behind"]) == ("behind", 4), finished.output
    assert (partition["durable_next"], partition["durable_from"]) == (10, "group")
    assert "S3 was not asked" in partition["note"]
    assert told["unanswered"]
    assert finished.code == 3


def _all_agree(row: Row, archive: Archive, topic: str, arguments: Sequence[str], told: Any) -> None:
    (partition,) = told["partitions"]
    assert (partition["durable_from"], partition["durable_next"] is None) == (
        row.known_from,
        row.unreadable or row.state in NOTHING_DURABLE,
    )
    assert bool(told["unanswered"]) == bool(row.silent)
    shown = archive.call(*arguments, "-v")
    assert shown.code == (3 if row.silent else int(row.unreadable)), shown.output
    assert f" {row.state} " in shown.stdout.splitlines()[1]
    assert "nan" not in shown.stdout.lower()
    checked = archive.call(*arguments, "--check")
    assert checked.code == row.code, checked.output
    assert checked.stdout.split(":")[0] == told["verdict"].replace("-", " ")
    explained = archive.call(*arguments, "--explain", f"{topic}/0").stdout
    of_partition = row.rules.difference(WHOLE_NAMES)
    assert all(f"docs/runbook/{rule}.md" in explained for rule in of_partition)
    assert ("no rule has anything to say" in explained) == (not of_partition)
    assert all(rule in shown.stdout for rule in row.rules)
    status = _looker(archive, topic).look()
    metrics = samples_of(exposed(LAG_METRICS, lambda: status)().decode())
    assert metrics["headrace_partition_state"] == {("0", row.state, topic): 1}
    counted = {} if row.waiting is None else {("0", topic): row.waiting}
    assert metrics.get("headrace_partition_records_behind", {}) == counted
    assert {labels[1] for labels in metrics.get("headrace_finding", {})} == row.rules
    assert metrics["headrace_verdict"] == {(told["verdict"],): 1}
    assert metrics["headrace_source_up"] == {(name,): int(name != row.silent) for name in ("kafka", "s3")}
    assert not any(math.isnan(value) for samples in metrics.values() for value in samples.values())
    page = _page(archive, topic)
    assert (page["verdict"], page["kafka"], page["s3"]) == (told["verdict"], row.silent != "kafka", row.silent != "s3")
    own = page["topics"][0]
    assert (own["state"], own["records_behind"], own["unknown"]) == (row.state, row.waiting or 0, row.waiting is None)
    assert {each["rule"] for each in page["findings"]} == row.rules


NOTHING_DURABLE = {"not-archived", "idle"}


def _looker(archive: Archive, topic: str) -> Looker:
    store = open_to_look(archive.url)
    kafka = {"bootstrap.servers": archive.env["HEADRACE_KAFKA"]}
    return make_looker(kafka, store, archive.url, archive.group, THRESHOLDS, [topic], with_news=True)


def _page(archive: Archive, topic: str) -> Any:
    watcher = Watcher(_looker(archive, topic), every_s=10, wait=lambda _seconds: True)
    watcher.step()
    return json.loads(page_json(watcher.status(), watcher.history(), watcher.troubles(), 10.0))
