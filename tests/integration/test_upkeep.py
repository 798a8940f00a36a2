"""Upkeep on real servers: dates sealed, logs folded and files compacted by processes that are killed at each step."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import duckdb
import pytest
import s3fs
from confluent_kafka import Producer
from journal import archived_rows, assert_archived_once
from servers import Servers
from small_archive import DAY_MS, pin_value
from stores import s3_store
from worker_slots import WorkerSlot, slots, wait_until, worker_config

from headrace.archiver.commit_log import read_state
from headrace.archiver.failpoints import COMPACT_FAILPOINTS, UPKEEP_FAILPOINTS
from headrace.archiver.fold_file import fold_key
from headrace.archiver.garbage import unreferenced
from headrace.archiver.kafka_admin import KafkaAdmin
from headrace.archiver.log_state import LogState
from headrace.archiver.s3 import S3Store
from headrace.archiver.sealing import marker_key
from headrace.replay.reader import read

FOLD_ENTRIES = 3
HEADRACE = "from headrace.cli.main import main; main()"
pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]


class Dated:
    """Produces pin events of past days to a topic; `acked` maps (partition, offset) to the value."""

    def __init__(self, kafka: str, topic: str) -> None:
        self.acked: dict[tuple[int, int], bytes] = {}
        self._topic = topic
        self._producer = Producer({"bootstrap.servers": kafka, "enable.idempotence": True})
        self._today_ms = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS

    def date(self, days_ago: int) -> str:
        return time.strftime("%Y-%m-%d", time.gmtime((self._today_ms - days_ago * DAY_MS) / 1000))

    def write(self, days_ago: int, *, partition: int = 0, count: int = 1) -> None:
        at_ms = self._today_ms - days_ago * DAY_MS + 60_000
        for n in range(count):
            value = pin_value(n, at_ms=at_ms)
            self._producer.produce(
                self._topic, value=value, partition=partition, timestamp=at_ms, on_delivery=self._delivered
            )
        self._producer.flush(120)

    def _delivered(self, error: object, message: object) -> None:
        assert error is None
        self.acked[message.partition(), message.offset()] = message.value()  # type: ignore[attr-defined]


def admin(servers: Servers) -> KafkaAdmin:
    return KafkaAdmin({"bootstrap.servers": servers.kafka}, pause=time.sleep, monotonic=time.monotonic)


@pytest.fixture
def sealing_slot(servers: Servers, tmp_path: Path) -> Iterator[tuple[WorkerSlot, S3Store, str, Dated]]:
    """A place for a worker that seals at once and folds each three commits."""
    topic, store = servers.new_topic(2), s3_store(servers)
    config = worker_config(servers.kafka, store.url, topic, 0, group=topic)
    config = replace(config, seal_lateness_s=0, seal_interval_s=0.2, fold_entries=FOLD_ENTRIES)
    with slots([config], {**os.environ, **servers.env}, tmp_path) as (slot,):
        yield slot, store, topic, Dated(servers.kafka, topic)


def test_an_open_transaction_holds_a_seal_up(
    servers: Servers, sealing_slot: tuple[WorkerSlot, S3Store, str, Dated]
) -> None:
    """Kafka tells where a date ends, and not while a transaction is open there; rows after the seal come marked."""
    slot, store, topic, dated = sealing_slot
    dated.write(2, partition=0, count=3)
    dated.write(2, partition=1, count=2)
    dated.write(0, partition=1, count=1)
    writer = Producer({"bootstrap.servers": servers.kafka, "transactional.id": topic})
    writer.init_transactions(120)
    writer.begin_transaction()
    writer.produce(topic, value=pin_value(9, at_ms=time.time_ns() // 1_000_000), partition=0)
    writer.flush(120)
    end_ms = (time.time_ns() // 1_000_000 // DAY_MS - 1) * DAY_MS
    assert admin(servers).date_ends(topic, end_ms) == {0: 3, 1: 2}, "by timestamp, where there are newer records"
    assert admin(servers).date_ends(topic, end_ms + 30 * DAY_MS) == {0: None, 1: 3}, "open, and the end"
    writer.commit_transaction(30)
    closed = {0: 5, 1: 3}  # Kafka writes the marker of a commit some time after it has answered
    wait_until(lambda: admin(servers).date_ends(topic, end_ms + 30 * DAY_MS) == closed, "the transaction's end")
    slot.start()
    wait_until(lambda: dated.date(2) in read_state(store, topic).sealed, "the seal")
    marker = store.url, marker_key(topic, dated.date(2))
    wait_until(lambda: any(info.key == marker[1] for info in store.list(marker[1])), "the marker")
    dated.write(2, partition=0, count=4)
    wait_until(lambda: read_state(store, topic).dates[dated.date(2)] == (9, 4), "four late rows")
    assert slot.leave() == 0
    late = [each.file.late for each in read_state(store, topic).files.values() if each.file.dt == dated.date(2)]
    assert sum(late) == 4


def went_on_or_died(process: subprocess.Popen[bytes], store: S3Store, topic: str, seq: int) -> bool:
    return process.poll() is not None or read_state(store, topic).seq > seq


def test_kills_at_each_step_of_fold_and_seal(sealing_slot: tuple[WorkerSlot, S3Store, str, Dated]) -> None:
    """Killed before and after each: in the end all is archived once, each date sealed once with its marker, and the
    folds say what the entries say.
    """
    slot, store, topic, dated = sealing_slot
    for days_ago, point in enumerate(UPKEEP_FAILPOINTS, 2):
        slot.start((point, 1, signal.SIGKILL))
        process = slot.process
        assert process is not None
        for partition in (0, 1, 0, 1, 0, 1, 0, 1):
            dated.write(days_ago, partition=partition, count=3)
            seq = read_state(store, topic).seq
            wait_until(partial(went_on_or_died, process, store, topic, seq), "a commit")
            if process.poll() is not None:
                break
        assert slot.wait_for_end() == -signal.SIGKILL, point
    slot.start()
    dates = [dated.date(days_ago) for days_ago in range(2, 2 + len(UPKEEP_FAILPOINTS))]

    def done() -> bool:
        state = read_state(store, topic)
        ends = {p: max(o for q, o in dated.acked if q == p) + 1 for p in (0, 1)}
        archived = all((at := state.newest(p)) is not None and at.next == ends[p] for p in (0, 1))
        marked = {info.key for info in store.list(f"data/topic={topic}/") if info.key.endswith("_SUCCESS")}
        return archived and set(state.sealed) == set(dates) and marked == {marker_key(topic, d) for d in dates}

    wait_until(done, "all archived, sealed and marked")
    assert slot.leave() == 0
    assert_archived_once(store, topic, dated.acked)
    folded, plain = read_state(store, topic, fold_entries=FOLD_ENTRIES), LogState(topic)
    plain = read_state(store, topic)
    assert (folded.identities, dict(folded.files.items())) == (plain.identities, dict(plain.files.items()))
    assert any(True for _ in store.list(fold_key(topic, 0)[:-20])), "there are folds"


def test_compaction_killed_at_each_step_beside_a_running_archiver(servers: Servers, tmp_path: Path) -> None:
    """kill -9 at each step of headrace compact while commits go on: afterwards DuckDB sees each row once, the replay is
    the same, and few files are left.
    """
    topic, store = servers.new_topic(2), s3_store(servers)
    env = {**os.environ, **servers.env, "HEADRACE_ARCHIVE": store.url}
    dated = Dated(servers.kafka, topic)
    date = dated.date(1)

    def compact(point: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", HEADRACE, "compact", topic, "--dt", date, "--json"]
        return subprocess.run(
            command, env={**env, "HEADRACE_FAILPOINT": point}, capture_output=True, text=True, timeout=120, check=False
        )

    config = worker_config(servers.kafka, store.url, topic, 0, group=topic)
    with slots([config], env, tmp_path) as (slot,):
        slot.start()
        for point in ("", *COMPACT_FAILPOINTS, ""):
            for partition in (0, 1, 0):
                before = read_state(store, topic).seq
                dated.write(1, partition=partition, count=5)
                wait_until(lambda before=before: read_state(store, topic).seq > before, "a commit")  # type: ignore[misc]
            result = compact(f"{point}:1" if point else "")
            assert result.returncode == (-signal.SIGKILL if point else 0), (point, result.stderr)
            found = {(p, o): value for p, o, value in archived_rows(store, topic)}
            assert found == dated.acked, point
        assert json.loads(result.stdout)["dates"][0]["files_after"] >= 1
        assert slot.leave() == 0
    state = read_state(store, topic)
    assert not state.intents
    assert not list(unreferenced(store, state))
    assert len(state.files) == 1
    assert sum(batch.num_rows for batch in read(store, topic)) == len(dated.acked)
    connection = duckdb.connect()
    connection.register_filesystem(
        s3fs.S3FileSystem(
            key=env["AWS_ACCESS_KEY_ID"], secret=env["AWS_SECRET_ACCESS_KEY"], endpoint_url=env["AWS_ENDPOINT_URL_S3"]
        )
    )
    files = f"{store.url}/data/topic={topic}/dt=*/*.parquet"
    rows = connection.execute(f"select count(*), count(distinct (_partition, _offset)) from read_parquet('{files}')")
    assert rows.fetchall() == [(len(dated.acked), len(dated.acked))]
