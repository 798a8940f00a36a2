"""`headrace lag` against real Kafka, and its judgement on facts."""

import json
import math
import time
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from servers import Servers
from small_archive import Rec, SmallArchive

from headrace.archiver.kafka_admin import FirstRecord, LogEnds
from headrace.archiver.kafka_metadata import KafkaMetadata
from headrace.archiver.log_entries import log_key
from headrace.archiver.object_store import StoreUnreachable
from headrace.archiver.oncall.facts import Facts
from headrace.archiver.oncall.heartbeat import Heartbeat
from headrace.archiver.oncall.lag import PartitionLag, evaluate, first_unarchived, worst_first
from headrace.archiver.source import TopicPartition as Where
from headrace.cli.lag_watch import sparkline
from headrace.cli.main import root

NOW_MS = 1_000_000_000
"""The moment of the pure tests."""


def facts(**known: Any) -> Facts:
    given: dict[str, Any] = {"where": Where("t", 0), "ends": LogEnds(0, 10, 10), "durable": 10, "committed": 10}
    return Facts(**{**given, **known})


def judged(**known: Any) -> PartitionLag:
    return evaluate(facts(**known), NOW_MS)


# -- judgement ---------------------------------------------------------------------------------------------------------


def test_all_durable_is_caught_up() -> None:
    """Zero records, zero seconds; never NaN."""
    lag = judged()
    assert (lag.state, lag.records_behind, lag.seconds_behind) == ("caught-up", 0, 0.0)


def test_behind_counts_records_and_the_age_of_the_first() -> None:
    """Seconds are the age of the first record that is not durable."""
    lag = judged(durable=4, first=FirstRecord(NOW_MS - 2500))
    assert (lag.state, lag.records_behind, lag.seconds_behind) == ("behind", 6, 2.5)


def test_a_record_from_the_future_is_zero_seconds_behind() -> None:
    """Clocks differ; a lag is never negative."""
    assert judged(durable=4, first=FirstRecord(NOW_MS + 9)).seconds_behind == 0.0


@pytest.mark.parametrize("first", [None, FirstRecord(-1), FirstRecord(0)])
def test_without_a_timestamp_the_seconds_are_unknown(first: FirstRecord | None) -> None:
    """Null, not a number out of the air such as the years since 1970."""
    lag = judged(durable=4, first=first)
    assert (lag.state, lag.seconds_behind) == ("behind", None)


def test_a_rest_of_markers_is_caught_up() -> None:
    """The archive ended before a marker and nothing visible follows: there is nothing to archive."""
    lag = judged(durable=9, first=FirstRecord(None))
    assert (lag.state, lag.records_behind, lag.seconds_behind) == ("caught-up", 0, 0.0)


def test_an_empty_partition_is_idle_archived_or_not() -> None:
    """Nothing in Kafka, nothing missing: not "behind for years", and not "not archived"."""
    for durable in (None, 7):
        lag = judged(ends=LogEnds(7, 7, 7), durable=durable)
        assert (lag.state, lag.records_behind) == ("idle", 0)


def test_a_partition_that_the_archive_has_nothing_of_is_not_archived() -> None:
    """No commit at all is not fine."""
    lag = judged(durable=None, first=FirstRecord(NOW_MS - 1000))
    assert (lag.state, lag.records_behind, lag.seconds_behind) == ("not-archived", 10, 1.0)


def test_records_that_retention_took_are_told_apart() -> None:
    """Lag counts what can still be archived; what was lost is another number."""
    lag = judged(ends=LogEnds(6, 10, 10), durable=2, first=FirstRecord(NOW_MS))
    assert (lag.records_behind, lag.lost) == (4, 4)
    assert "4 offsets were deleted" in lag.note


def test_an_open_transaction_is_told() -> None:
    """Records behind it cannot be archived yet: the end is the last stable offset."""
    lag = judged(ends=LogEnds(0, 10, 15))
    assert (lag.state, lag.records_behind) == ("caught-up", 0)
    assert "open transaction holds back 5" in lag.note


def test_an_archive_ahead_of_kafka_is_not_called_caught_up() -> None:
    """It means that Kafka lost records."""
    assert judged(durable=11).state == "unknown"


def test_no_answer_is_unknown_with_the_reason() -> None:
    """Null numbers and the reason, never a guess."""
    lag = judged(ends=None, problem="no leader")
    assert (lag.state, lag.records_behind, lag.seconds_behind, lag.note) == ("unknown", None, None, "no leader")


