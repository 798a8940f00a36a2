"""Erasing and expiring on real servers: beside a running archiver, killed on the way, in a bucket with versions."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer
from journal import archived_rows
from servers import Servers
from small_archive import DAY_MS, pin_value
from stores import s3_store
from worker_slots import slots, wait_until, worker_config

from headrace.archiver.commit_log import read_state
from headrace.archiver.s3 import S3Store

HEADRACE = "from headrace.cli.main import main; main()"
FORGET = 1  # the user that is to be forgotten
pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def bucket(servers: Servers) -> str:
    """A bucket with versioning."""
    name = servers.new_bucket()
    servers.s3().put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


class Topic:
    """A topic with its archive in a versioned bucket: what was written, and the verbs on it."""

    def __init__(self, servers: Servers, bucket: str) -> None:
        self.servers, self.bucket = servers, bucket
        self.name, self.prefix = servers.new_topic(2), servers.new_prefix()
        self.store: S3Store = s3_store(servers, f"s3://{bucket}/{self.prefix}")
        self.env = {**os.environ, **servers.env, "HEADRACE_ARCHIVE": self.store.url}
        self.written: dict[tuple[int, int], tuple[int, int, bytes]] = {}
        self._today_ms = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS
        self._producer = Producer({"bootstrap.servers": servers.kafka, "enable.idempotence": True})

    def date(self, days_ago: int) -> str:
        return time.strftime("%Y-%m-%d", time.gmtime((self._today_ms - days_ago * DAY_MS) / 1000))

    def write(self, users: range, days_ago: int) -> None:
        """Write an event of each user to both partitions, and wait until they are archived."""
        at_ms = self._today_ms - days_ago * DAY_MS + 60_000
        for partition in (0, 1):
            for user in users:
                value = pin_value(user, at_ms=at_ms)
                note = partial(self._delivered, user, days_ago, value)
                key = b"user-%d" % user
                self._producer.produce(self.name, value, key, partition, timestamp=at_ms, on_delivery=note)
        self._producer.flush(120)
        ends = {p: max(o for q, o in self.written if q == p) + 1 for p in (0, 1)}

        def archived() -> bool:
            state = read_state(self.store, self.name)
            return all((at := state.newest(p)) is not None and at.next == end for p, end in ends.items())

        wait_until(archived, "all is archived")

    def _delivered(self, user: int, days_ago: int, value: bytes, error: Any, message: Any) -> None:
        assert error is None
        self.written[message.partition(), message.offset()] = user, days_ago, value

    def run(self, *args: str, failpoint: str = "", code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-c", HEADRACE, *args],
            env={**self.env, "HEADRACE_FAILPOINT": f"{failpoint}:1" if failpoint else ""},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == (-signal.SIGKILL if failpoint else code), (args, failpoint, done.stdout, done.stderr)
        return done.stdout

    def assert_archived(self, users: set[int], first_day: int) -> None:
        """These users' rows of dates up to `first_day` days ago are archived once, and no others."""
        wanted = {at: value for at, (user, day, value) in self.written.items() if user in users and day <= first_day}
        rows = archived_rows(self.store, self.name)
        assert len(rows) == len(wanted)
        assert {(p, o): value for p, o, value in rows} == wanted

    def versions_with(self, key: bytes) -> list[str]:
        """The versions of data files in which a record's key stands."""
        pages = (
            self.servers.s3()
            .get_paginator("list_object_versions")
            .paginate(Bucket=self.bucket, Prefix=f"{self.prefix}/data/")
        )
        return [
            version["Key"]
            for page in pages
            for version in page.get("Versions", [])
            if version["Key"].endswith(".parquet") and key in self._keys(version)
        ]

    def _keys(self, version: Any) -> list[bytes]:
        answer = self.servers.s3().get_object(Bucket=self.bucket, Key=version["Key"], VersionId=version["VersionId"])
        body = pa.BufferReader(answer["Body"].read())
        return pq.read_table(body, columns=["_key"]).column("_key").to_pylist()  # type: ignore[no-any-return]


@pytest.fixture
def topic(servers: Servers, bucket: str, tmp_path: Path) -> Iterator[Topic]:
    """A topic that an archiver archives, all the time."""
    made = Topic(servers, bucket)
    config = worker_config(servers.kafka, made.store.url, made.name, 0, group=made.name)
    with slots([config], made.env, tmp_path) as (slot,):
        slot.start()
        yield made
        assert slot.leave() == 0


def test_a_person_is_forgotten_and_nothing_else(topic: Topic) -> None:
    """Killed at two steps, beside an archiver and after a compaction: all rows of one user and all versions of them are
    gone, all others are there, byte for byte; verify agrees, with Kafka too, which still has the erased ones.
    """
    erase = ("erase", topic.name, "--where", f"user_id={FORGET}")
    order = ("--why", "GDPR-1", "--yes")
    for days_ago in (1, 0):
        topic.write(range(4), days_ago)
    topic.run("compact", topic.name, "--dt", topic.date(1))
    for point in ("erase-uploaded", "erase-after-rewrite"):
        topic.write(range(4), 1)
        topic.run(*erase, *order, failpoint=point)
    done = json.loads(topic.run(*erase, *order, "--json"))
    topic.assert_archived({0, 2, 3}, first_day=1)
    assert topic.versions_with(b"user-1") == []
    assert topic.versions_with(b"user-2")
    assert (done["quarantined_left"], done["may_remove"]) == (0, True)
    shown = json.loads(topic.run(*erase, "--json"))
    assert (shown["records"], shown["old_versions"]) == (0, 0)
    verified = json.loads(
        topic.run(
            "verify", topic.name, "--against-kafka", "--kafka", topic.servers.kafka, "--group", topic.name, "--json"
        )
    )
    erased = sorted((r["partition"], o) for r in verified["removed"] for pair in r["offsets"] for o in range(*pair))
    assert erased == sorted(at for at, (user, _, _) in topic.written.items() if user == FORGET)
    assert (verified["ok"], verified["kafka"]["equal_records"]) == (True, len(topic.written) - len(erased))


def test_old_dates_expire_and_what_comes_later_is_late(topic: Topic) -> None:
    """Killed right after an entry, beside an archiver: the next run goes on; what comes to such a date is archived and
    marked; verify and lag are content.
    """
    expire = ("expire", topic.name, "--before", topic.date(1), "--yes")
    for days_ago in (3, 2, 1):
        topic.write(range(3), days_ago)
    topic.run(*expire, failpoint="expire-after-entry")
    topic.run(*expire)
    topic.assert_archived({0, 1, 2}, first_day=1)
    state = read_state(topic.store, topic.name)
    assert state.expired.keys() == {topic.date(3), topic.date(2)}
    left = [info.key for info in topic.store.list("") if f"dt={topic.date(3)}" in info.key]
    assert left == []
    topic.write(range(2), 3)
    state = read_state(topic.store, topic.name)
    assert state.dates[topic.date(3)] == (4, 4)
    said = topic.run("verify", topic.name)
    assert "expired" in said
    topic.run("lag", "--topic", topic.name, "--kafka", topic.servers.kafka, "--group", topic.name, "--check")
