"""Replays into a real Kafka topic: exact, refused where they could not be."""

import os

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from replay_kit import CLOCK, FOREVER, ODD, archive_of, contents, expected, kafka, planned, replay, sent
from servers import Servers
from small_archive import Rec, SmallArchive, pin_value

from headrace.replay import KafkaUnusable, Reading, ReplayDiffers, Selection, TargetUnfit
from headrace.replay.kafka_replay import KafkaReplay
from headrace.replay.kafka_target import Allowances, read_target
from headrace.replay.running import open_plan

pytestmark = pytest.mark.servers


def test_every_field_arrives_as_it_was(servers: Servers) -> None:
    """Null and empty keys and values, header order and duplicates and nulls, timestamps -1 and 1, partitions."""
    target = servers.new_topic(4, FOREVER)
    outcome = replay(servers, archive_of(ODD, target), target)
    assert (sent(outcome), outcome.earlier, outcome.reasons) == (5, 0, [])
    found = contents(servers, target)
    assert found == {0: expected(ODD, 0), 1: [], 2: expected(ODD, 2), 3: []}


def test_a_selection_is_sent_and_nothing_else(servers: Servers) -> None:
    """Offsets and partitions choose as they do for files."""
    target = servers.new_topic(3, FOREVER)
    replay(servers, archive_of(ODD, target), target, selection=Selection(partitions=(0,), start=3, end=5))
    assert contents(servers, target)[0] == expected(ODD[1:3], 0)


def test_a_second_run_of_a_finished_replay_sends_nothing_and_says_so(servers: Servers) -> None:
    """The records are counted as earlier ones, and the target is compared again."""
    target = servers.new_topic(3, FOREVER)
    archive = archive_of(ODD, target)
    replay(servers, archive, target)
    again = replay(servers, archive, target)
    assert (sent(again), again.earlier) == (0, 5)
    assert sum(len(each) for each in contents(servers, target).values()) == 5


def test_what_the_archive_took_in_later_is_not_mixed_into_a_replay(servers: Servers) -> None:
    """A replay is pinned to the snapshot that it began with, over all its runs."""
    target = servers.new_topic(3, FOREVER)
    archive = archive_of(ODD, target)
    replay(servers, archive, target)
    archive.commit([Rec(0, 20, pin_value(20))])
    assert sent(replay(servers, archive, target)) == 0


def test_timestamp_zero_cannot_be_kept_and_is_reported(servers: Servers) -> None:
    """Clients turn it into now: refused unless allowed; then the receipt says how many, and all else is compared."""
    target = servers.new_topic(1, FOREVER)
    records = [Rec(0, 0, b"a", timestamp=0), Rec(0, 1, b"b", timestamp=7), Rec(0, 2, b"c", timestamp=0)]
    archive = archive_of(records, target)
    with pytest.raises(TargetUnfit, match="--allow-timestamp-zero"):
        replay(servers, archive, target)
    outcome = replay(servers, archive, target, allow=Allowances(timestamp_zero=True))
    note = "2 records have timestamp 0, which Kafka clients cannot send: they carry the time of sending"
    assert outcome.reasons == [note]
    assert [r.value for r in contents(servers, target)[0]] == [b"a", b"b", b"c"]


def test_broker_timestamps_are_reported(servers: Servers) -> None:
    """A LogAppendTime record keeps its time and loses its type."""
    target = servers.new_topic(1, FOREVER)
    receipt = replay(servers, archive_of([Rec(0, 0, b"a", timestamp=5, timestamp_type=1)], target), target)
    assert "1 records have broker timestamps" in receipt.reasons[0]


@pytest.mark.parametrize(
    ("partitions", "config", "hint"),
    [
        (2, FOREVER, "--allow-fewer-partitions"),
        (3, {**FOREVER, "message.timestamp.type": "LogAppendTime"}, "--allow-log-append-time"),
        (3, {**FOREVER, "cleanup.policy": "compact"}, "--allow-compacted"),
        (3, {"retention.ms": "3600000"}, "--allow-short-retention"),
        (3, {**FOREVER, "max.message.bytes": "100"}, "max.message.bytes to at least"),
        (3, {**FOREVER, "message.timestamp.before.max.ms": "1000"}, "message.timestamp.before.max.ms"),
    ],
)
def test_a_target_that_would_alter_records_is_refused_before_any_is_sent(
    servers: Servers, partitions: int, config: dict[str, str], hint: str
) -> None:
    """The message says which setting, and what would accept it; the target stays empty."""
    target = servers.new_topic(partitions, config)
    with pytest.raises(TargetUnfit, match=hint):
        replay(servers, archive_of(ODD, target), target)
    assert read_target(kafka(servers), target, CLOCK).ranges[0][1] == 0 or "bytes" in hint or "timestamp" in hint
    assert all(each == [] for each in contents(servers, target).values())


