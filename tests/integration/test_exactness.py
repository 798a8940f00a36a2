"""The promise, on real Kafka and real S3: what a plain consumer sees of a topic comes back from the archive, field by
field, and every other offset is accounted for.

`HEADRACE_SEEDS=20` runs more histories than the usual few, `HEADRACE_SEED=7` begins with another one. The seed of a
history is in the name of its test.
"""

import os
from pathlib import Path
from random import Random

import pytest
from archiving import Archive
from kafka_history import take
from kafka_oracle import read_topic
from record_zoo import named_cases, random_cases
from servers import Servers
from watched_topic import WatchedTopic, publish_schemas

pytestmark = pytest.mark.servers

FIRST_SEED = int(os.environ.get("HEADRACE_SEED", "1"))
SEEDS = range(FIRST_SEED, FIRST_SEED + int(os.environ.get("HEADRACE_SEEDS", "2")))


class Trial:
    """Three topics in one archive: events with their own times, events with the broker's, and anything, raw."""

    def __init__(self, servers: Servers, seed: int) -> None:
        self.rng = Random(seed)
        self.records = random_cases(self.rng)
        self.archive = Archive(servers)
        self.schema_topic = publish_schemas(servers)
        self.events = WatchedTopic.create(servers, self.rng)
        self.stamped = WatchedTopic.create(servers, self.rng, stamped=True)
        self.raw = WatchedTopic.create(servers, self.rng, raw=True)
        self.topics = (self.events, self.stamped, self.raw)

    def archive_all(self, *, workers: int) -> None:
        """Note what is visible, archive it in small commits, and check that archiving changed nothing in Kafka."""
        before = [topic.watch() for topic in self.topics]
        self.archive.archive(
            [self.events.name, self.stamped.name],
            [self.raw.name],
            workers=workers,
            more=["--flush-rows", "60", "--schema-topic", self.schema_topic],
        )
        assert [read_topic(self.archive.servers.kafka, topic.name) for topic in self.topics] == before

    def check(self, folder: Path) -> None:
        """Replay and verify each topic, and account for each offset."""
        for topic in self.topics:
            topic.check_replay(self.archive.replay(topic.name, folder / f"{topic.name}.jsonl"))
            entries = topic.log_entries(self.archive)
            topic.check_offsets(entries)
            topic.check_quarantine(self.archive, entries)
            self.archive.must("verify", topic.name)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_replay_is_what_an_independent_consumer_saw(servers: Servers, tmp_path: Path, seed: int) -> None:
    """Records of all kinds, transactions, deletions and restarts: the replay is equal, and no offset is unaccounted."""
    trial = Trial(servers, seed)
    for topic in trial.topics:
        topic.history.write(named_cases(trial.rng))
        topic.history.write_in_transactions(take(trial.records, 150))
        # What was deleted before anybody archived the topic is before the archive's origin.
        visible = sorted(offset for partition, offset in topic.history.journal if partition == 0)
        topic.history.delete_before({0: visible[len(visible) // 4]})
    trial.archive_all(workers=1)
    assert all(topic.origins[0] > 0 for topic in trial.topics)

    for topic in trial.topics:
        topic.history.write_in_transactions(take(trial.records, 150))
        topic.history.write(take(trial.records, 50))
    trial.archive_all(workers=2)

    for topic in trial.topics:
        # Deletion overtakes the archive: in one partition in the middle of what is new, in another all of it.
        topic.history.write_in_transactions(take(trial.records, 100))
        topic.history.write(take(trial.records, 60))
        ends = read_topic(servers.kafka, topic.name).ends
        middle = (topic.ends[1] + ends[1]) // 2
        topic.history.delete_before({1: middle, 2: ends[2]})
    trial.archive_all(workers=2)
    assert all(len(topic.gaps) == 2 for topic in trial.topics)

    for topic in trial.topics:
        # At the end only markers: of an aborted transaction in one partition, of a committed one in another.
        topic.history.write_transaction(take(trial.records, 5), aborting=True, partition=0)
        topic.history.write_transaction(take(trial.records, 5), aborting=False, partition=1)
    trial.archive_all(workers=1)

    trial.check(tmp_path)
    for topic in trial.topics:
        assert topic.history.aborted & topic.silent_offsets(), "no aborted record was passed over: nothing was shown"
