"""States of a topic that on-call meets, each made for real on the servers: what `headrace lag` and the rest judge.

Each function makes one and returns the topic's name; what it leaves running or broken is ended and mended by the stack.
`archive.env` is then how whoever looks reaches the servers.
"""

import json
import os
import shutil
import signal
import time
from contextlib import ExitStack

from archiving import Archive
from chaos.s3_proxy import S3Fault, S3Proxy
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from kafka_changes import numbered, produce
from odd_s3 import refusing_s3, relay
from servers import Servers
from verb_running import Said, started
from worker_slots import wait_until
from zoo_schemas import fingerprint_of

from headrace.schemas.frame import MARKER

HALF_AN_HOUR = {"retention.ms": "1800000"}
SLOW_READ_S = 0.3
SLOW_WRITE_S = 50.0
"""Nearly what the archiver takes for no answer at all. No test waits for it: it ends when the proxy is healed."""


def caught_up(servers: Servers, archive: Archive, _stack: ExitStack) -> str:
    topic = servers.new_topic(1)
    produce(servers.kafka, topic, numbered("v", 0, 10))
    archive.archive(raw=[topic])
    return topic


def behind(servers: Servers, archive: Archive, stack: ExitStack) -> str:
    topic = caught_up(servers, archive, stack)
    produce(servers.kafka, topic, numbered("v", 10, 14))
    return topic


def long_behind(servers: Servers, archive: Archive, stack: ExitStack) -> str:
    """The records that wait were made twenty minutes ago, as their timestamps say."""
    topic = caught_up(servers, archive, stack)
    producer = Producer({"bootstrap.servers": servers.kafka})
    for value in numbered("v", 10, 14):
        producer.produce(topic, value, partition=0, timestamp=(int(time.time()) - 1200) * 1000)
    assert producer.flush(120) == 0
    return topic


def stalled(servers: Servers, archive: Archive, stack: ExitStack) -> str:
    """A worker lives, takes old records, and makes nothing durable: here since it was told to wait for an hour."""
    topic = long_behind(servers, archive, stack)
    arguments = ("archive", "--raw", topic, "--group", archive.group, "--flush-interval", "3600")
    stack.enter_context(started(archive, *arguments))
    return topic


def rewound(servers: Servers, archive: Archive, stack: ExitStack) -> str:
    """Another tool commits for the archiver's group what the archive does not have."""
    topic = behind(servers, archive, stack)
    other = Consumer({"bootstrap.servers": servers.kafka, "group.id": archive.group})
    stack.callback(other.close)
    other.commit(offsets=[TopicPartition(topic, 0, 14)], asynchronous=False)
    return topic


def truncated(servers: Servers, archive: Archive, _stack: ExitStack) -> str:
    """Kafka's disk is set back to before the last four archived records."""
    topic, instance = servers.new_topic(1), servers.instance
    produce(servers.kafka, topic, numbered("v", 0, 10))
    log, saved = instance.folder / "kafka" / "data" / f"{topic}-0", instance.folder.parent / f"saved-{topic}"
    instance.kafka.process.stop(60)
    shutil.copytree(log, saved)
    instance.start_kafka()
    produce(servers.kafka, topic, numbered("v", 10, 14))
    archive.archive(raw=[topic])
    instance.kafka.process.stop(60)
    shutil.rmtree(log)
    shutil.copytree(saved, log)
    instance.start_kafka()
    return topic


def damaged_log(servers: Servers, archive: Archive, stack: ExitStack) -> str:
    """The newest object of the commit log is overwritten with something else."""
    topic = caught_up(servers, archive, stack)
    newest = max(key for key in archive.objects() if key.startswith(f"log/topic={topic}/"))
    bucket, _, prefix = archive.url.removeprefix("s3://").partition("/")
    servers.s3().put_object(Bucket=bucket, Key=f"{prefix}/{newest}", Body=b"not a commit")
    return topic


def quarantined(servers: Servers, archive: Archive, _stack: ExitStack) -> str:
    """A topic that is archived as events gets ten records that are none."""
    topic = servers.new_topic(1)
    produce(servers.kafka, topic, numbered("v", 0, 10))
    archive.archive(topics=[topic])
    return topic


def schema_conflict(servers: Servers, archive: Archive, _stack: ExitStack) -> str:
    """Two teams publish schemas that differ in nothing but a logical type, and so share a fingerprint."""
    topic, schema_topic = servers.new_topic(1), servers.new_topic(1, {"cleanup.policy": "compact"})
    producer = Producer({"bootstrap.servers": servers.kafka})
    for kind in ({"type": "long", "logicalType": "timestamp-micros"}, "long"):
        text = json.dumps({"type": "record", "name": "visit", "fields": [{"name": "at", "type": kind}]})
        producer.produce(schema_topic, text, key=fingerprint_of(text))
        producer.produce(topic, MARKER + fingerprint_of(text) + b"\x02", partition=0)
        assert producer.flush(120) == 0
        archive.archive(topics=[topic], more=["--schema-topic", schema_topic])
    return topic


def new(servers: Servers, _archive: Archive, _stack: ExitStack) -> str:
    topic = servers.new_topic(1)
    produce(servers.kafka, topic, numbered("v", 0, 3))
    return topic


def idle(servers: Servers, _archive: Archive, _stack: ExitStack) -> str:
    return servers.new_topic(1)


def losing(servers: Servers, _archive: Archive, _stack: ExitStack) -> str:
    topic = servers.new_topic(1, HALF_AN_HOUR)
    produce(servers.kafka, topic, numbered("v", 0, 3))
    return topic


