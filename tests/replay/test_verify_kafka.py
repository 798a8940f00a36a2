"""Comparing an archive with the Kafka topic that it is of, record by record."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from servers import Servers
from small_archive import Rec, SmallArchive

from headrace.archiver.kafka_metadata import KafkaMetadata
from headrace.archiver.log_entries import Gap
from headrace.replay import RequestRefused
from headrace.replay.findings import VerifyReport
from headrace.replay.kafka_target import Clock
from headrace.replay.verify import verify_archive
from headrace.replay.verify_kafka import compare_with_kafka

pytestmark = pytest.mark.servers
CLOCK = Clock(now_ms=lambda: time.time_ns() // 1_000_000, monotonic=time.monotonic, pause=time.sleep)
RECORDS = [
    *(Rec(p, o, b"%d" % o, b"k%d" % o, 1_700_000_000_000 + o) for p in (0, 1) for o in range(20)),
    Rec(0, 20, None, None, 5, [("h", None), ("h", b"")]),
    Rec(0, 21, b"", b"", -1),
]


def kafka(servers: Servers) -> dict[str, Any]:
    return {"bootstrap.servers": servers.kafka}


@pytest.fixture
def topic(servers: Servers) -> str:
    """A topic that holds RECORDS, at the same offsets."""
    name = servers.new_topic(2, {"retention.ms": "-1"})
    producer = Producer(kafka(servers))
    for r in RECORDS:
        producer.produce(
            name, r.value, r.key, r.partition, timestamp=r.timestamp, headers=[(n, v) for n, v in r.headers]
        )
        producer.flush()
    return name


def archive_of(servers: Servers, topic: str, records: Sequence[Rec], **commit: Any) -> SmallArchive:
    """An archive of these records that says it is of this topic's newest incarnation."""
    metadata = KafkaMetadata(kafka(servers))
    archive = SmallArchive(topic, form="raw", cluster_id=metadata.cluster_id())
    archive.commit(records, topic_id=metadata.topic_ids([topic])[topic], **commit)
    return archive


def compared(servers: Servers, archive: SmallArchive, *, group: str = "no-group") -> VerifyReport:
    report, state = verify_archive(archive.store, archive.topic)
    assert report.ok
    compare_with_kafka(archive.store, state, kafka(servers), group=group, clock=CLOCK, report=report)
    return report


def test_an_exact_archive_is_equal(servers: Servers, topic: str) -> None:
    """Every record is counted as equal; the ranges say what was compared."""
    report = compared(servers, archive_of(servers, topic, RECORDS))
    assert report.ok
    assert report.kafka is not None
    assert (report.kafka.records, report.kafka.ranges) == (42, {0: (0, 22), 1: (0, 20)})


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"value": b"other"}, "1 records differ from Kafka's, the first at offset 7 in value"),
        ({"key": None}, "the first at offset 7 in key"),
        ({"timestamp": 1}, "the first at offset 7 in timestamp"),
        ({"headers": [("h", b"")]}, "the first at offset 7 in headers"),
        ({"timestamp_type": 1}, "the first at offset 7 in timestamp_type"),
    ],
)
def test_any_field_that_differs_is_found(servers: Servers, topic: str, change: dict[str, Any], what: str) -> None:
    """The digests of the archive fit its own records; only Kafka knows better."""
    records = [replace(r, **change) if (r.partition, r.offset) == (1, 7) else r for r in RECORDS]
    report = compared(servers, archive_of(servers, topic, records))
    assert [(each.where, what in each.what) for each in report.findings] == [(f"{topic}/1", True)]
    assert report.kafka is not None
    assert report.kafka.records == 41


def test_a_missing_record_is_found(servers: Servers, topic: str) -> None:
    """An archiver that skipped a record leaves an archive that is consistent in itself."""
    records = [r for r in RECORDS if (r.partition, r.offset) not in {(0, 3), (0, 4)}]
    (finding,) = compared(servers, archive_of(servers, topic, records)).findings
    assert "2 records are in Kafka and not in the archive, the first at offset 3" in finding.what


def test_a_recorded_gap_is_not_missing(servers: Servers, topic: str) -> None:
    """What is known not to be archived is listed as a gap, and is no finding."""
    records = [r for r in RECORDS if (r.partition, r.offset) not in {(0, 3), (0, 4)}]
    report = compared(servers, archive_of(servers, topic, records, gaps={0: [Gap(3, 5, "retention")]}))
    assert report.ok
    assert len(report.gaps) == 1


def test_a_record_that_kafka_never_showed_is_found(servers: Servers) -> None:
    """An aborted record in the archive is one too many."""
    name = servers.new_topic(1, {"retention.ms": "-1"})
    producer = Producer({**kafka(servers), "transactional.id": name})
    producer.init_transactions(120)
    producer.begin_transaction()
    producer.produce(name, b"aborted", partition=0, timestamp=1000)
    producer.flush()
    producer.abort_transaction(30)
    producer.begin_transaction()
    producer.produce(name, b"kept", partition=0, timestamp=1000)
    producer.commit_transaction(30)
    kept = Rec(0, 2, b"kept", timestamp=1000)
    assert compared(servers, archive_of(servers, name, [kept], ends={0: 3})).ok
    doubled = archive_of(servers, name, [Rec(0, 0, b"aborted", timestamp=1000), kept])
    (finding,) = compared(servers, doubled).findings
    assert "1 records are in the archive and not in Kafka, the first at offset 0" in finding.what


def test_what_kafka_no_longer_has_is_not_compared(servers: Servers, topic: str) -> None:
    """Retention moves the log start; the archive's earlier records are no finding."""
    admin = AdminClient(kafka(servers))
    for future in admin.delete_records([TopicPartition(topic, 0, 15)]).values():
        future.result(30)
    report = compared(servers, archive_of(servers, topic, RECORDS))
    assert report.ok
    assert report.kafka is not None
    assert report.kafka.ranges[0] == (15, 22)


def test_a_group_ahead_of_the_log_is_found(servers: Servers, topic: str) -> None:
    """Kafka's committed offset never passes the log's; if it does, the log lost entries."""
    group = f"g-{topic}"
    consumer = Consumer({**kafka(servers), "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 1, 20)], asynchronous=False)
    consumer.close()
    archive = archive_of(servers, topic, [r for r in RECORDS if r.offset < 10])
    (finding,) = compared(servers, archive, group=group).findings
    assert "has committed offset 20 in Kafka, the archive's next is 10" in finding.what


def test_another_cluster_is_refused(servers: Servers) -> None:
    """Its records would all differ, and mean nothing."""
    archive = SmallArchive("pin")
    archive.commit([Rec(0, 0)])
    with pytest.raises(RequestRefused, match="belongs to Kafka cluster cluster-1"):
        compared(servers, archive)


def test_a_topic_made_again_has_nothing_to_compare(servers: Servers, topic: str) -> None:
    """The report says that no record was compared."""
    archive = SmallArchive(topic, form="raw", cluster_id=KafkaMetadata(kafka(servers)).cluster_id())
    archive.commit([Rec(0, 0)], topic_id="an-earlier-one")
    report = compared(servers, archive)
    assert report.kafka is not None
    assert (report.ok, report.kafka.records, report.kafka.ranges) == (True, 0, {})
