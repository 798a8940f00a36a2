"""Live workers on a real Kafka: killed and joined in the middle of windows, and held against the archive."""

import fcntl
import json
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from archiving import Archive
from click.testing import CliRunner
from confluent_kafka import Producer
from monitor_kit import S
from monitor_logins import RULES, login, logins
from monitor_python import command, environment
from servers import Servers
from small_archive import Rec
from worker_slots import wait_until

from headrace.cli.monitor import command as monitor

pytestmark = pytest.mark.servers


class LiveWorker:
    """`headrace monitor run --print` as a process of its own; what it printed is read back from its file."""

    def __init__(self, servers: Servers, folder: Path, name: str, *options: str) -> None:
        self.out = folder / f"{name}.jsonl"
        self.err = folder / f"{name}.log"
        fixed = ["monitor", "run", str(folder / "rules.toml"), "--kafka", servers.kafka, "--print"]
        fixed += ["--kafka-config", '{"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000}']
        with self.out.open("ab") as out, self.err.open("ab") as err:
            self.process = subprocess.Popen(
                [*command(), *fixed, "--state", str(folder / name), *options],
                env=environment(),
                stdout=out,
                stderr=err,
            )

    def said(self, kind: str) -> list[dict[str, Any]]:
        whole = [line for line in self.out.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [each for line in whole if (each := json.loads(line))["kind"] == kind]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


@contextmanager
def workers() -> Iterator[list[LiveWorker]]:
    started: list[LiveWorker] = []
    try:
        yield started
    finally:
        for each in started:
            if each.process.poll() is None:
                each.kill()


def send(servers: Servers, topic: str, records: list[Rec]) -> None:
    producer = Producer({"bootstrap.servers": servers.kafka})
    for n, each in enumerate(records):
        producer.produce(topic, each.value, partition=each.partition, timestamp=each.timestamp)
        if n % 1_000 == 0:
            producer.poll(0)
    assert producer.flush(60) == 0


def points(*those: LiveWorker) -> dict[tuple[Any, ...], Any]:
    """All points that were said, by what they are about; the same point said twice must be equal."""
    found: dict[tuple[Any, ...], Any] = {}
    for worker in those:
        for each in worker.said("point"):
            key = each["rule"], json.dumps(each["labels"]), each["end_us"]
            assert found.setdefault(key, each) == each
    return found


def alerts(*those: LiveWorker) -> list[dict[str, Any]]:
    """All alerts that were said, once each, in the order of their windows."""
    said = [each for worker in those for each in worker.said("alert")]
    found = {(each["fingerprint"], each["window_end_us"], each["state"]): each for each in said}
    return ordered(found.values())


def ordered(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda each: (each["rule"], each["window_end_us"], str(each["labels"]), each["state"]))


def test_kills_and_rebalances_leave_every_window_as_the_archive_has_it(servers: Servers, tmp_path: Path) -> None:
    """kill -9 in the middle of windows, a second worker, and a third for the first: all windows and alerts are those
    that a backtest over the archive of the same records gives; late, doubled and broken events included."""
    prefix = f"{servers.new_prefix()}."
    source = servers.new_topic(3, name=f"{prefix}login")
    (tmp_path / "rules.toml").write_text(RULES)
    # Ahead of the clock, so that only what was read closes windows: records of the past would come after the clock.
    start_us = (int(time.time()) // 60 * 60 + 600) * S
    records = logins(start_us, 6_000, 600, 5)
    last_ms = {number: max(each.timestamp for each in records if each.partition == number) for number in range(3)}
    end_us = (min(last_ms.values()) // 1_000 - 10) // 10 * 10 * S
    third = len(records) // 3
    parts = [records[:third], records[third : 2 * third], records[2 * third :]]
    options = ["--group", f"{prefix}g", "--topic-prefix", prefix, "--from-start", "--checkpoint", "0.2"]
    with workers() as started:

        def start(name: str) -> LiveWorker:
            started.append(LiveWorker(servers, tmp_path, name, *options))
            return started[-1]

        def reached(rule: str, time_us: int) -> bool:
            said = [each for worker in started for each in worker.said("point")]
            return bool(any(each["rule"] == rule and each["end_us"] >= time_us for each in said))

        def read_up_to(time_us: int, *those: LiveWorker) -> None:
            def done() -> bool:
                for each in started:
                    assert each.process.poll() in {None, -9}, each.err.read_text()[-3000:]
                return any(each["end_us"] >= time_us for worker in those for each in worker.said("point"))

            wait_until(done, f"windows up to {time_us}")

        first = start("a")
        send(servers, source, parts[0])
        read_up_to(start_us + 150 * S, first)
        second = start("b")
        send(servers, source, parts[1])
        first.kill()
        last = start("c")
        send(servers, source, parts[2])
        for name in ("failed", "gone", "methods"):
            wait_until(lambda rule=name: reached(rule, end_us), f"{name} up to the end")  # type: ignore[misc]
        codes = [each.end() for each in (second, last)]
        assert codes == [0, 0], second.err.read_text()[-2000:] + last.err.read_text()[-2000:]

    archive = Archive(servers)
    archive.must("archive", "--topic", source, "--until-idle", "--group", archive.group)
    moment = "%Y-%m-%dT%H:%M:%SZ"
    since, until = (time.strftime(moment, time.gmtime(at // S)) for at in (start_us, end_us))
    asked = ["monitor", "backtest", str(tmp_path / "rules.toml"), "--topic-prefix", prefix, "--past", "60s"]
    tried = archive.must(*asked, "--from", since, "--to", until, "--json", "--points")
    lines = [json.loads(line) for line in tried.stdout.splitlines()]
    expected = {
        (each["rule"], json.dumps(each["labels"]), each["end_us"]): each for each in lines if each["kind"] == "point"
    }
    live = points(*started)
    assert len(expected) > 300
    lacking = [key for key in expected if key not in live]
    assert lacking == []
    # What began before the first event was whole is judged by the backtest alone.
    assert {key: live[key] for key in expected} == expected
    told = [each for each in lines if each["kind"] == "alert"]
    same = ordered(told)
    assert [each for each in alerts(*started) if each["window_end_us"] <= end_us] == same
    assert {each["rule"] for each in same} == {"failed", "methods", "gone"}


def test_an_idle_stream_is_seen_to_stop(servers: Servers, tmp_path: Path) -> None:
    """Events now, then none at all: the drop is told by the clock, and resolved by the next event."""
    prefix = f"{servers.new_prefix()}."
    source = servers.new_topic(1, name=f"{prefix}login")
    (tmp_path / "rules.toml").write_text(
        '[rule.gone]\ntype = "login"\nwindow = "2s"\nhop = "1s"\ngrace = "1s"\n'
        'drop = { from_at_least = 5, before = "4s" }\n'
    )
    options = ["--group", f"{prefix}g", "--topic-prefix", prefix, "--checkpoint", "0.2"]
    with workers() as started:
        worker = LiveWorker(servers, tmp_path, "a", *options)
        started.append(worker)
        count = iter(range(1_000_000))

        def some(number: int = 20) -> None:
            now_us = time.time_ns() // 1_000
            made = [login(now_us, next(count)) for _ in range(number)]
            send(servers, source, [Rec(0, 0, value, None, now_us // 1_000) for value in made])

        def busy() -> bool:
            assert worker.process.poll() is None, worker.err.read_text()[-3000:]
            some()
            return len([each for each in worker.said("point") if each["value"] >= 5]) >= 8

        wait_until(busy, "windows are full")
        wait_until(lambda: any(each["state"] == "firing" for each in worker.said("alert")), "that it stopped is told")

        def over() -> bool:
            some(1)
            return any(each["state"] == "resolved" for each in worker.said("alert"))

        wait_until(over, "it is told that it goes on")
        assert worker.end() == 0


def test_a_folder_of_another_worker_is_refused(tmp_path: Path) -> None:
    """Two workers in one folder would write over each other: the second is told, before it asks Kafka anything."""
    folder = tmp_path / "state"
    folder.mkdir()
    with (folder / "owner").open("w") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        asked = ["run", "ready", "--kafka", "127.0.0.1:1", "--state", str(folder), "--print"]
        shown = CliRunner().invoke(monitor, asked)
    assert (shown.exit_code, "is another worker's, which runs" in shown.stderr) == (2, True), shown.output