def lost(servers: Servers, archive: Archive, stack: ExitStack) -> str:
    topic = behind(servers, archive, stack)
    admin = AdminClient({"bootstrap.servers": servers.kafka})
    for future in admin.delete_records([TopicPartition(topic, 0, 12)]).values():
        future.result(120)
    return topic


def recreated(servers: Servers, archive: Archive, stack: ExitStack) -> str:
    topic = caught_up(servers, archive, stack)
    admin = AdminClient({"bootstrap.servers": servers.kafka})
    admin.delete_topics([topic])[topic].result(120)
    wait_until(lambda: topic not in admin.list_topics(timeout=120).topics, "it is gone")
    servers.new_topic(1, name=topic)
    produce(servers.kafka, topic, numbered("w", 0, 2))
    return topic


def compacted(servers: Servers, _archive: Archive, _stack: ExitStack) -> str:
    topic = servers.new_topic(1, {"cleanup.policy": "compact"})
    producer = Producer({"bootstrap.servers": servers.kafka})
    producer.produce(topic, b"v", key=b"k")
    assert producer.flush(120) == 0
    return topic


def hanging_transaction(servers: Servers, archive: Archive, stack: ExitStack) -> str:
    """A producer wrote within a transaction and is neither heard of again nor given up by Kafka."""
    topic = caught_up(servers, archive, stack)
    name = f"{topic}-hangs"
    producer = Producer(
        {"bootstrap.servers": servers.kafka, "transactional.id": name, "transaction.timeout.ms": 900_000}
    )
    producer.init_transactions(120)
    producer.begin_transaction()
    producer.produce(topic, b"held", partition=0)
    assert producer.flush(120) == 0
    stack.callback(producer.abort_transaction, 120)
    return topic


def paused_worker(servers: Servers, archive: Archive, stack: ExitStack) -> str:
    """A worker process is stopped with SIGSTOP, as a frozen container is; then four records come."""
    topic = servers.new_topic(1)
    said = _archiving(servers, archive, stack, topic)
    asked = ("lag", "--topic", topic, "--group", archive.group, "--json")
    # It says that it committed a moment before it tells Kafka of itself.
    wait_until(lambda: bool(json.loads(archive.call(*asked).stdout)["partitions"][0]["worker"]), "the worker was heard")
    pid = int(said.find(r"worker 0 started, pid (\d+)") or 0)
    os.kill(pid, signal.SIGSTOP)
    stack.callback(os.kill, pid, signal.SIGCONT)
    produce(servers.kafka, topic, numbered("v", 10, 14))
    return topic


def slow_s3(servers: Servers, archive: Archive, stack: ExitStack) -> str:
    """A write takes most of a minute, so that four records are not committed; who looks waits for each read."""
    topic = servers.new_topic(1)
    port = int(servers.env["AWS_ENDPOINT_URL_S3"].rsplit(":", 1)[1])
    writes, reads = stack.enter_context(S3Proxy(port)), stack.enter_context(S3Proxy(port))
    archive.env["AWS_ENDPOINT_URL_S3"] = writes.endpoint
    _archiving(servers, archive, stack, topic)
    writes.begin([S3Fault("slow", "PUT", seconds=SLOW_WRITE_S)])
    reads.begin([S3Fault("slow", "GET", seconds=SLOW_READ_S)])
    stack.callback(writes.heal)
    archive.env["AWS_ENDPOINT_URL_S3"] = reads.endpoint
    produce(servers.kafka, topic, numbered("v", 10, 14))
    return topic


def s3_down(servers: Servers, archive: Archive, stack: ExitStack) -> str:
    """The S3 server is killed while a worker runs; then four records come."""
    topic = servers.new_topic(1)
    _archiving(servers, archive, stack, topic)
    servers.instance.kill_s3()
    stack.callback(servers.instance.start_s3)
    produce(servers.kafka, topic, numbered("v", 10, 14))
    return topic


def expired_credentials(servers: Servers, archive: Archive, stack: ExitStack) -> str:
    """S3 says ExpiredToken to the worker and to whoever looks; then four records come."""
    topic = servers.new_topic(1)
    way = stack.enter_context(relay(servers.env["AWS_ENDPOINT_URL_S3"]))
    archive.env["AWS_ENDPOINT_URL_S3"] = way.endpoint
    _archiving(servers, archive, stack, topic)
    way.lead_to(stack.enter_context(refusing_s3("ExpiredToken")))
    stack.callback(way.lead_to, servers.env["AWS_ENDPOINT_URL_S3"])
    produce(servers.kafka, topic, numbered("v", 10, 14))
    return topic


def kafka_down(servers: Servers, archive: Archive, stack: ExitStack) -> str:
    """The broker is killed; ten records are archived."""
    topic = caught_up(servers, archive, stack)
    servers.instance.kill_kafka()
    stack.callback(servers.instance.start_kafka)
    return topic


def _archiving(servers: Servers, archive: Archive, stack: ExitStack, topic: str) -> Said:
    """Archive ten records with a worker that goes on running."""
    produce(servers.kafka, topic, numbered("v", 0, 10))
    arguments = ("archive", "--raw", topic, "--group", archive.group, "--flush-interval", "0.5")
    _, said = stack.enter_context(started(archive, *arguments))
    wait_until(lambda: said.find(r"(commit \d+: )") is not None, "ten records are committed")
    return said
