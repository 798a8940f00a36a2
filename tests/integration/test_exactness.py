"""The promise, on real Kafka and real S3: what a plain consumer sees of a topic comes back from the archive, field by
field, and every other offset is accounted for.

`HEADRACE_SEEDS=20` runs 20 histories instead of the usual one, `HEADRACE_SEED=7` begins with another one. The seed of
a history is in the name of its test.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest
from archiving import Archive
from kafka_history import take
from kafka_oracle import TopicView, read_topic
from record_zoo import named_cases
from servers import Servers
from watched_topic import WatchedTopic, publish_schemas

pytestmark = pytest.mark.servers

FIRST_SEED = int(os.environ.get("HEADRACE_SEED", "1"))
SEEDS = range(FIRST_SEED, FIRST_SEED + int(os.environ.get("HEADRACE_SEEDS", "1")))


class Trial:
    """Three topics in one archive: events with their own times, events with the broker's, and anything, raw."""

    def __init__(self, servers: Servers, seed: int) -> None:
        self.archive = Archive(servers)
        self.schema_topic = publish_schemas(servers)
        events, stamped, raw = (Random(f"{seed} {kind}") for kind in ("events", "stamped", "raw"))
        self.events = WatchedTopic.create(servers, events)
        self.stamped = WatchedTopic.create(servers, stamped, stamped=True)
        self.raw = WatchedTopic.create(servers, raw, raw=True)
        self.topics = (self.events, self.stamped, self.raw)

    def each(self, phase: Callable[[WatchedTopic], object]) -> None:
        """Do something with each topic; most of it is waiting for Kafka, so all at once."""
        with ThreadPoolExecutor(len(self.topics)) as pool:
            list(pool.map(phase, self.topics))

    def archive_all(self, *, workers: int) -> None:
        """Note what is visible, archive it in small commits, and check that archiving changed nothing in Kafka."""
        before: dict[str, TopicView] = {}
        self.each(lambda topic: before.update({topic.name: topic.watch()}))
        self.archive.archive(
            [self.events.name, self.stamped.name],
            [self.raw.name],
            workers=workers,
            more=["--flush-rows", "60", "--schema-topic", self.schema_topic],
        )
        after: dict[str, TopicView] = {}
        self.each(lambda topic: after.update({topic.name: read_topic(topic.servers.kafka, topic.name)}))
        assert after == before

    def check(self, topic: WatchedTopic, folder: Path) -> None:
        """Replay and verify a topic, and account for each offset."""
        topic.check_replay(self.archive.replay(topic.name, folder / topic.name))
        entries = topic.log_entries(self.archive)
        topic.check_offsets(entries)
        topic.check_quarantine(self.archive, entries)
        self.archive.must("verify", topic.name)
        assert topic.history.aborted & topic.silent_offsets(), "no aborted record was passed over: nothing was shown"


def begin(topic: WatchedTopic) -> None:
    """Write all kinds of records; what is deleted before anybody archives the topic is before the archive's origin."""
    topic.history.write(named_cases(topic.rng))
    topic.history.write_in_transactions(take(topic.records, 150))
    visible = sorted(offset for partition, offset in topic.history.journal if partition == 0)
    topic.history.delete_before({0: visible[len(visible) // 4]})


def go_on(topic: WatchedTopic) -> None:
    """Write more, some of it in transactions."""
    topic.history.write_in_transactions(take(topic.records, 150))
    topic.history.write(take(topic.records, 50))


def overtake(topic: WatchedTopic) -> None:
    """Delete what is not archived yet: in one partition a part of it, in another all. Then end with markers only.

    Those are of an aborted transaction in one partition, of a committed one in another.
    """
    topic.history.write_in_transactions(take(topic.records, 100))
    topic.history.write(take(topic.records, 60))
    ends = read_topic(topic.servers.kafka, topic.name).ends
    middle = (topic.ends[1] + ends[1]) // 2
    topic.history.delete_before({1: middle, 2: ends[2]})
    topic.history.write_transaction(take(topic.records, 5), aborting=True, partition=0)
    topic.history.write_transaction(take(topic.records, 5), aborting=False, partition=1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_replay_is_what_an_independent_consumer_saw(servers: Servers, tmp_path: Path, seed: int) -> None:
    """Records of all kinds, transactions, deletions and restarts: the replay is equal, and no offset is unaccounted."""
    trial = Trial(servers, seed)
    trial.each(begin)
    trial.archive_all(workers=1)
    assert all(topic.origins[0] > 0 for topic in trial.topics)
    trial.each(go_on)
    trial.archive_all(workers=2)
    trial.each(overtake)
    trial.archive_all(workers=2)
    assert all(len(topic.gaps) == 2 for topic in trial.topics)
    trial.each(lambda topic: trial.check(topic, tmp_path))
