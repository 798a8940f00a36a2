"""Exactness as a property: whatever records Hypothesis thinks of, an archiver that runs all the while brings them back.

`HEADRACE_SEEDS=20` tries twenty times as many examples as usual.
"""

import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import pytest
from archiving import Archive
from confluent_kafka import Consumer, Producer, TopicPartition
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kafka_oracle import Seen, seen_of
from record_zoo import DAYS_MS, YEAR_9999_MS, Headers, pin_body, zoo_pieces
from servers import Servers
from stores import s3_store
from watched_topic import ANY_TIME, differences, publish_schemas
from zoo_schemas import PIN, PIN_LATER, ZOO, frame_of

from headrace.archiver.commit_log import CommitLog
from headrace.replay.reader import read
from headrace.replay.selection import Selection

pytestmark = pytest.mark.servers

EXAMPLES = 10 * int(os.environ.get("HEADRACE_SEEDS", "1"))
ARCHIVED_TIMEOUT_S = 240.0


@dataclass
class Running:
    """A topic with one partition that a running archiver archives, an example at a time."""

    servers: Servers
    archive: Archive
    topic: str
    log: CommitLog
    producer: Producer
    consumer: Consumer
    next: Iterator[int] = field(default_factory=itertools.count)

    def written(self, records: list[tuple[bytes | None, bytes | None, Headers, int]]) -> list[Seen]:
        """Write records and return what a plain consumer sees of them."""
        for key, value, headers, timestamp in records:
            self.producer.produce(self.topic, value, key, 0, timestamp=timestamp, headers=list(headers))
        assert self.producer.flush(120) == 0
        seen: list[Seen] = []
        deadline = time.monotonic() + ARCHIVED_TIMEOUT_S
        while len(seen) < len(records):
            assert time.monotonic() < deadline, f"{len(seen)} of {len(records)} records arrived"
            for message in self.consumer.consume(len(records) - len(seen), 1):
                assert message.error() is None
                seen.append(seen_of(message))
        return seen

    def archived(self, start: int, end: int) -> list[Seen]:
        """Wait until the offsets [start, end) are archived and return them as a replay gives them."""
        deadline = time.monotonic() + ARCHIVED_TIMEOUT_S
        while (at := self.log.refresh().newest(0)) is None or at.next < end:
            assert time.monotonic() < deadline, f"{self.topic} is not archived to {end}: {at}"
            time.sleep(0.02)
        replayed: list[Seen] = []
        for batch in read(self.log.store, self.topic, Selection(partitions=(0,), start=start, end=end)):
            for row in batch.to_pylist():
                headers = tuple((each["name"], each["value"]) for each in row.pop("headers"))
                replayed.append(Seen(**row, headers=headers))
        return replayed


@pytest.fixture(scope="module", params=["avro", "raw"])
def running(servers: Servers, request: pytest.FixtureRequest) -> Iterator[Running]:
    """An archiver that runs for as long as the module's tests do, and is stopped by SIGTERM."""
    archive = Archive(servers)
    topic = servers.new_topic(1, ANY_TIME)
    raw = request.param == "raw"
    more = ["--flush-interval", "0.05", "--schema-topic", publish_schemas(servers)]
    with archive.archiving([] if raw else [topic], [topic] if raw else [], more=more):
        consumer = Consumer({"bootstrap.servers": servers.kafka, "group.id": "oracle", "enable.auto.commit": False})
        consumer.assign([TopicPartition(topic, 0, 0)])
        log = CommitLog(s3_store(servers, archive.url), topic, pause=time.sleep)
        yield Running(servers, archive, topic, log, Producer({"bootstrap.servers": servers.kafka}), consumer)
        consumer.close()


def _bodies() -> st.SearchStrategy[bytes]:
    """Whole events, each with up to two slices replaced by other bytes."""
    seeds = st.integers(0, 2**32)
    whole = st.one_of(
        seeds.map(lambda seed: frame_of(PIN) + pin_body(Random(seed))),
        seeds.map(lambda seed: frame_of(PIN_LATER) + pin_body(Random(seed), later=True)),
        seeds.map(lambda seed: frame_of(ZOO) + b"".join(zoo_pieces(Random(seed)).values())),
    )
    changes = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 4), st.binary(max_size=6)), max_size=2)
    return st.tuples(whole, changes).map(lambda drawn: _changed(*drawn))


def _changed(value: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for at, dropped, added in changes:
        value = value[:at] + added + value[at + dropped :]
    return value


# What UTF-8 can say, but for NUL: the client's library ends names there, on both sides.
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
framed = st.builds(lambda frame, body: frame + body, st.sampled_from([frame_of(PIN), frame_of(ZOO)]), st.binary())
records = st.tuples(
    st.none() | st.binary(max_size=40),
    st.none() | st.binary(max_size=100) | framed | _bodies() | _bodies(),
    st.lists(st.tuples(names, st.none() | st.binary(max_size=20)), max_size=5).map(tuple),
    st.sampled_from(DAYS_MS) | st.integers(1, YEAR_9999_MS),
)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    print_blob=True,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(batch=st.lists(records, min_size=1, max_size=25))
def test_whatever_is_written_comes_back(
    running: Running, batch: list[tuple[bytes | None, bytes | None, Headers, int]]
) -> None:
    """Any keys, values, headers and timestamps: the archived range is what a plain consumer saw, field by field."""
    seen = running.written(batch)
    assert differences(seen, running.archived(seen[0].offset, seen[-1].offset + 1)) == []