def test_only_partitions_that_are_behind_are_looked_into() -> None:
    """The first unarchived record is read from Kafka only where there may be one."""
    assert first_unarchived(facts()) is None
    assert first_unarchived(facts(durable=4)) == 4
    assert first_unarchived(facts(ends=LogEnds(6, 10, 10), durable=4)) == 6
    assert first_unarchived(facts(durable=None)) == 0
    assert first_unarchived(facts(ends=None)) is None


def test_the_worst_comes_first() -> None:
    """Losing data, unknown, oldest, most; then what is fine."""
    fine, idle = judged(), judged(ends=LogEnds(7, 7, 7), durable=7)
    unknown = judged(ends=None)
    losing = judged(ends=LogEnds(6, 10, 10), durable=2)
    old = judged(durable=9, first=FirstRecord(1))
    many = judged(durable=1)
    assert worst_first([idle, fine, many, old, unknown, losing]) == [losing, unknown, old, many, fine, idle]


# -- on real Kafka -----------------------------------------------------------------------------------------------------

Lag = Callable[..., Result]


@pytest.fixture
def small(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> SmallArchive:
    """An archive in memory of a new topic with three partitions; `lag` finds it instead of S3."""
    archive = SmallArchive(servers.new_topic(3), form="raw")
    monkeypatch.setattr("headrace.cli.lag.open_to_look", lambda _url: archive.store)
    return archive


@pytest.fixture
def lag(servers: Servers) -> Lag:
    """Run the verb."""

    def run(*args: str) -> Result:
        env = {"HEADRACE_ARCHIVE": "s3://b/p", "HEADRACE_KAFKA": servers.kafka}
        return CliRunner().invoke(root, ["lag", *args], env=env, prog_name="headrace")

    return run


def write(servers: Servers, topic: str, partition: int, count: int, *, transaction: str = "") -> None:
    """Write records; `transaction` commits or aborts them as one."""
    config = {"bootstrap.servers": servers.kafka, **({"transactional.id": f"{topic}-w"} if transaction else {})}
    producer = Producer(config)
    if transaction:
        producer.init_transactions(120)
        producer.begin_transaction()
    for number in range(count):
        producer.produce(topic, b"%d" % number, partition=partition)
    producer.flush()
    if transaction == "commit":
        producer.commit_transaction(30)
    elif transaction == "abort":
        producer.abort_transaction(30)


def archive_up_to(servers: Servers, archive: SmallArchive, ends: dict[int, int], rows: dict[int, int]) -> None:
    topic_id = KafkaMetadata({"bootstrap.servers": servers.kafka}).topic_ids([archive.topic])[archive.topic]
    records = [Rec(p, o) for p, count in rows.items() for o in range(count)]
    archive.commit(records, ends=ends, topic_id=topic_id)


def by_partition(result: Result) -> dict[int, dict[str, Any]]:
    assert result.stdout, (result.output, result.exception)
    return {each["partition"]: each for each in json.loads(result.stdout)["partitions"]}


@pytest.mark.servers
def test_states_of_a_topic_that_is_partly_archived(servers: Servers, small: SmallArchive, lag: Lag) -> None:
    """One partition is caught up, one behind with its age, one empty; the totals add up."""
    write(servers, small.topic, 0, 5)
    write(servers, small.topic, 1, 5)
    archive_up_to(servers, small, {0: 5, 1: 3}, {0: 5, 1: 3})
    result = lag("--topic", small.topic, "--json")
    assert result.exit_code == 0
    value, found = json.loads(result.stdout), by_partition(result)
    assert {p: each["state"] for p, each in found.items()} == {0: "caught-up", 1: "behind", 2: "idle"}
    assert (found[1]["durable_next"], found[1]["log_end"], found[1]["records_behind"]) == (3, 5, 2)
    assert 0 <= found[1]["seconds_behind"] < 600
    assert (value["version"], value["records_behind"]) == (1, 2)
    assert value["seconds_behind"] == found[1]["seconds_behind"]
    assert not any(isinstance(v, float) and math.isnan(v) for each in found.values() for v in each.values())


@pytest.mark.servers
def test_a_topic_without_a_log_is_not_archived(servers: Servers, small: SmallArchive, lag: Lag) -> None:
    """Named on the command line and unknown to the archive: that is said, with what waits."""
    write(servers, small.topic, 0, 5)
    found = by_partition(lag("--topic", small.topic, "--json"))
    assert (found[0]["state"], found[0]["records_behind"], found[0]["durable_next"]) == ("not-archived", 5, None)
    assert found[1]["state"] == "idle"


@pytest.mark.servers
@pytest.mark.parametrize(("end", "transaction"), [(6, "commit"), (5, "commit"), (0, "abort")])
def test_markers_are_no_lag(servers: Servers, small: SmallArchive, lag: Lag, end: int, transaction: str) -> None:
    """Committed past the marker, up to the marker, or nothing but an aborted transaction: all of it is caught up."""
    write(servers, small.topic, 0, 5, transaction=transaction)
    archive_up_to(servers, small, {0: end}, {0: min(end, 5)})
    deadline = time.monotonic() + 120
    found = by_partition(lag("--topic", small.topic, "--json"))
    while found[0]["high_watermark"] != 6 and time.monotonic() < deadline:  # markers arrive a moment after the commit
        found = by_partition(lag("--topic", small.topic, "--json"))
    assert (found[0]["state"], found[0]["records_behind"], found[0]["seconds_behind"]) == ("caught-up", 0, 0.0)


@pytest.mark.servers
def test_an_open_transaction_is_no_lag_and_is_told(servers: Servers, small: SmallArchive, lag: Lag) -> None:
    """Nothing behind the last stable offset can be archived."""
    write(servers, small.topic, 0, 5)
    archive_up_to(servers, small, {0: 5}, {0: 5})
    producer = Producer({"bootstrap.servers": servers.kafka, "transactional.id": f"{small.topic}-open"})
    producer.init_transactions(120)
    producer.begin_transaction()
    producer.produce(small.topic, b"open", partition=0)
    producer.flush()
    result = lag("--topic", small.topic, "--json", "--max-transaction", "0")
    explained = lag("--explain", f"{small.topic}/0", "--max-transaction", "0").stdout
    producer.abort_transaction(30)
    found = by_partition(result)[0]
    assert (found["state"], found["log_end"], found["high_watermark"]) == ("caught-up", 5, 6)
    assert "open transaction" in found["note"]
    told = json.loads(result.stdout)["findings"]
    assert [(each["rule"], each["severity"]) for each in told] == [("open-transaction", "warning")]
    assert f"'{small.topic}-open'" in told[0]["evidence"]
    assert f"abort --topic {small.topic} --partition 0 --start-offset 5" in explained


@pytest.mark.servers
def test_records_deleted_before_they_were_archived_are_lost(servers: Servers, small: SmallArchive, lag: Lag) -> None:
    """Lag below the log start is not counted as lag, and comes first in the table."""
    write(servers, small.topic, 0, 5)
    write(servers, small.topic, 1, 5)
    archive_up_to(servers, small, {0: 1, 1: 1}, {0: 1, 1: 1})
    admin = AdminClient({"bootstrap.servers": servers.kafka})
    for future in admin.delete_records([TopicPartition(small.topic, 1, 4)]).values():
        future.result(30)
    found = by_partition(lag("--topic", small.topic, "--json"))
    assert (found[1]["lost"], found[1]["records_behind"]) == (3, 1)
    assert lag("-v", "--topic", small.topic).stdout.splitlines()[1].split()[:2] == [small.topic, "1"]
    folded = lag("--topic", small.topic).stdout.splitlines()
    assert folded[1].split()[:5] == [small.topic, "behind", "2", "of", "3"]
    assert any("data-lost" in line for line in folded)


@pytest.mark.servers
def test_committed_offsets_are_shown_beside_what_is_durable(servers: Servers, small: SmallArchive, lag: Lag) -> None:
    """The group's offset in Kafka is display, the log is the truth."""
    write(servers, small.topic, 0, 5)
    archive_up_to(servers, small, {0: 4}, {0: 4})
    group = f"g-{small.topic}"
    consumer = Consumer({"bootstrap.servers": servers.kafka, "group.id": group})
    consumer.commit(offsets=[TopicPartition(small.topic, 0, 2)], asynchronous=False)
    consumer.close()
    found = by_partition(lag("--topic", small.topic, "--json", "--group", group))[0]
    assert (found["committed"], found["durable_next"]) == (2, 4)


@pytest.mark.servers
def test_a_topic_made_again_is_not_called_caught_up(servers: Servers, small: SmallArchive, lag: Lag) -> None:
    """The archive's offsets belong to the earlier incarnation."""
    write(servers, small.topic, 0, 2)
    small.commit([Rec(0, 0), Rec(0, 1)], topic_id="an-earlier-one")
    found = by_partition(lag("--topic", small.topic, "--json"))[0]
    assert (found["state"], found["records_behind"]) == ("not-archived", 2)
    assert "made again" in found["note"]


@pytest.mark.servers
def test_a_topic_that_kafka_no_longer_has_is_unknown(small: SmallArchive, lag: Lag) -> None:
    """The archive still has it; lag cannot be told."""
    gone = SmallArchive("gone", form="raw", store=small.store)
    gone.commit([Rec(0, 0)])
    found = by_partition(lag("--topic", "gone", "--json"))[0]
    assert (found["state"], found["durable_next"], found["records_behind"]) == ("unknown", 1, None)
    assert "Kafka has no such topic" in found["note"]


@pytest.mark.servers
def test_a_damaged_log_is_told_and_exits_1(servers: Servers, small: SmallArchive, lag: Lag) -> None:
    """The other topics are still shown."""
    archive_up_to(servers, small, {0: 1}, {0: 1})
    small.memory.objects[log_key(small.topic, 1)] = b"{"
    result = lag("--topic", small.topic, "--json")
    assert result.exit_code == 1
    assert "not JSON" in by_partition(result)[0]["note"]


@pytest.mark.servers
@pytest.mark.usefixtures("small")
def test_an_unknown_topic_exits_2(lag: Lag) -> None:
    """Neither in Kafka nor in the archive."""
    result = lag("--topic", "nope")
    assert result.exit_code == 2
    assert "neither in Kafka nor in the archive" in result.stderr


@pytest.mark.servers
def test_an_s3_that_does_not_answer_exits_3(small: SmallArchive, lag: Lag) -> None:
    """The truth lies there."""

    def fault(_operation: str, _key: str) -> None:
        raise StoreUnreachable("no answer from S3")

    small.memory.fault = fault
    result = lag("--topic", small.topic)
    assert result.exit_code == 3
    assert "no answer from S3" in result.stderr


def test_a_kafka_that_is_not_there_exits_3_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong address is an error within seconds, not an endless wait."""
    monkeypatch.setattr("headrace.cli.lag.open_to_look", lambda _url: SmallArchive().store)
    begun = time.monotonic()
    result = CliRunner().invoke(root, ["lag", "--kafka", "127.0.0.1:1", "--archive", "s3://b/p"])
    assert result.exit_code == 3
    assert "127.0.0.1:1" in result.stderr
    assert time.monotonic() - begun < 120


# -- for monitors, and for whoever is woken ----------------------------------------------------------------------------


@pytest.mark.servers
def test_check_has_four_answers(servers: Servers, small: SmallArchive, lag: Lag) -> None:
    """0 fine, 1 warning, 2 critical, 3 cannot tell; one line says why."""
    write(servers, small.topic, 0, 5)
    archive_up_to(servers, small, {0: 5}, {0: 5})
    fine = lag("--check", "--topic", small.topic)
    assert (fine.exit_code, fine.stdout.split(":")[0]) == (0, "ok")
    write(servers, small.topic, 0, 3)
    warned = lag("--check", "--topic", small.topic, "--warn-behind", "0")
    assert (warned.exit_code, warned.stdout.split(":")[0]) == (1, "warning")
    critical = lag("--check", "--topic", small.topic, "--critical-behind", "0", "--warn-behind", "0")
    assert (critical.exit_code, critical.stdout.split(":")[0]) == (2, "critical")
    unknown = lag("--check", "--topic", "nope")
    assert (unknown.exit_code, unknown.stdout.split(":")[0]) == (3, "cannot tell")


def test_a_usage_error_under_check_is_not_called_critical() -> None:
    """A monitor with a typo must not page as if data were being lost: 3, cannot tell."""
    for arguments in (["lag", "--check", "--typo"], ["lag", "--check", "--every", "x"], ["lag", "--check"]):
        result = CliRunner().invoke(root, arguments, env={"HEADRACE_KAFKA": "", "HEADRACE_ARCHIVE": ""})
        assert result.exit_code == 3, arguments
        assert "Usage" in result.stderr


@pytest.mark.servers
def test_a_short_retention_is_seen_before_it_strikes(servers: Servers, small: SmallArchive, lag: Lag) -> None:
    """Seconds to loss count down from the record's timestamp, by the topic's own retention; the command doubles it."""
    admin = AdminClient({"bootstrap.servers": servers.kafka})
    kept = SmallArchive(servers.new_topic(1, {"retention.ms": "600000"}), form="raw", store=small.store)
    write(servers, kept.topic, 0, 5)
    archive_up_to(servers, kept, {0: 2}, {0: 2})
    result = lag("--topic", kept.topic, "--json")
    found = by_partition(result)[0]
    assert found["loss_by"] == "time"
    assert 500 < found["seconds_to_loss"] <= 600
    checked = lag("--check", "--topic", kept.topic)
    assert checked.exit_code == 2
    assert "losing-data" in checked.stdout
    explained = lag("--explain", f"{kept.topic}/0").stdout
    assert f"--entity-name {kept.topic} --add-config retention.ms=1200000" in explained
    assert "docs/runbook/losing-data.md" in explained
    admin.delete_topics([kept.topic])[kept.topic].result(30)


@pytest.mark.servers
def test_bytes_run_out_too(servers: Servers, small: SmallArchive, lag: Lag) -> None:
    """retention.bytes is weighed against the partition's size on the broker's disk and the rate of writing."""
    kept = SmallArchive(servers.new_topic(1, {"retention.bytes": "1000000", "retention.ms": "-1"}), form="raw")
    kept.store = small.store
    write(servers, kept.topic, 0, 5000)
    found = by_partition(lag("--topic", kept.topic, "--json"))[0]
    assert found["loss_by"] == "bytes"
    assert found["seconds_to_loss"] > 0  # 640,000 bytes of room, at the rate of a moment ago


@pytest.mark.servers
@pytest.mark.parametrize("falls_silent", ["at once", "in the middle"])
def test_without_s3_kafka_says_how_far_the_archive_is(
    servers: Servers, small: SmallArchive, lag: Lag, falls_silent: str
) -> None:
    """The group's committed offsets stand in, marked as such; the exit code still says that S3 is silent.

    So too when it answers who is archived, and then no more.
    """
    write(servers, small.topic, 0, 5)
    group = f"g-{small.topic}"
    consumer = Consumer({"bootstrap.servers": servers.kafka, "group.id": group})
    said = Heartbeat("host:1:0", time.time_ns() // 1_000_000, 5, 7).encode()
    consumer.commit(offsets=[TopicPartition(small.topic, 0, 3, said)], asynchronous=False)
    consumer.close()

    def fault(operation: str, _key: str) -> None:
        if falls_silent == "at once" or operation != "list":
            raise StoreUnreachable("credentials have expired")

    small.memory.fault = fault
    result = lag("--topic", small.topic, "--json", "--group", group)
    assert result.exit_code == 3
    found = by_partition(result)
    assert (found[0]["durable_from"], found[0]["durable_next"], found[0]["records_behind"]) == ("group", 3, 2)
    assert (found[0]["taken"], found[0]["worker"]) == (5, "host:1:0")
    assert found[0]["durable_as_of_ms"] is not None
    assert found[1]["state"] == "unknown"
    assert "credentials have expired" in json.loads(result.stdout)["unanswered"][0]
    assert lag("--check", "--topic", small.topic, "--group", group).exit_code == 3


def test_without_kafka_the_log_says_how_far_the_archive_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said about lag, and 3 is returned; how far the archive is can still be read."""
    archive = SmallArchive("t", form="raw")
    archive.commit([Rec(0, 0), Rec(0, 1)])
    monkeypatch.setattr("headrace.cli.lag.open_to_look", lambda _url: archive.store)
    result = CliRunner().invoke(root, ["lag", "--kafka", "127.0.0.1:1", "--archive", "s3://b/p", "--json"])
    assert result.exit_code == 3
    found = by_partition(result)[0]
    assert (found["durable_next"], found["records_behind"], found["state"]) == (2, None, "unknown")
    assert "127.0.0.1:1" in json.loads(result.stdout)["unanswered"][0]


@pytest.mark.servers
def test_explain_refuses_what_is_not_there(servers: Servers, small: SmallArchive, lag: Lag) -> None:
    """A partition that does not exist, or no number: said, with the form to use."""
    write(servers, small.topic, 0, 1)
    assert lag("--explain", f"{small.topic}/99").exit_code == 2
    refused = lag("--explain", f"{small.topic}/x")
    assert refused.exit_code == 2
    assert "TOPIC/PARTITION" in refused.stderr


def test_sparklines() -> None:
    """A bar a value, the largest is full, zero is blank."""
    assert sparkline([0, 1, 5, 10, 3]) == " ▁▄█▃"
    assert sparkline([0, 0]) == "  "
