"""`headrace log moved` as typed, between two clusters that only answer who they are."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from click.testing import Result
from small_archive import CLUSTER_ID, TOPIC_ID, SmallArchive

from headrace.archiver.kafka_admin import LogEnds
from headrace.archiver.source import TopicPartition
from headrace.cli import log_moved

Run = Callable[..., Result]
NEW, OLD = ("--kafka", "new:9092"), ("--old-kafka", "old:9092")
IDS = {"new:9092": ("cluster-2", "topic-id-2"), "old:9092": (CLUSTER_ID, TOPIC_ID)}


class Answers:
    """What KafkaMetadata and KafkaAdmin say, by the bootstrap address."""

    end = 13
    ids: Mapping[str, tuple[str, str]] = IDS

    def __init__(self, settings: Mapping[str, Any], **_: Any) -> None:
        self._cluster, self._topic = self.ids[str(settings["bootstrap.servers"])]

    def cluster_id(self) -> str:
        return self._cluster

    def topic_ids(self, _topics: object) -> dict[str, str]:
        return {"pin": self._topic} if self._topic else {}

    def topics(self) -> dict[str, int]:
        return {"pin": 1}

    def log_ends(self, asked: list[TopicPartition]) -> dict[TopicPartition, LogEnds]:
        return {where: LogEnds(0, self.end, self.end) for where in asked}


@pytest.fixture(autouse=True)
def opened(archive: SmallArchive, monkeypatch: pytest.MonkeyPatch) -> type[Answers]:
    """The archive has offsets 0 to 11 of cluster-1."""
    answers = type("TheseAnswers", (Answers,), {})
    monkeypatch.setattr(log_moved, "open_store", lambda _url: archive.store)
    monkeypatch.setattr(log_moved, "KafkaMetadata", answers)
    monkeypatch.setattr(log_moved, "KafkaAdmin", answers)
    return answers


def test_without_yes_it_shows_what_is_left(run: Run, archive: SmallArchive) -> None:
    """Positions, what the old cluster has beyond them, and where the topic goes on; nothing is written."""
    before = dict(archive.memory.objects)
    result = run("log", "moved", "pin", *NEW, *OLD)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].split() == ["0", "11", "2"]
    assert "would go on from cluster cluster-1 to cluster cluster-2, topic id topic-id-2" in result.stdout
    assert archive.memory.objects == before


def test_what_is_left_is_not_passed_over(run: Run) -> None:
    """Moving past records of the old cluster takes a word; the gap then has the number."""
    refused = run("log", "moved", "pin", *NEW, *OLD, "--yes")
    assert refused.exit_code == 2
    assert "2 offsets of pin that are not archived" in refused.output
    moved = run("log", "moved", "pin", *NEW, *OLD, "--yes", "--leave-behind", "--why", "OPS-12")
    assert moved.exit_code == 0, moved.output
    assert "by entry 4" in moved.stdout
    verified = run("verify", "pin")
    assert verified.exit_code == 0, verified.output
    assert "everything from offset 11 on not archived: moved" in verified.stdout
    entry = json.loads(run("log", "pin", "--json").stdout)["entries"][-1]
    assert (entry["kind"], entry["cluster_id"], entry["details"]["why"]) == ("moved", "cluster-2", "OPS-12")
    assert entry["spans"][0]["gaps"][0]["evidence"]["left"] == 2
    again = run("log", "moved", "pin", *NEW, "--yes")
    assert again.exit_code == 0
    assert "already" in again.stdout
    value = json.loads(run("log", "moved", "pin", *NEW, "--json").stdout)
    assert (value["moved"], value["to_cluster_id"]) == (True, "cluster-2")


def test_the_old_records_are_still_replayed(run: Run) -> None:
    """Until the new cluster has records the log's topic id stays, and so do all readers."""
    before = run("replay", "pin", "--into", "stdout", "--format", "raw").stdout
    assert run("log", "moved", "pin", *NEW, "--yes").exit_code == 0
    assert run("replay", "pin", "--into", "stdout", "--format", "raw").stdout == before


@pytest.mark.parametrize(
    ("ids", "args", "told"),
    [
        ({"new:9092": ("cluster-2", TOPIC_ID)}, (), "is in the log already"),
        ({"old:9092": ("cluster-3", TOPIC_ID)}, OLD, "--old-kafka is cluster cluster-3"),
        ({"old:9092": (CLUSTER_ID, "another")}, OLD, "deleted or made again"),
    ],
)
def test_what_cannot_be_is_refused(
    run: Run, opened: type[Answers], ids: dict[str, tuple[str, str]], args: tuple[str, ...], told: str
) -> None:
    """Exit code 2, and the message says why."""
    opened.ids = {**IDS, **ids}
    result = run("log", "moved", "pin", *NEW, *args, "--yes")
    assert result.exit_code == 2
    assert told in result.output


def test_a_topic_that_is_called_moved_is_shown(run: Run) -> None:
    """`headrace log moved` alone, or with its own options, is about that topic."""
    for args in ((), ("--tail", "3")):
        assert "no topic 'moved'" in run("log", "moved", *args).output
    assert "log moved [OPTIONS] TOPIC" in run("log", "moved", "--help").output
