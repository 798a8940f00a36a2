"""Replays into a real Kafka topic: exact, refused where they could not be, resumed where they were killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from servers import Servers
from small_archive import NOV_23_MS, Rec, SmallArchive, pin_value, rows

from headrace.archiver.s3 import S3Store
from headrace.cli.replay_options import Request
from headrace.cli.replay_planning import plan_of
from headrace.replay import KafkaUnusable, Reading, ReplayDiffers, Selection, TargetUnfit
from headrace.replay.kafka_progress import read_progress
from headrace.replay.kafka_range import read_ranges
from headrace.replay.kafka_replay import KafkaReplay
from headrace.replay.kafka_target import Allowances, Clock, read_target
from headrace.replay.receipts import TopicOutcome, store_plan
from headrace.replay.replay_plan import ReplayPlan
from headrace.replay.running import open_plan, run_into_kafka
from headrace.replay.transform import Transform

pytestmark = pytest.mark.servers
FOREVER = {"retention.ms": "-1"}
CLOCK = Clock(now_ms=lambda: time.time_ns() // 1_000_000, monotonic=time.monotonic, pause=time.sleep)

ODD = [
    Rec(0, 0, pin_value(0), b"", NOV_23_MS, [("a", b"1"), ("a", None), ("a", b""), ("", b"x")]),
    Rec(0, 3, None, b"tombstone", 1),
    Rec(0, 4, b"", None, NOV_23_MS - 1),
    Rec(0, 9, b"\xff\x00 no frame", b"\x00", -1),
    Rec(2, 5, pin_value(5), None, NOV_23_MS),
]


def kafka(servers: Servers) -> dict[str, Any]:
    return {"bootstrap.servers": servers.kafka}


def contents(servers: Servers, topic: str) -> dict[int, list[Rec]]:
    """What the target holds, by partition, with offsets replaced by places."""
    ranges = read_target(kafka(servers), topic, CLOCK).ranges
    found: dict[int, list[Rec]] = {partition: [] for partition in ranges}
    for partition, batch in read_ranges(kafka(servers), topic, ranges, monotonic=time.monotonic):
        found[partition].extend(rows([batch]))
    return {p: [placed(r, place) for place, r in enumerate(each)] for p, each in found.items()}


def placed(record: Rec, place: int) -> Rec:
    return Rec(record.partition, place, record.value, record.key, record.timestamp, record.headers)


def expected(records: Sequence[Rec], partition: int) -> list[Rec]:
    return [placed(r, place) for place, r in enumerate(r for r in records if r.partition == partition)]


def planned(
    servers: Servers,
    archive: SmallArchive,
    target: str,
    *,
    selection: Selection | None = None,
    allow: Allowances | None = None,
    transform: Transform | None = None,
) -> ReplayPlan:
    """The plan that the command line would run, kept in the archive as it does."""
    request = Request(
        topics=(archive.topic,),
        selection=selection or Selection(),
        at=None,
        into=f"kafka:{target}",
        form=None,
        transform=transform or Transform(),
        allow=allow or Allowances(),
        allow_empty=False,
    )
    plan, _ = plan_of(archive.store, request, kafka(servers), CLOCK, refuse=True)
    return store_plan(archive.store, plan).accepting(plan.allow)


def replay(
    servers: Servers,
    archive: SmallArchive,
    target: str,
    *,
    selection: Selection | None = None,
    allow: Allowances | None = None,
    transform: Transform | None = None,
    rate: float | None = None,
) -> TopicOutcome:
    plan = planned(servers, archive, target, selection=selection, allow=allow, transform=transform)
    return run_into_kafka(
        archive.store, plan, plan.topics[0], kafka(servers), unwatched, clock=CLOCK, records_per_s=rate
    )


@contextmanager
def unwatched(_what: str, _total: int) -> Iterator[Callable[[int], None]]:
    yield lambda _done: None


def sent(outcome: TopicOutcome) -> int:
    return outcome.counts.records - outcome.earlier


def archive_of(records: Sequence[Rec], name: str) -> SmallArchive:
    """An archive whose address is its own, so that no other test's progress is taken for its own."""
    archive = SmallArchive(name)
    archive.commit(records)
    return archive


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
    assert "never-made" not in AdminClient(kafka(servers)).list_topics(timeout=10).topics


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


@pytest.mark.parametrize(
    ("when", "number", "code"),
    [(0, signal.SIGKILL, -signal.SIGKILL), (60_000, signal.SIGKILL, -signal.SIGKILL), (60_000, signal.SIGINT, 130)],
)
def test_a_stopped_replay_goes_on_where_it_was(servers: Servers, when: int, number: int, code: int) -> None:
    """kill -9 or Ctrl-C in the middle, then the same command again: nothing twice, nothing missing, and it says so."""
    target = servers.new_topic(2, FOREVER)
    url = servers.store_url
    archive = SmallArchive("many", form="raw", store=s3_store(servers, url))
    for start in range(0, 120_000, 40_000):
        archive.commit([Rec(p, o, b"%d" % o) for p in (0, 1) for o in range(start, start + 40_000)])
    program = "import sys; from headrace.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", program, "replay", "many", "--into", f"kafka:{target}"]
    env = {**os.environ, **servers.env, "HEADRACE_ARCHIVE": url}
    facts = read_target(kafka(servers), target, CLOCK)
    replay_name = planned(servers, archive, target).id
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            found = read_progress(kafka(servers), replay_name, facts)
            if found is not None and sum(found.done.values()) >= when:
                process.send_signal(number)
                break
        assert process.wait(60) == code
    again = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 0, again.stderr
    assert "replayed 240,000 records of many" in again.stdout
    if when > 1:
        assert "by earlier runs" in again.stdout
    assert "target verified" in again.stdout
    found_records = contents(servers, target)
    assert {p: [r.value for r in each] for p, each in found_records.items()} == {
        p: [b"%d" % o for o in range(120_000)] for p in (0, 1)
    }


def s3_store(servers: Servers, url: str) -> S3Store:
    env = servers.env
    return S3Store(
        url,
        endpoint_url=env["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region_name=env["AWS_REGION"],
    )
