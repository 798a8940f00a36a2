"""What a group has committed, asked of a real Kafka, also in the seconds in which it has no coordinator yet."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as KafkaPartition
from servers import Servers

from headrace.archiver.group_offsets import Committed, committed_offsets
from headrace.archiver.source import SourceError, TopicPartition

FIRST_QUESTION = """
import os, sys
from headrace.archiver.group_offsets import committed_offsets
from headrace.archiver.source import TopicPartition
from headrace.local import Instance
instance = Instance(sys.argv[1], env=os.environ)
try:
    instance.up()
    kafka = {"bootstrap.servers": instance.kafka.bootstrap}
    print(committed_offsets(kafka, "nobody", [TopicPartition("t", 0)], pause=__import__("time").sleep))
finally:
    instance.down(purge=True)
"""


def never(_seconds: float) -> None:
    raise AssertionError("nothing to wait for")


@pytest.mark.servers
def test_offsets_come_with_their_metadata(servers: Servers) -> None:
    """Of the partitions that were asked for; those without an offset, and topics that do not exist, are left out."""
    topic, group = servers.new_topic(2), "g-offsets"
    kafka = {"bootstrap.servers": servers.kafka}
    consumer = Consumer({**kafka, "group.id": group})
    consumer.commit(offsets=[KafkaPartition(topic, 1, 7, "a note")], asynchronous=False)
    consumer.close()
    asked = [TopicPartition(topic, 0), TopicPartition(topic, 1), TopicPartition("no-such-topic", 0)]
    assert committed_offsets(kafka, group, asked, pause=never) == {TopicPartition(topic, 1): Committed(7, "a note")}


@pytest.mark.servers
def test_a_group_that_does_not_exist_has_committed_nothing(servers: Servers) -> None:
    """No error: a first archiver has not started yet."""
    asked = [TopicPartition(servers.new_topic(1), 0)]
    assert committed_offsets({"bootstrap.servers": servers.kafka}, "nobody", asked, pause=never) == {}


@pytest.mark.servers
def test_the_first_question_to_a_new_broker_is_answered() -> None:
    """It has no coordinator yet, and says so: librdkafka's admin request for the same ends the process by a signal."""
    with tempfile.TemporaryDirectory(prefix="hr-") as folder:
        command = [sys.executable, "-c", FIRST_QUESTION, str(Path(folder) / "i")]
        asked = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert (asked.returncode, asked.stdout.splitlines()[-1:]) == (0, ["{}"]), asked.stderr


def test_a_kafka_that_is_not_there_is_an_error_with_its_address() -> None:
    """Within the bound, and with what to look at."""
    kafka = {"bootstrap.servers": "127.0.0.1:1"}
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:1: .*is Kafka up"):
        committed_offsets(kafka, "g", [TopicPartition("t", 0)], pause=never)
