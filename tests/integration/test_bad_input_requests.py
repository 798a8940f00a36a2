"""Requests that cannot be met: each says what would be possible, ends with code 2, and writes nothing."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from archiving import Archive
from confluent_kafka import Producer
from servers import Servers

pytestmark = pytest.mark.servers

RECORDS = 20


@pytest.fixture(scope="module")
def archive(servers: Servers) -> Archive:
    """An archive with one topic."""
    return Archive(servers)


@pytest.fixture(scope="module")
def topic(servers: Servers, archive: Archive) -> Iterator[str]:
    """A topic with two partitions of which one has records; its archive must be as it was at the end."""
    name = servers.new_topic(2)
    producer = Producer({"bootstrap.servers": servers.kafka})
    for index in range(RECORDS):
        producer.produce(name, f"record {index}".encode(), partition=0)
    assert producer.flush(120) == 0
    archive.archive(raw=[name])
    before = archive.objects()
    assert before
    yield name
    assert archive.objects() == before


# -- archive -----------------------------------------------------------------------------------------------------------


def test_archive_of_an_unknown_topic(archive: Archive, topic: str) -> None:
    """A topic that Kafka doesn't have is named, with those that there are; it is not made."""
    finished = archive.run("archive", "--topic", "no-such-topic", "--until-idle")
    assert finished.code == 2
    assert "topic 'no-such-topic' does not exist in Kafka" in finished.stderr
    assert topic in finished.stderr
    again = archive.run("archive", "--raw", "no-such-topic", "--until-idle")
    assert again.code == 2, "the first run made the topic"


def test_topic_named_by_both_options(archive: Archive, topic: str) -> None:
    """A topic is archived in one format."""
    finished = archive.run("archive", "--topic", topic, "--raw", topic, "--until-idle")
    assert finished.code == 2
    assert f"topic '{topic}' is named by --topic and by --raw; choose one" in finished.stderr


