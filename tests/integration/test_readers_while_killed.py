"""Plain readers and archivers that are ended by kill -9: the folder is exact again after it, a snapshot always is."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Self

import pytest
from archiving import Archive
from emitted_pins import EmittedPins, decoded, facts_of
from journal import Acked, JournalProducer, archived_and_clean
from plain_readers import READERS, DuckDB, Facts, PlainReader
from servers import Servers
from stores import s3_store
from worker_slots import WorkerSlot, slots, wait_until, worker_config

from headrace.archiver.commit_log import read_state
from headrace.archiver.failpoints import FAILPOINTS
from headrace.archiver.garbage import unreferenced
from headrace.archiver.object_store import ObjectStore

pytestmark = pytest.mark.servers

PARTITIONS = 3
EVENTS = 500
SNAPSHOTS = 4
BETWEEN_UPLOAD_AND_COMMIT = "files-uploaded"


@pytest.fixture
def archive(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """An empty archive, whose address the page's code finds in the environment."""
    made = Archive(servers)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    return made


@contextmanager
def one_worker(archive: Archive, topic: str, folder: Path) -> Iterator[WorkerSlot]:
    """A place for one worker process at a time."""
    config = worker_config(archive.servers.kafka, archive.url, topic, 0, group=archive.group)
    with slots([config], {**os.environ, **archive.env}, folder) as (slot,):
        yield slot


def die_at(slot: WorkerSlot, point: str) -> None:
    """Start a worker that ends itself by SIGKILL at a point, and wait for its end."""
    slot.start((point, 1, signal.SIGKILL))
    assert slot.wait_for_end() == -signal.SIGKILL


def run_until(slot: WorkerSlot, done: Callable[[], bool]) -> None:
    """Start a worker again, and have it leave in an orderly way once something is archived."""
    slot.start()
    wait_until(done, "archived by the worker that was started again")
    assert slot.leave() == 0


def folder_count(reader: DuckDB, topic: str) -> int:
    reader.open_folder(topic)
    return reader.facts().rows


def test_a_plain_count_is_exact_after_a_kill_between_upload_and_commit(
    servers: Servers, archive: Archive, tmp_path: Path
) -> None:
    """DuckDB's count(*) of the folder is what was emitted, once the archiver that was started again has committed."""
    topic = servers.new_topic(PARTITIONS)
    emitted = EmittedPins(servers.kafka, topic, partitions=PARTITIONS, now=datetime.now(UTC), rng=Random(1))
    emitted.events(EVENTS)
    emitted.flush()
    store, duckdb = s3_store(servers, archive.url), DuckDB()
    with one_worker(archive, topic, tmp_path) as slot:
        die_at(slot, BETWEEN_UPLOAD_AND_COMMIT)
        assert read_state(store, topic).seq == 0, "killed before the commit"
        assert folder_count(duckdb, topic) > 0, "and after the upload: the folder shows what is not committed"
        run_until(slot, lambda: archived_all(store, topic, EVENTS))
    assert folder_count(duckdb, topic) == EVENTS
    assert duckdb.facts() == facts_of(emitted.rows)


def test_doubles_last_from_a_kill_to_the_next_commit_and_are_in_no_snapshot(
    servers: Servers, archive: Archive, tmp_path: Path
) -> None:
    """Left behind by one archiver and archived by the next, rows are in the folder twice; never in a snapshot."""
    topic = servers.new_topic(PARTITIONS)
    emitted = EmittedPins(servers.kafka, topic, partitions=PARTITIONS, now=datetime.now(UTC), rng=Random(2))
    emitted.events(EVENTS)
    emitted.flush()
    store, duckdb, listing = s3_store(servers, archive.url), DuckDB(), tmp_path / "pin.files"
    with one_worker(archive, topic, tmp_path) as slot:
        die_at(slot, BETWEEN_UPLOAD_AND_COMMIT)
        die_at(slot, "after-commit")  # before it could remove what the other one left
        committed = sum(each.file.rows for each in read_state(store, topic).files.values())
        assert folder_count(duckdb, topic) > committed > 0
        listing.write_text(archive.must("files", topic).stdout)
        duckdb.open_files(listing)
        assert duckdb.facts().rows == committed

        emitted.events(1)
        emitted.flush()
        run_until(slot, lambda: archived_all(store, topic, EVENTS + 1))
    assert folder_count(duckdb, topic) == EVENTS + 1
    assert duckdb.facts() == facts_of(emitted.rows)


