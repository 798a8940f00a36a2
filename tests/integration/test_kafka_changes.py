"""What happens to Kafka under an archiver's feet, on the real broker: topics made again, partitions added, logs cut."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from archiving import Archive
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions
from journal import archived_rows
from kafka_changes import numbered, produce
from servers import Servers
from stores import s3_store
from worker_slots import wait_until

from headrace.archiver.commit_log import read_state
from headrace.archiver.log_state import LogState
from headrace.local import Instance


def recreate(servers: Servers, topic: str, partitions: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": servers.kafka})
    admin.delete_topics([topic])[topic].result(30)
    wait_until(lambda: topic not in admin.list_topics(timeout=120).topics, "the topic to be gone")
    servers.new_topic(partitions, name=topic)


def gaps(state: LogState) -> list[tuple[int, int | None, str]]:
    return [(gap.start, gap.end, gap.reason) for at in state.identities.values() for gap in at.gaps]


def next_offset(state: LogState) -> int:
    at = state.newest(0)
    return -1 if at is None else at.next


@pytest.mark.servers
def test_a_topic_made_again_while_the_archiver_was_away(servers: Servers) -> None:
    """Equal offsets of the old and the new topic are both archived; the old one is closed by a gap of unknown end."""
    topic, archive = servers.new_topic(1), Archive(servers)
    produce(servers.kafka, topic, numbered("old", 0, 10))
    archive.archive(raw=[topic])
    recreate(servers, topic)
    produce(servers.kafka, topic, numbered("new", 0, 4))
    archive.archive(raw=[topic])
    store = s3_store(servers, archive.url)
    assert gaps(read_state(store, topic)) == [(10, None, "topic-recreated")]
    values = [value for _, _, value in archived_rows(store, topic)]
    assert sorted(values) == sorted(numbered("old", 0, 10) + numbered("new", 0, 4))


@pytest.mark.servers
def test_a_topic_made_again_under_a_running_archiver(servers: Servers) -> None:
    """librdkafka reads on in the new topic as if nothing had been; the topic id tells, and nothing is mixed."""
    topic, archive = servers.new_topic(1), Archive(servers)
    store = s3_store(servers, archive.url)
    produce(servers.kafka, topic, numbered("old", 0, 10))
    with archive.archiving(raw=[topic], more=["--flush-interval", "0.3"]):
        wait_until(lambda: len(archived_rows(store, topic)) == 10, "the old records")
        recreate(servers, topic)
        # More than the old topic had, so that its next offset exists in the new one too.
        produce(servers.kafka, topic, numbered("new", 0, 25))
        wait_until(lambda: len(archived_rows(store, topic)) == 35, "the new records")
    values = [value for _, _, value in archived_rows(store, topic)]
    assert sorted(values) == sorted(numbered("old", 0, 10) + numbered("new", 0, 25))
    assert gaps(read_state(store, topic)) == [(10, None, "topic-recreated")]


@pytest.mark.servers
def test_partitions_added_under_a_running_archiver(servers: Servers) -> None:
    """New partitions are found at the next metadata refresh and archived from their log start."""
    topic, archive = servers.new_topic(1), Archive(servers)
    store = s3_store(servers, archive.url)
    produce(servers.kafka, topic, numbered("a", 0, 3))
    with archive.archiving(raw=[topic], more=["--flush-interval", "0.3"]):
        wait_until(lambda: len(archived_rows(store, topic)) == 3, "the first records")
        admin = AdminClient({"bootstrap.servers": servers.kafka})
        admin.create_partitions([NewPartitions(topic, 3)])[topic].result(30)
        wait_until(lambda: len(admin.list_topics(topic, timeout=120).topics[topic].partitions) == 3, "three partitions")
        produce(servers.kafka, topic, numbered("b", 0, 5), partition=2)
        wait_until(lambda: len(archived_rows(store, topic)) == 8, "the new partition's records")
    assert {(p, o) for p, o, _ in archived_rows(store, topic)} == {(0, n) for n in range(3)} | {
        (2, n) for n in range(5)
    }


@pytest.mark.servers
def test_an_open_transaction_holds_the_archive_at_the_last_stable_offset(servers: Servers) -> None:
    """Nothing behind an open transaction is archived before it ends; then all of it is, in order."""
    topic, archive = servers.new_topic(1), Archive(servers)
    store = s3_store(servers, archive.url)
    writer = Producer({"bootstrap.servers": servers.kafka, "transactional.id": uuid4().hex})
    writer.init_transactions()
    produce(servers.kafka, topic, numbered("before", 0, 2))
    writer.begin_transaction()
    writer.produce(topic, value=b"open")
    writer.flush(120)
    produce(servers.kafka, topic, numbered("after", 0, 2))
    archive.archive(raw=[topic])
    assert [value for _, _, value in archived_rows(store, topic)] == numbered("before", 0, 2)
    writer.commit_transaction()
    archive.archive(raw=[topic])
    values = [value for _, _, value in sorted(archived_rows(store, topic))]
    assert values == [b"before0", b"before1", b"open", b"after0", b"after1"]
    at = read_state(store, topic).newest(0)
    assert at is not None
    assert at.next == 6  # past the commit marker


@pytest.fixture
def own_servers(tmp_path: Path) -> Iterator[Servers]:
    """Servers whose broker this test may stop and whose files it may change."""
    instance = Instance(tmp_path / "instance", env=os.environ)
    instance.up()
    yield Servers(instance)
    instance.down(purge=True)


@pytest.mark.servers
def test_markers_of_a_later_epoch_are_no_truncation(own_servers: Servers) -> None:
    """Records of one leader epoch, an aborted transaction of the next: the archive goes on behind it, without a gap.

    The client compares the epoch of the last record with the offset behind the marker, and reports a truncated log.
    """
    servers, instance = own_servers, own_servers.instance
    topic, archive = servers.new_topic(1), Archive(servers)
    store = s3_store(servers, archive.url)
    produce(servers.kafka, topic, numbered("a", 0, 3))
    instance.kafka.process.stop(30)
    instance.start_kafka()
    writer = Producer({"bootstrap.servers": servers.kafka, "transactional.id": uuid4().hex})
    writer.init_transactions(60)
    writer.begin_transaction()
    writer.produce(topic, value=b"never")
    assert writer.flush(60) == 0
    writer.abort_transaction(60)
    archive.archive(raw=[topic])
    assert next_offset(read_state(store, topic)) == 5
    produce(servers.kafka, topic, numbered("b", 0, 2))
    archive.archive(raw=[topic])
    state = read_state(store, topic)
    assert (gaps(state), next_offset(state)) == ([], 7)
    values = [value for _, _, value in archived_rows(store, topic)]
    assert sorted(values) == sorted(numbered("a", 0, 3) + numbered("b", 0, 2))


@pytest.mark.servers
def test_a_log_that_lost_archived_records_goes_on_as_a_new_lineage(own_servers: Servers) -> None:
    """After truncation the archive keeps what it has and records the divergence; nothing new is missed.

    One log stays shorter than the archive. The other grew beyond the archive's next offset again: there only the leader
    epoch tells that it is another history.
    """
    servers, instance = own_servers, own_servers.instance
    shorter, regrown = servers.new_topic(1), servers.new_topic(1)
    topics, archive = (shorter, regrown), Archive(servers)
    store = s3_store(servers, archive.url)
    data, saved = instance.folder / "kafka" / "data", instance.folder.parent / "saved"
    for topic in topics:
        produce(servers.kafka, topic, numbered("kept", 0, 10))
    instance.kafka.process.stop(30)
    for topic in topics:
        shutil.copytree(data / f"{topic}-0", saved / topic)
    instance.start_kafka()
    for topic in topics:
        produce(servers.kafka, topic, numbered("lost", 10, 25))
    archive.archive(raw=topics)
    instance.kafka.process.stop(30)
    for topic in topics:
        shutil.rmtree(data / f"{topic}-0")
        shutil.copytree(saved / topic, data / f"{topic}-0")
    instance.start_kafka()
    produce(servers.kafka, regrown, numbered("other", 10, 40))
    with archive.archiving(raw=topics, more=["--flush-interval", "0.3"]):
        for topic in topics:
            wait_until(lambda topic=topic: bool(gaps(read_state(store, topic))), "the divergence")  # type: ignore[misc]
        produce(servers.kafka, shorter, numbered("other", 10, 14))
        for topic, end in ((shorter, 14), (regrown, 40)):
            wait_until(lambda topic=topic, end=end: next_offset(read_state(store, topic)) == end, "the new history")  # type: ignore[misc]
    for topic, end in ((shorter, 14), (regrown, 40)):
        values = [value for _, _, value in archived_rows(store, topic)]
        assert gaps(read_state(store, topic)) == [(25, None, "diverged")]
        assert sorted(values) == sorted(numbered("kept", 0, 10) + numbered("lost", 10, 25) + numbered("other", 10, end))
        newest = read_state(store, topic).newest(0)
        assert newest is not None
        assert (newest.identity.lineage, newest.origin) == (1, 10)
