"""`headrace.replay.spark` on a cluster: Spark's master, two workers and two executors, processes of their own.

It takes a minute on two idle cores and many on busy ones: HEADRACE_SPARK_CLUSTER=1 runs it.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from archiving import Archive, plain_environment
from journal import JournalProducer, archived_and_clean
from servers import Servers
from spark_session import cluster_environment
from stores import s3_store
from worker_slots import slots, wait_until, worker_config

import headrace.replay
from headrace.archiver.commit_log import read_state
from headrace.archiver.limits import Limits

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(1200),
    pytest.mark.skipif("HEADRACE_SPARK_CLUSTER" not in os.environ, reason="a slow proof: HEADRACE_SPARK_CLUSTER=1"),
]
PROGRAM = Path(__file__).parents[1] / "spark_snapshots.py"
SNAPSHOTS = 2
PARTITIONS = 3


class Cluster:
    """The program that reads snapshots on a Spark cluster."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def snapshot(self, seq: int) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seq}\n")
        self._process.stdin.flush()
        return self._answer()

    def tasks(self) -> dict[str, int]:
        """End the program; return how many tasks each executor ran."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the Spark program ended"
        found: dict[str, Any] = json.loads(line)
        return found


@contextmanager
def cluster(archive: Archive, topic: str, log: Path) -> Iterator[Cluster]:
    environment = {
        **plain_environment(),
        **archive.env,
        **cluster_environment(),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, str(PROGRAM), archive.url, topic],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield Cluster(process)
            assert process.wait(300) == 0
        except BaseException:
            print(log.read_text()[-4000:])
            raise
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its master, workers and executors


def test_a_cluster_counts_a_snapshot_as_all_others_do(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two executors, DuckDB, pandas and the command line: the same counts and sums of the same snapshots, while the
    archiver commits and is killed. Both executors took part.
    """
    archive = Archive(servers)
    for name, value in archive.env.items():
        monkeypatch.setenv(name, value)
    topic, store = servers.new_topic(PARTITIONS), s3_store(servers, archive.url)
    config = worker_config(servers.kafka, archive.url, topic, 0, group=archive.group)
    config = replace(config, limits=Limits(flush_interval_s=1.0), flush_when_idle=False)  # few files: each costs Spark
    with (
        JournalProducer(servers.kafka, topic, events_per_s=200) as journal,
        slots([config], {**os.environ, **archive.env}, tmp_path) as (slot,),
    ):
        slot.start()
        wait_until(lambda: read_state(store, topic).seq > 3, "some commits")
        with cluster(archive, topic, tmp_path / "spark.log") as spark:
            seen = read_state(store, topic).seq
            for _ in range(SNAPSHOTS):
                slot.start(("files-uploaded", 2, signal.SIGKILL))  # leaves files that no commit names
                assert slot.wait_for_end() == -signal.SIGKILL
                slot.start()
                wait_until(lambda seen=seen: read_state(store, topic).seq > seen, "a commit")  # type: ignore[misc]
                seen = read_state(store, topic).seq
                told = by_others(archive, topic, seen)
                assert spark.snapshot(seen) == told["pandas"] == told["duckdb"]
                assert told["sql"] == {name: told["pandas"][name] for name in ("rows", "users", "pins")}
            tasks = spark.tasks()
        journal.stop()
        wait_until(lambda: archived_and_clean(store, topic, journal.acked), "everything archived")
        assert slot.leave() == 0
    assert len(tasks) == 2
    assert min(tasks.values()) > 0, tasks


def by_others(archive: Archive, topic: str, at: int) -> dict[str, dict[str, Any]]:
    records = headrace.replay.open(archive.url).read(topic, at=at)
    frame, relation = records.pandas(), records.duckdb(duckdb.connect())
    pandas = {
        "rows": len(frame),
        "users": int(frame["user_id"].sum()),
        "pins": int(frame["pin_id"].sum()),
        "first": int(frame["_offset"].min()),
        "last": int(frame["_offset"].max()),
        "by_dt": {str(dt): int(count) for dt, count in frame["dt"].value_counts().items()},
    }
    sums = "count(*), sum(user_id)::bigint, sum(pin_id)::bigint, min(_offset), max(_offset)"
    rows = relation.aggregate(sums).fetchall()[0]
    by_dt = dict(relation.aggregate("dt::varchar, count(*)").fetchall())
    duck = {**dict(zip(("rows", "users", "pins", "first", "last"), rows, strict=True)), "by_dt": by_dt}
    query = f'select count(*) as rows, sum(user_id) as users, sum(pin_id) as pins from "{topic}"'
    told = json.loads(archive.must("sql", query, "--at", f"{topic}={at}", "--json").stdout)
    return {"pandas": pandas, "duckdb": duck, "sql": told}
