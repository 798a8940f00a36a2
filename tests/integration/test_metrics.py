"""Real endpoints: the exporter beside Kafka and S3, an archiver with two workers one of which is killed, a shipper."""

import os
import signal
from pathlib import Path

import pytest
from archiving import Archive
from kafka_changes import numbered, produce
from scraping import Samples, get, scrape
from servers import Servers
from verb_running import started
from worker_slots import wait_until

from headrace.archiver.kafka_metadata import KafkaMetadata
from headrace.producer import EventLog
from headrace.schemas import Pin

pytestmark = pytest.mark.servers


def test_the_exporter_says_what_lag_says(servers: Servers) -> None:
    """Caught up, behind and idle partitions, with lag's numbers, no NaN; then Kafka's truth moves and it follows."""
    archive, topic = Archive(servers), servers.new_topic(3)
    produce(servers.kafka, topic, numbered("v", 0, 20), partition=0)
    produce(servers.kafka, topic, numbered("v", 0, 5), partition=1)
    archive.archive(raw=[topic])
    produce(servers.kafka, topic, numbered("v", 5, 9), partition=1)
    arguments = ("exporter", "--listen", "127.0.0.1:0", "--every", "1", "--topic", topic, "--group", archive.group)
    with started(archive, *arguments) as (_, said):
        url = said.url()
        wait_until(lambda: scrape(url)["headrace_partition_records_behind"][("1", topic)] == 4, "4 behind")
        found = scrape(url)
        assert found["headrace_partition_state"] == {
            ("0", "caught-up", topic): 1, ("1", "behind", topic): 1, ("2", "idle", topic): 1,
        }  # fmt: skip
        assert found["headrace_partition_records_behind"] == {("0", topic): 0, ("1", topic): 4, ("2", topic): 0}
        assert found["headrace_partition_seconds_to_loss"][("0", topic)] == float("inf")
        assert 0 < found["headrace_partition_seconds_to_loss"][("1", topic)] <= 604_800
        assert found["headrace_partition_offset"][("1", "durable", topic)] == 5
        assert found["headrace_partition_offset"][("1", "end", topic)] == 9
        assert found["headrace_source_up"] == {("kafka",): 1, ("s3",): 1}
        assert get(url, host="evil.example").status == 403
        archive.archive(raw=[topic])
        wait_until(lambda: scrape(url)["headrace_partition_records_behind"][("1", topic)] == 0, "caught up")
        found = scrape(url)
        assert [labels for labels in found.get("headrace_finding", {}) if topic in labels] == []
        assert len(found["headrace_verdict"]) == 1


def test_an_exporter_without_servers_says_so(servers: Servers) -> None:
    """Kafka is not there and the archive's credentials are wrong: it serves, and says that it cannot tell."""
    archive = Archive(servers)
    archive.env |= {"HEADRACE_KAFKA": "127.0.0.1:1", "AWS_SECRET_ACCESS_KEY": "wrong"}
    with started(archive, "exporter", "--listen", "127.0.0.1:0", "--every", "1") as (_, said):
        found = scrape(said.url())
        assert found["headrace_verdict"] == {("cannot-tell",): 1}
        assert found["headrace_source_up"][("kafka",)] == 0


@pytest.mark.parametrize("verb", ["exporter", "dashboard"])
def test_what_serves_ends_cleanly(servers: Servers, verb: str) -> None:
    """SIGTERM while it serves: exit code 0, which started() asks for, so that no supervisor takes it for a crash."""
    archive = Archive(servers)
    with started(archive, verb, "--listen", "127.0.0.1:0", "--topic", servers.new_topic()) as (process, said):
        assert get(said.url()).status == 200
        assert process.poll() is None


def counted(found: Samples, name: str, topic: str) -> float:
    return found.get(f"headrace_archiver_{name}_total", {}).get((topic,), 0)


def test_an_archiver_serves_one_endpoint_for_its_workers(servers: Servers) -> None:
    """Two workers, one of them killed: every record is counted, the restart is counted, and both are up again."""
    archive, topic = Archive(servers), servers.new_topic(4)
    produce(servers.kafka, topic, numbered("v", 0, 100), partition=0)
    produce(servers.kafka, topic, numbered("v", 0, 50), partition=3)
    arguments = ("archive", "--raw", topic, "--group", archive.group, "--workers", "2", "--flush-interval", "0.2")
    with started(archive, *arguments, "--metrics", "127.0.0.1:0") as (_, said):
        url = said.url()
        wait_until(lambda: counted(scrape(url), "records", topic) == 150, "all are counted")
        found = scrape(url)
        assert found["headrace_archiver_worker_up"] == {("0",): 1, ("1",): 1}
        assert found["headrace_archiver_partitions_held"] == {(topic,): 4}
        assert found["headrace_archiver_uncommitted_bytes"] == {(): 0}
        assert counted(found, "commits", topic) >= 1
        assert counted(found, "bytes", topic) > 0
        os.kill(int(said.find(r"worker 0 started, pid (\d+)") or 0), signal.SIGKILL)
        wait_until(lambda: scrape(url)["headrace_archiver_worker_restarts_total"][("0",)] == 1, "the restart counts")
        produce(servers.kafka, topic, numbered("v", 100, 120), partition=0)
        produce(servers.kafka, topic, numbered("v", 50, 60), partition=3)
        wait_until(lambda: counted(scrape(url), "records", topic) == 180, "nothing is forgotten, nothing twice")


def test_a_shipper_serves_what_it_delivers(servers: Servers, tmp_path: Path) -> None:
    """`headrace ship --metrics` counts what Kafka acknowledged."""
    archive = Archive(servers)
    if "pin" not in KafkaMetadata({"bootstrap.servers": servers.kafka}).topics():
        servers.new_topic(1, name="pin")
    log = EventLog(service="web", spool=tmp_path, ship="separate")
    for number in range(25):
        assert log.emit(Pin(user_id=7, pin_id=number, action="SAVE"))
    log.close(5)
    with started(archive, "ship", str(tmp_path), "--metrics", "127.0.0.1:0") as (_, said):
        url = said.url()
        wait_until(lambda: scrape(url)["headrace_ship_delivered_total"][()] == 25, "all are delivered")
        assert scrape(url)["headrace_ship_kafka_up"] == {(): 1}
        assert scrape(url)["headrace_ship_waiting"] == {(): 0}
