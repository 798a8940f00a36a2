"""`headrace replay` as typed, on the real Kafka and the real S3, judged by a plain consumer.

Ranges by times of a zone and by named checkpoints, several topics at once into Kafka, and what a plan says that the
target will alter.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from archiving import Archive, Finished, plain_environment, read_replayed
from confluent_kafka import Producer
from kafka_history import take
from kafka_oracle import Seen, read_topic
from kafka_wire import WireRecord, produce_on_the_wire
from record_zoo import named_cases
from servers import Servers
from watched_topic import ANY_TIME, WatchedTopic, differences, publish_schemas

pytestmark = pytest.mark.servers

NINE_UTC_MS = 1_763_888_400_000  # 2025-11-23T09:00:00Z, when it is ten in Berlin
HOUR_MS = 3_600_000
FOREVER = {**ANY_TIME, "message.timestamp.type": "CreateTime"}


def produced(servers: Servers, topic: str, times: Iterable[int]) -> None:
    """Write a record of each time, to partitions in turn."""
    producer = Producer({"bootstrap.servers": servers.kafka})
    for number, time_ms in enumerate(times):
        producer.produce(topic, b"%d" % number, b"k", number % 2, timestamp=time_ms, headers=[("h", None)])
    assert producer.flush(120) == 0


def seen(servers: Servers, topic: str) -> list[Seen]:
    return [record for _, record in sorted(read_topic(servers.kafka, topic).records.items())]


def must(finished: Finished) -> Finished:
    assert finished.code == 0, finished.output
    return finished


def test_times_of_a_zone_choose_records(servers: Servers, tmp_path: Path) -> None:
    """Ten to eleven in Berlin is nine to ten in UTC: the first millisecond is in, the end is not, in any order."""
    topic, archive = servers.new_topic(2, ANY_TIME), Archive(servers)
    begin, end = NINE_UTC_MS, NINE_UTC_MS + HOUR_MS
    produced(servers, topic, [end, begin, begin - 1, end - 1, begin + 7, begin - HOUR_MS, end + 1, begin, end - 1, 1])
    archive.archive(raw=[topic])
    command = ("replay", topic, "--from", "2025-11-23T10:00", "--to", "2025-11-23T11:00", "--format", "raw")
    must(archive.call(*command, "--tz", "Europe/Berlin", "--into", f"jsonl:{tmp_path / 'berlin'}"))
    wanted = [record for record in seen(servers, topic) if begin <= record.timestamp < end]
    assert len(wanted) == 5
    assert differences(wanted, read_replayed(tmp_path / "berlin")) == []
    naive = archive.call(*command, "--into", f"jsonl:{tmp_path / 'naive'}")
    assert naive.code == 2
    assert "--tz" in naive.stderr
    assert not (tmp_path / "naive").exists()


def test_two_checkpoints_are_a_range(servers: Servers, tmp_path: Path) -> None:
    """What was archived between them, in each partition; what came before and after is not touched. They are listed."""
    topic, archive = servers.new_topic(2, ANY_TIME), Archive(servers)
    views: list[list[Seen]] = []
    for name, count in (("monday", 7), ("tuesday", 11), (None, 5)):
        produced(servers, topic, range(NINE_UTC_MS, NINE_UTC_MS + count))
        archive.archive(raw=[topic])
        views.append(seen(servers, topic))
        if name is not None:
            must(archive.call("checkpoint", "create", name))
    between = sorted(set(views[1]) - set(views[0]))
    assert len(between) == 11
    command = ("replay", topic, "--format", "raw", "--from", "checkpoint:monday")
    must(archive.call(*command, "--to", "checkpoint:tuesday", "--into", f"jsonl:{tmp_path / 'between'}"))
    assert differences(between, read_replayed(tmp_path / "between")) == []
    must(archive.call(*command, "--into", f"jsonl:{tmp_path / 'since'}"))
    assert differences(sorted(set(views[2]) - set(views[0])), read_replayed(tmp_path / "since")) == []
    listed = json.loads(must(archive.call("checkpoint", "list", "--json")).stdout)["checkpoints"]
    assert [each["name"] for each in listed] == ["monday", "tuesday"]
    shown = must(archive.call("checkpoint", "show", "monday")).stdout
    assert [line.split()[3] for line in shown.splitlines() if line.startswith(topic)] == ["4", "3"]


def by_partition(records: Iterable[Seen]) -> dict[int, list[tuple[Any, ...]]]:
    """All of a record but its offset, in each partition's order; the times of a broker come as CreateTime."""
    found: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for record in sorted(records):
        found[record.partition].append((record.timestamp, record.key, record.value, record.headers))
    return found