def archived_all(store: ObjectStore, topic: str, rows: int) -> bool:
    """Whether that many rows are archived, and what killed workers left is gone."""
    state = read_state(store, topic)
    return sum(each.file.rows for each in state.files.values()) == rows and not list(unreferenced(store, state))


class Killing:
    """Starts a worker again and again, each to die at some point, until it is stopped."""

    def __init__(self, slot: WorkerSlot, rng: Random) -> None:
        self.deaths: list[str] = []
        self._slot = slot
        self._rng = rng
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="killing")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            # Every other death leaves files behind. At the second hit a life has made one commit; cleaning comes once.
            point = BETWEEN_UPLOAD_AND_COMMIT if len(self.deaths) % 2 else self._rng.choice(FAILPOINTS)
            self._slot.start((point, 1 if point == "after-cleaning" else 2, signal.SIGKILL))
            assert self._slot.wait_for_end() == -signal.SIGKILL
            self.deaths.append(point)


def test_all_four_agree_on_every_snapshot_while_the_archiver_is_killed(
    servers: Servers, archive: Archive, tmp_path: Path
) -> None:
    """A snapshot is the same rows to all readers, those that the log says; at the end the folder is exact too."""
    topic, store = servers.new_topic(PARTITIONS), s3_store(servers, archive.url)
    readers = [kind() for kind in READERS]
    seen: dict[int, Facts] = {}
    with (
        JournalProducer(servers.kafka, topic, events_per_s=400) as journal,
        one_worker(archive, topic, tmp_path) as slot,
    ):
        run_until(slot, lambda: read_state(store, topic).seq > 0)
        for reader in readers:
            reader.open_folder(topic)
        with Killing(slot, Random(3)) as killing:
            start = read_state(store, topic).seq
            while len(seen) < SNAPSHOTS:
                wait_until(lambda: len(killing.deaths) > len(seen), "another death")
                wait_until(lambda: read_state(store, topic).seq > max(seen, default=start), "another commit")
                snapshot, facts = read_snapshot(archive, topic, readers, tmp_path / f"list-{len(seen)}")
                seen[snapshot] = facts
        journal.stop()
        run_until(slot, lambda: archived_and_clean(store, topic, journal.acked))
    for snapshot, facts in seen.items():
        assert facts == expected_facts(archive, topic, snapshot, journal.acked)
    everything = facts_of(decoded(value) for value in journal.acked.values())
    for reader in readers:
        reader.open_folder(topic)
        assert reader.facts() == everything, reader.name


def read_snapshot(archive: Archive, topic: str, readers: list[PlainReader], listing: Path) -> tuple[int, Facts]:
    """Have all readers read the newest snapshot; return its number and what all of them say of it."""
    snapshot: int = json.loads(archive.must("files", topic, "--format", "json").stdout)["snapshot"]
    listing.write_text(archive.must("files", topic, "--at", str(snapshot)).stdout)
    said: dict[str, Facts] = {}
    for reader in readers:
        reader.open_files(listing)
        said[reader.name] = reader.facts()
    assert len(said) == len(READERS)
    first = said["duckdb"]
    query = f'select count(*) as rows, sum(user_id) as users from "{topic}"'
    told = json.loads(archive.must("sql", query, "--at", f"{topic}={snapshot}", "--json").stdout)
    assert told == {"rows": first.rows, "users": first.users}
    assert said == dict.fromkeys(said, first)
    return snapshot, first


def expected_facts(archive: Archive, topic: str, snapshot: int, acked: Acked) -> Facts:
    """What a snapshot must hold: what Kafka acknowledged, up to the offsets that the log had reached by then."""
    ends: dict[int, int] = {}
    for entry in json.loads(archive.must("log", topic, "--json").stdout)["entries"]:
        if entry["seq"] <= snapshot:
            ends |= {span["partition"]: span["to"] for span in entry["spans"]}
    return facts_of(decoded(value) for (partition, offset), value in acked.items() if offset < ends.get(partition, 0))