def test_misspelt_failpoint(archive: Archive, topic: str) -> None:
    """A test that names a failpoint wrongly fails, rather than run without one."""
    finished = archive.run("archive", "--raw", topic, "--until-idle", env={"HEADRACE_FAILPOINT": "after-nothing:1"})
    assert finished.code == 2
    assert "after-nothing" in finished.stderr
    assert "before-commit" in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--flush-rows", "0"], "--flush-rows"),
        (["--flush-rows", "many"], "--flush-rows"),
        (["--flush-interval", "-1"], "--flush-interval"),
        (["--flush-mib", "0"], "--flush-mib"),
        (["--memory-mib", "0"], "--memory-mib"),
        (["--workers", "0"], "--workers"),
        (["--group", ""], "'--group': is empty"),
        (["--schema-topic", ""], "'--schema-topic': is empty"),
        (["--no-such-option"], "No such option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_values_that_make_no_sense(archive: Archive, topic: str, arguments: list[str], words: str) -> None:
    """A limit of nothing, or of less, is refused at once, instead of committing for ever or never."""
    finished = archive.call("archive", "--raw", topic, "--until-idle", *arguments)
    assert finished.code == 2, finished.output
    assert words in finished.stderr
    assert "Traceback" not in finished.stderr


# -- the archive's address ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["", "archive", "/tmp/archive", "http://bucket/prefix", "s3:bucket", "s3:///prefix"])
@pytest.mark.parametrize("verb", ["archive", "verify", "replay", "log", "files", "lag"])
def test_archive_address_that_is_none(archive: Archive, topic: str, tmp_path: Path, url: str, verb: str) -> None:
    """What is not s3://bucket/prefix is refused with the form that is meant."""
    arguments = {"archive": ["--raw", topic, "--until-idle"], "replay": [topic, "--into", f"jsonl:{tmp_path / 'x'}"]}
    arguments["lag"] = []
    finished = archive.call(verb, *arguments.get(verb, [topic]), "--archive", url)
    assert finished.code == 2, finished.output
    assert "s3://" in finished.stderr.lower()
    assert list(tmp_path.iterdir()) == []


# -- ranges ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "0", "--to", "21"], ["offsets 0 to 21", "[0, 20)"]),
        (["--from", "21"], ["offsets 21 to its end", "[0, 20)"]),
        (["--from", "9", "--to", "8"], ["[9, 8) is empty", "--to is exclusive"]),
        (["--partition", "2"], ["partition 2", "which has partitions 0, 1"]),
        (["--partition", "-1"], ["partitions are numbered from 0"]),
        (["--at", "9999"], ["snapshot 9999", "its log ends at "]),  # the archiver may have needed several commits
        (["--topic-id", "AAAA"], ["topic id 'AAAA'", "is not in the archive"]),
        (["--lineage", "1"], ["lineage 1", "is not in the archive"]),
        (["--from", "yesterday"], ["'yesterday'", "neither an offset", "nor a time"]),
        (["--from", "2026-11-23T10:00:00"], ["has no time zone", "add Z"]),
        (["--from", "2026-11-23"], ["is a date without a time", "--dt 2026-11-23"]),
        (["--dt", "2026-02-30"], ["--dt 2026-02-30"]),
        (["--dt", "today"], ["--dt 'today'", "YYYY-MM-DD"]),
        (["--format", "csv"], ["csv"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value[0].startswith("--") else "",
)
def test_range_that_does_not_exist(
    archive: Archive, topic: str, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    """A replay of what the archive doesn't have says what it has, and leaves no file."""
    finished = archive.call("replay", topic, "--into", f"jsonl:{tmp_path / 'lines'}", *arguments)
    assert finished.code == 2, finished.output
    for word in words:
        assert word in finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_range_without_records_is_no_success(archive: Archive, topic: str, tmp_path: Path) -> None:
    """A date on which nothing came: nothing is read, so nothing was shown, and that is said."""
    finished = archive.call("replay", topic, "--into", f"jsonl:{tmp_path / 'lines'}", "--dt", "2001-01-01")
    assert finished.code == 1
    assert "nothing was checked" in finished.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["verify", "replay", "log", "files"])
def test_topic_that_is_not_archived(archive: Archive, topic: str, tmp_path: Path, verb: str) -> None:
    """A topic without a log is named, with those that have one."""
    more = ["--into", f"jsonl:{tmp_path / 'lines'}"] if verb == "replay" else []
    finished = archive.call(verb, "never-archived", *more)
    assert finished.code == 2
    assert "no topic 'never-archived'" in finished.stderr
    assert topic in finished.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", [["--at", "9"], ["--since", "9"]], ids=" ".join)
def test_snapshot_that_does_not_exist(archive: Archive, topic: str, option: list[str]) -> None:
    """A snapshot beyond the log's end is refused, instead of being taken for the newest."""
    finished = archive.call("files", topic, *option)
    assert finished.code == 2
    assert "9" in finished.stderr
    assert finished.stdout == ""


# -- where a replay goes -----------------------------------------------------------------------------------------------


def test_replay_into_a_file_that_exists(archive: Archive, topic: str, tmp_path: Path) -> None:
    """A file is never overwritten by accident."""
    there = tmp_path / "lines"
    there.write_text("precious")
    finished = archive.call("replay", topic, "--into", f"jsonl:{there}")
    assert finished.code == 2
    assert f"{there} exists" in finished.stderr
    assert there.read_text() == "precious"


@pytest.mark.parametrize("into", ["", "jsonl:", "csv:file", "jsonl:/no/such/folder/lines", "jsonl:{folder}"])
def test_replay_into_nowhere(archive: Archive, topic: str, tmp_path: Path, into: str) -> None:
    """A target that is none is refused, with the forms that there are or the reason."""
    finished = archive.call("replay", topic, "--into", into.format(folder=tmp_path))
    assert finished.code == 2, finished.output
    assert finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_replay_into_a_topic_that_is_not_there(archive: Archive, topic: str) -> None:
    """A target topic has to be made by whoever wants it, with the partitions that it needs."""
    finished = archive.call("replay", topic, "--into", "kafka:no-such-target")
    assert finished.code == 2, finished.output
    assert "no-such-target" in finished.stderr


def test_replay_into_a_topic_that_has_records(archive: Archive, topic: str) -> None:
    """A replay onto other records is refused: it could not be told from them."""
    finished = archive.call("replay", topic, "--into", f"kafka:{topic}")
    assert finished.code == 2, finished.output
    assert topic in finished.stderr
    assert "not empty" in finished.stderr or "records" in finished.stderr


# -- schemas -----------------------------------------------------------------------------------------------------------


def test_schema_that_breaks_the_rules(archive: Archive, tmp_path: Path) -> None:
    """Each broken rule is named with file and field, and what to do; the exit code says that something is wrong."""
    fields = [{"name": "_private", "type": "long"}, {"name": "note", "type": ["null", "string"]}]
    schema = {"type": "record", "name": "Visit", "namespace": "team", "fields": fields}
    (tmp_path / "visit.avsc").write_text(json.dumps(schema))
    finished = archive.call("schema", "check", str(tmp_path))
    assert finished.code == 1
    for word in ("visit.avsc", "[envelope]", "_private: [reserved]", "note: [null]", 'add "default": null'):
        assert word in finished.stderr


def test_schema_that_is_none(archive: Archive, tmp_path: Path) -> None:
    """A file that is not JSON is named, with line and column."""
    (tmp_path / "visit.avsc").write_text('{"type": "record",}')
    finished = archive.call("schema", "check", str(tmp_path))
    assert finished.code in (1, 2)
    assert "visit.avsc: not JSON" in finished.stderr
    assert "line 1" in finished.stderr


def test_unknown_event_type(archive: Archive) -> None:
    """An event type that nobody defined is named, with those that there are."""
    finished = archive.run("produce", "no-such-type")
    assert finished.code == 2
    assert "no-such-type" in finished.stderr
    assert "pin" in finished.stderr