def test_several_topics_go_into_kafka_at_once(servers: Servers, tmp_path: Path) -> None:
    """Records of all kinds in three topics, in transactions too: each target has just those of its own topic, field by
    field and in order. The receipt verifies, and names all that it has to: the broker's times are the producer's now.
    """
    archive, rng = Archive(servers), Random(5)
    events, stamped = WatchedTopic.create(servers, rng), WatchedTopic.create(servers, rng, stamped=True)
    raw = WatchedTopic.create(servers, rng, raw=True)
    topics = (events, stamped, raw)
    for topic in topics:
        topic.history.write(named_cases(rng))
        topic.history.write_in_transactions(take(topic.records, 60))
        topic.watch()
        servers.new_topic(3, FOREVER, name=f"{topic.name}-again")
    more = ["--flush-rows", "60", "--schema-topic", publish_schemas(servers)]
    archive.archive([events.name, stamped.name], [raw.name], more=more)
    receipt = tmp_path / "receipt.json"
    names = [topic.name for topic in topics]
    must(archive.run("replay", *names, "--into", "kafka:{topic}-again", "--receipt", str(receipt)))
    for topic in topics:
        target = read_topic(servers.kafka, f"{topic.name}-again").records.values()
        assert by_partition(target) == by_partition(topic.expected.values()), topic.name
    said = json.loads(receipt.read_text())
    (reason,) = said["reasons"]
    assert reason.startswith(f"{len(stamped.expected)} records")
    assert "CreateTime" in reason
    assert [each["records"] for each in said["topics"]] == [len(topic.expected) for topic in topics]
    checked = json.loads(must(archive.call("verify", "--receipt", str(receipt), "--json")).stdout)["checked"]
    assert checked == {"records": sum(len(topic.expected) for topic in topics), "targets": 3}
    produced(servers, f"{raw.name}-again", [1])  # what comes later is not the receipt's
    must(archive.call("verify", "--receipt", str(receipt)))

    bare = servers.new_topic(3, FOREVER)
    stripped = archive.call("replay", raw.name, "--into", f"kafka:{bare}", "--strip-headers", "--receipt", str(receipt))
    assert "alters: headers" in must(stripped).stderr
    records = read_topic(servers.kafka, bare).records.values()
    assert by_partition(records) == by_partition(each._replace(headers=()) for each in raw.expected.values())
    assert json.loads(receipt.read_text())["exact"] is False


def test_a_daily_job_reads_each_file_once(servers: Servers, tmp_path: Path) -> None:
    """The page's script, run as it stands after each archiving: each time it gets what is new, and nothing twice."""
    page = (Path(__file__).parents[2] / "docs" / "reading-the-archive.md").read_text()
    script = page.partition("## A job that reads what is new")[2].partition("```sh\n")[2].partition("```")[0]
    assert "--since" in script
    topic, archive = servers.new_topic(2, ANY_TIME), Archive(servers)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given: list[str] = []
    for count in (3, 4, 0):
        produced(servers, topic, range(NINE_UTC_MS, NINE_UTC_MS + count))
        if count:
            archive.archive(raw=[topic])
        subprocess.run(
            ["bash", "-euc", script.replace("files pin", f"files {topic}")],
            env={**plain_environment(), **archive.env, "PATH": path}, cwd=tmp_path, check=True, timeout=240,
        )  # fmt: skip
        new = json.loads((tmp_path / "new.json").read_text())
        assert sum(each["rows"] for each in new["added"]) == count
        given += [each["url"] for each in new["added"]]
    assert sorted(given) == sorted(must(archive.call("files", topic)).stdout.split())


def test_a_plan_says_what_the_target_will_alter(servers: Servers) -> None:
    """Before anything is sent: the broker's own times, fewer partitions, and, once records are read, timestamp 0.

    Each is named with the option that accepts it; accepted, the plan lists it as an alteration.
    """
    topic, archive = servers.new_topic(2, ANY_TIME), Archive(servers)
    for partition in (0, 1):
        sound = WireRecord(b"k", b"v", (), NINE_UTC_MS)
        produce_on_the_wire(servers.kafka, topic, partition, [sound, WireRecord(b"k", b"v", (), 0)])
    archive.archive(raw=[topic])
    stamping = servers.new_topic(1, {**ANY_TIME, "message.timestamp.type": "LogAppendTime"})
    command = ("replay", topic, "--into", f"kafka:{stamping}", "--plan-only")
    plan = archive.call(*command)
    assert plan.code == 2
    refused = [line for line in plan.stderr.splitlines() if line.startswith("would be refused")]
    assert [line.rpartition(" by ")[2] for line in refused] == ["--allow-fewer-partitions", "--allow-log-append-time"]
    assert f"kafka:{stamping}" in plan.stderr.splitlines()[1]
    accepted = must(archive.call(*command, "--allow-fewer-partitions", "--allow-log-append-time")).stderr
    altered = [line for line in accepted.splitlines() if line.startswith("alters")]
    assert ["partitions" in altered[0], "LogAppendTime" in altered[1]] == [True, True], accepted
    assert "would be refused" not in accepted

    sound_target = servers.new_topic(2, FOREVER)
    dry = archive.call("replay", topic, "--into", f"kafka:{sound_target}", "--dry-run")
    assert dry.code == 2
    assert "would be refused: the record at partition 0, offset 1 has timestamp 0" in dry.stderr
    assert "--allow-timestamp-zero" in dry.stderr
    for target in (stamping, sound_target):
        assert read_topic(servers.kafka, target).records == {}, "a plan sends nothing"