def test_a_timestamp_in_the_future_is_refused_with_the_setting_that_allows_it(servers: Servers) -> None:
    """Kafka 4 takes at most an hour ahead by default."""
    target = servers.new_topic(1, FOREVER)
    ahead = [Rec(0, 0, b"a", timestamp=253_402_300_799_000)]
    with pytest.raises(TargetUnfit, match=r"message\.timestamp\.after\.max\.ms"):
        replay(servers, archive_of(ahead, target), target)
    far = servers.new_topic(1, {**FOREVER, "message.timestamp.after.max.ms": str(2**63 - 1)})
    assert sent(replay(servers, archive_of(ahead, far), far)) == 1


def test_a_target_that_does_not_exist_is_refused_and_not_created(servers: Servers) -> None:
    """The topics that exist are named."""
    with pytest.raises(TargetUnfit, match="does not exist"):
        read_target(kafka(servers), "never-made", CLOCK)
    assert "never-made" not in AdminClient(kafka(servers)).list_topics(timeout=120).topics


def test_a_target_that_is_not_empty_is_refused_unless_allowed(servers: Servers) -> None:
    """With leave, the replay appends, and only what it appended is compared."""
    target = servers.new_topic(3, FOREVER)
    producer = Producer(kafka(servers))
    producer.produce(target, b"before", partition=0)
    producer.flush()
    archive = archive_of(ODD, target)
    with pytest.raises(TargetUnfit, match="--allow-not-empty"):
        replay(servers, archive, target)
    assert sent(replay(servers, archive, target, allow=Allowances(not_empty=True))) == 5
    assert [r.value for r in contents(servers, target)[0]][:2] == [b"before", ODD[0].value]


def test_allowances_let_a_replay_through(servers: Servers) -> None:
    """What is accepted is noted where it changes records."""
    target = servers.new_topic(3, {"retention.ms": "3600000000", "message.timestamp.type": "LogAppendTime"})
    allow = Allowances(log_append_time=True, short_retention=True)
    receipt = replay(servers, archive_of(ODD, target), target, allow=allow)
    assert "were not compared" in receipt.reasons[-1]


def test_a_record_larger_than_the_default_goes_through_where_the_target_takes_it(servers: Servers) -> None:
    """Two megabytes that do not compress, into a topic that takes ten."""
    target = servers.new_topic(1, {**FOREVER, "max.message.bytes": "10000000"})
    big = [Rec(0, o, os.urandom(2_000_000)) for o in range(3)]
    assert sent(replay(servers, archive_of(big, target), target)) == 3


def test_a_record_that_fits_when_compressed_goes_through(servers: Servers) -> None:
    """Brokers measure compressed batches, and so does the check."""
    target = servers.new_topic(1, FOREVER)
    assert sent(replay(servers, archive_of([Rec(0, 0, b"a" * 3_000_000)], target), target)) == 1


def test_a_foreign_record_in_the_target_is_a_difference(servers: Servers) -> None:
    """Another program wrote there: the next comparison names the partition and both counts."""
    target = servers.new_topic(3, FOREVER)
    archive = archive_of(ODD, target)
    replay(servers, archive, target)
    producer = Producer(kafka(servers))
    producer.produce(target, b"foreign", partition=2)
    producer.flush()
    with pytest.raises(ReplayDiffers, match=f"{target}/2: 1 records were sent, 2 are there"):
        replay(servers, archive, target)


def test_a_replay_larger_than_a_transaction_arrives_in_order(servers: Servers) -> None:
    """Several transactions, several commits of the archive, both partitions: all compared."""
    target = servers.new_topic(2, FOREVER)
    archive = SmallArchive(target, form="raw")
    for start in (0, 35_000):
        archive.commit([Rec(p, o, b"%d" % o) for p in (0, 1) for o in range(start, start + 30_000)])
    assert sent(replay(servers, archive, target)) == 120_000


def test_a_run_that_another_run_overtook_sends_nothing_any_more(servers: Servers) -> None:
    """The same command started twice at once: the later one fences the earlier one, and nothing comes twice."""
    target = servers.new_topic(3, FOREVER)
    archive = archive_of(ODD, target)
    plan = planned(servers, archive, target)
    (topic,) = plan.topics

    def reading() -> Reading:
        return open_plan(archive.store, plan, topic)

    facts = read_target(kafka(servers), target, CLOCK)
    with KafkaReplay(kafka(servers), plan, topic, facts, clock=CLOCK) as slow:
        slow.begin(reading)
        assert sent(replay(servers, archive, target)) == 5
        with pytest.raises(KafkaUnusable, match="another run of the same replay took over"):
            slow.send(reading(), lambda _done: None)
    assert sum(len(each) for each in contents(servers, target).values()) == 5
