"""The archiver's bare steps in this process, and the whole `headrace archive` as people run it."""

import gc
import os
import resource
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from headrace.archiver.commit_log import read_state
from headrace.archiver.flush_buffer import BuiltFile, FileContext, FlushBuffer
from headrace.archiver.kafka_records import records_of
from headrace.archiver.s3 import S3Store
from headrace.archiver.topic_decoder import TopicSettings
from headrace.schemas import Pin
from headrace.schemas.catalog import SchemaCatalog, builtin
from headrace.schemas.event import Envelope

TOPIC, SMALL_TOPIC, PARTITIONS, BATCH = "bench-pin", "bench-small", 4, 10_000


class Schemas:
    """The built-in schemas, as the decoder asks for them."""

    def __init__(self) -> None:
        self._catalog: SchemaCatalog = builtin()

    def text_by_fingerprint(self, fingerprint: bytes) -> str | None:
        """Return the built-in text."""
        return self._catalog.text_by_fingerprint(fingerprint)

    def text_by_registry_id(self, schema_id: int) -> str | None:  # noqa: ARG002 - the interface's signature
        """Return None: no registry here."""
        return None


def measure_archiver(kafka: str, events: int) -> dict[str, float]:
    """Return microseconds of CPU a record, by step; names that begin with _ are other figures."""
    fill(kafka, TOPIC, events)
    fill(kafka, SMALL_TOPIC, 100)
    costs: dict[str, float] = {}

    @contextmanager
    def step(name: str) -> Iterator[None]:
        begun = time.process_time()
        yield
        costs[name] = costs.get(name, 0.0) + (time.process_time() - begun) * 1e6 / events

    gc.disable()
    with step("consume"):
        messages = consumed(kafka, events)
    buffer = FlushBuffer(TopicSettings(TOPIC), Schemas(), new_id=lambda: str(uuid.uuid4()))
    for begin in range(0, events, BATCH):
        part = messages[begin : begin + BATCH]
        with step("columns"):
            records, _ = records_of(TOPIC, part)
        with step("decode, prove, digest"):
            buffer.add(records.batch)
    gc.enable()
    spans = tuple({"partition": p, "lineage": 0, "from": 0} for p in range(PARTITIONS))
    with step("Parquet"):
        files: list[BuiltFile] = buffer.build(FileContext(TOPIC, "id", "cluster", "bench", spans))
    store = S3Store(os.environ["HEADRACE_ARCHIVE"] + "/steps")
    with step("upload"):
        for file in files:
            store.put_if_absent(file.key, file.body)
    costs["sum of steps"] = sum(costs.values())
    costs.update(whole(events))
    return costs


def whole(events: int) -> dict[str, float]:
    """Archive the topic with the real command; a run over 100 events tells what starting and ending cost."""
    url = os.environ["HEADRACE_ARCHIVE"] + "/whole"
    starting, all_of_it = run(url, SMALL_TOPIC), run(url, TOPIC)
    store = S3Store(url)
    state = read_state(store, TOPIC)
    archived = sum(at.rows for at in state.partitions())
    if archived != events:
        raise RuntimeError(f"archived {archived} of {events} events; the figures would mean nothing")
    size = sum(committed.file.bytes for committed in state.files.values())
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"archiver whole": (all_of_it - starting) * 1e6 / events, "_bytes a row": size / events, "_peak MB": peak_mb}


def run(url: str, topic: str, *more: str) -> float:
    """Run `headrace archive --until-idle` and return its CPU seconds, workers included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = "from headrace.cli.main import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        "archive",
        "--topic",
        topic,
        "--until-idle",
        "--group",
        f"bench-{topic}",
        *more,
    ]
    subprocess.run([*command, "--archive", url], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def fill(kafka: str, topic: str, events: int) -> None:
    """Make a topic and put pin events into it."""
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 50, "compression.type": "lz4"})
    envelope = Envelope(service="web", host="web-1", session_id=os.urandom(16))
    for n in range(events):
        user = n * 7919 % 100_003
        event = Pin(user_id=user, pin_id=n, action="SAVE")
        value = event.kafka_value(envelope, os.urandom(16), n, time.time_ns() // 1000, None)
        while True:
            try:
                producer.produce(topic, value=value, key=str(user).encode())
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(120)


def consumed(kafka: str, events: int) -> list[Message]:
    """Read the whole topic with nothing but the client."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "bench", "enable.partition.eof": True})
    consumer.assign([TopicPartition(TOPIC, partition, 0) for partition in range(PARTITIONS)])
    messages: list[Message] = []
    ends = 0
    while ends < PARTITIONS:
        for message in consumer.consume(BATCH, 1.0):
            problem = message.error()
            if problem is None:
                messages.append(message)
            elif problem.code() == KafkaError._PARTITION_EOF:
                ends += 1
    consumer.close()
    if len(messages) != events:
        raise RuntimeError(f"read {len(messages)} of {events} events")
    return messages
