"""An archive that was changed behind headrace's back: each verb names the object and ends with the right code, a replay
leaves no file, and an archiver adds nothing to a log that it cannot trust.
"""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archiving import Archive, Finished
from confluent_kafka import Producer
from servers import Servers

pytestmark = pytest.mark.servers

COMMITS = 3
SOON_S = 240.0

Entry = dict[str, Any]


class Damaged:
    """A copy of an archive with three commits of one topic, to be damaged."""

    def __init__(self, whole: Archive, topic: str) -> None:
        self.topic = topic
        self.archive = Archive(whole.servers)
        self._s3 = whole.servers.s3()
        for key in whole.objects():
            self.put(key, self._get(whole, key))

    # -- objects -----------------------------------------------------------------------------------------------------

    def log_key(self, seq: int) -> str:
        return f"log/topic={self.topic}/{seq:020}.json"

    def data_key(self) -> str:
        """Return the key of the file of the second commit."""
        return str(self.entry(2)["files"][0]["key"])

    def get(self, key: str) -> bytes:
        return self._get(self.archive, key)

    def _get(self, archive: Archive, key: str) -> bytes:
        bucket, _, prefix = archive.url.removeprefix("s3://").partition("/")
        return self._s3.get_object(Bucket=bucket, Key=f"{prefix}/{key}")["Body"].read()

    def put(self, key: str, body: bytes) -> None:
        bucket, _, prefix = self.archive.url.removeprefix("s3://").partition("/")
        self._s3.put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=body)

    def remove(self, key: str) -> None:
        bucket, _, prefix = self.archive.url.removeprefix("s3://").partition("/")
        self._s3.delete_object(Bucket=bucket, Key=f"{prefix}/{key}")

    # -- the log -----------------------------------------------------------------------------------------------------

    def entry(self, seq: int) -> Entry:
        entry: Entry = json.loads(self.get(self.log_key(seq)))
        return entry

    def put_entry(self, seq: int, entry: Entry) -> None:
        self.put(self.log_key(seq), _encoded(entry))

    def rewrite_log(self, change: Callable[[Entry], None]) -> None:
        """Change all entries and chain them anew, as nobody but a forger or a newer headrace would."""
        before = "0" * 64
        for seq in range(1, COMMITS + 1):
            entry = self.entry(seq)
            change(entry)
            body = _encoded({**entry, "prev_sha256": before})
            self.put(self.log_key(seq), body)
            before = hashlib.sha256(body).hexdigest()

    def replace_file(self, body: bytes) -> None:
        """Put another file in the place of the second commit's, with a log that says so."""
        key = self.data_key()
        self.put(key, body)

        def change(entry: Entry) -> None:
            for file in entry["files"]:
                if file["key"] == key:
                    file.update(bytes=len(body), sha256=hashlib.sha256(body).hexdigest())

        self.rewrite_log(change)

    # -- what the verbs say ------------------------------------------------------------------------------------------

    def archived_again(self, *more: str) -> Finished:
        """Archive to the damaged archive."""
        return self.archive.run("archive", "--raw", self.topic, "--group", self.archive.group, *more, timeout_s=SOON_S)

    def readers_end_with(self, code: int, folder: Path, *words: str, verbs: tuple[str, ...] = ("verify",)) -> None:
        """Check what verbs say of the archive; `words` are in each answer. A replay must leave nothing."""
        for verb in verbs:
            more = ["--into", f"jsonl:{folder / 'lines'}", "--format", "raw"] if verb == "replay" else []
            finished = self.archive.call(verb, self.topic, *more)
            assert finished.code == code, f"{verb}: {finished.output}"
            for word in words:
                assert word in finished.output, f"{verb}: {finished.output}"
        assert list(folder.iterdir()) == []


def _encoded(entry: Entry) -> bytes:
    return (json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n").encode()


@pytest.fixture(scope="module")
def whole(servers: Servers) -> tuple[Archive, str]:
    """An archive with three commits of one topic, sound: each verb says so."""
    archive = Archive(servers)
    topic = servers.new_topic(1, {"retention.ms": "-1"})
    for commit in range(COMMITS):
        _produce(servers, topic, [f"commit {commit}, record {index}".encode() for index in range(10)])
        archive.archive(raw=[topic])
    assert [key for key in archive.objects() if key.startswith("log/")] == [
        f"log/topic={topic}/{seq:020}.json" for seq in range(1, COMMITS + 1)
    ]
    assert archive.call("verify", topic).code == 0
    return archive, topic


def _produce(servers: Servers, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": servers.kafka})
    for value in values:
        producer.produce(topic, value, timestamp=1_763_856_000_000)
    assert producer.flush(120) == 0


@pytest.fixture
def damaged(whole: tuple[Archive, str]) -> Damaged:
    """A copy that a test may damage."""
    return Damaged(*whole)


# -- commit objects ----------------------------------------------------------------------------------------------------


def _cut_off(entry: bytes) -> bytes:
    return entry[: len(entry) // 2]


def _one_row_more(entry: bytes) -> bytes:
    value = json.loads(entry)
    value["spans"][0]["rows"] += 1
    return _encoded(value)


def _another_time(entry: bytes) -> bytes:
    return _encoded({**json.loads(entry), "at": "2001-01-01T00:00:00Z"})


def _a_list(_entry: bytes) -> bytes:
    return b"[]\n"


def _without_spans(entry: bytes) -> bytes:
    value = json.loads(entry)
    del value["spans"]
    return _encoded(value)


def _not_utf8(entry: bytes) -> bytes:
    return entry[:20] + b"\xff" + entry[21:]


LOG_VERBS = ("verify", "replay", "log", "files")


@pytest.mark.parametrize(
    ("damage", "named"),
    [(_cut_off, 2), (_a_list, 2), (_not_utf8, 2), (_without_spans, 2), (_one_row_more, 2), (_another_time, 3)],
)
def test_changed_commit_object(damaged: Damaged, tmp_path: Path, damage: Callable[[bytes], bytes], named: int) -> None:
    """Whatever is changed in a commit object is found: in itself, or by the hash in the one after it."""
    damaged.put(damaged.log_key(2), damage(damaged.get(damaged.log_key(2))))
    damaged.readers_end_with(1, tmp_path, damaged.log_key(named), verbs=LOG_VERBS)


def test_archiver_on_a_changed_log(damaged: Damaged) -> None:
    """An archiver stops at a commit object that was changed, with its name, and writes nothing."""
    damaged.put(damaged.log_key(2), _one_row_more(damaged.get(damaged.log_key(2))))
    before = damaged.archive.objects()
    finished = damaged.archived_again("--until-idle")
    assert finished.code == 1, finished.output
    assert damaged.log_key(2) in finished.stderr
    assert "Traceback" not in finished.stderr
    assert damaged.archive.objects() == before


def test_lasting_archiver_on_a_changed_log(damaged: Damaged) -> None:
    """One that is to run for ever ends too: waiting mends no log, and a person has to look."""
    damaged.put(damaged.log_key(2), _cut_off(damaged.get(damaged.log_key(2))))
    before = damaged.archive.objects()
    finished = damaged.archived_again()
    assert finished.code == 1, finished.output
    assert damaged.log_key(2) in finished.stderr
    assert damaged.archive.objects() == before


def test_commit_object_that_was_removed(damaged: Damaged, tmp_path: Path) -> None:
    """A hole in the log is told from its end by the entries after it, and an archiver fills no hole."""
    damaged.remove(damaged.log_key(2))
    damaged.readers_end_with(1, tmp_path, damaged.log_key(2), "does not exist")
    before = damaged.archive.objects()
    finished = damaged.archived_again()
    assert finished.code == 1, finished.output
    assert f"{damaged.log_key(2)} does not exist" in finished.stderr
    assert damaged.archive.objects() == before


def test_commit_objects_that_changed_places(damaged: Damaged, tmp_path: Path) -> None:
    """An entry in another's slot is found by its own number."""
    second, third = damaged.get(damaged.log_key(2)), damaged.get(damaged.log_key(3))
    damaged.put(damaged.log_key(2), third)
    damaged.put(damaged.log_key(3), second)
    damaged.readers_end_with(1, tmp_path, damaged.log_key(2), "seq 3", verbs=LOG_VERBS)


def test_log_that_was_written_anew(damaged: Damaged, tmp_path: Path) -> None:
    """A log forged in all its entries is told by the head that somebody noted before."""
    head = damaged.archive.call("log", damaged.topic).stdout.splitlines()[-1].removeprefix("head ")
    assert damaged.archive.call("verify", damaged.topic, "--head", head).code == 0
    damaged.rewrite_log(lambda entry: entry.update(at="2001-01-01T00:00:00Z"))
    damaged.readers_end_with(0, tmp_path)
    finished = damaged.archive.call("verify", damaged.topic, "--head", head)
    assert finished.code == 1
    assert "the log was changed after that" in finished.output


# -- logs that are sound, and not for us -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [({"min_reader": 3}, ["reader version 3", "upgrade headrace"]), ({"kind": "dream"}, ["'dream'", "upgrade"])],
    ids=["min_reader", "kind"],
)
def test_log_of_a_newer_headrace(damaged: Damaged, tmp_path: Path, change: dict[str, Any], words: list[str]) -> None:
    """An entry that this version does not understand is refused, not guessed at, and nothing is added after it."""
    damaged.put_entry(3, {**damaged.entry(3), **change})
    damaged.readers_end_with(2, tmp_path, damaged.log_key(3), *words, verbs=LOG_VERBS)
    before = damaged.archive.objects()
    finished = damaged.archived_again("--until-idle")
    assert finished.code == 2, finished.output
    assert all(word in finished.stderr for word in words)
    assert damaged.archive.objects() == before


def test_log_of_another_cluster(damaged: Damaged) -> None:
    """Two clusters' offsets never mix: the other cluster's log is refused, and stays as it is."""
    damaged.rewrite_log(lambda entry: entry.update(cluster_id="another-cluster", topic_id="another-topic-id"))
    before = damaged.archive.objects()
    finished = damaged.archived_again("--until-idle")
    assert finished.code == 2, finished.output
    assert "belongs to Kafka cluster another-cluster" in finished.stderr
    assert "Archive to another prefix" in finished.stderr
    assert damaged.archive.objects() == before


# -- Parquet files -----------------------------------------------------------------------------------------------------


def _flipped(body: bytes) -> bytes:
    middle = len(body) // 3
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def _flipped_in_a_page(body: bytes) -> bytes:
    """Flip a bit of what the rows' values are made of, and nothing that says where they are."""
    group = pq.read_metadata(io.BytesIO(body)).row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    values = next(column for column in columns if column.path_in_schema == "_value")
    at = (values.dictionary_page_offset or values.data_page_offset) + values.total_compressed_size - 3
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def _shorter(body: bytes) -> bytes:
    return body[:-100]


def _nothing(_body: bytes) -> bytes:
    return b""


def _with_another_value(body: bytes) -> bytes:
    """Write the file again with one letter of one value changed, everything else as it was."""
    table = pq.read_table(io.BytesIO(body))
    values = table.column("_value").to_pylist()
    values[5] = b"Commit" + values[5][6:]
    at = table.schema.get_field_index("_value")
    changed = table.set_column(at, table.schema.field(at), pa.array(values, pa.binary()))
    out = io.BytesIO()
    pq.write_table(changed, out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("damage", "words"),
    [(_flipped, ["SHA-256"]), (_shorter, ["bytes, the log says"]), (_nothing, ["0 bytes, the log says"])],
)
def test_changed_parquet_file(
    damaged: Damaged, tmp_path: Path, damage: Callable[[bytes], bytes], words: list[str]
) -> None:
    """A single flipped bit is found before anything is parsed; the file, the commit and the remedy are named."""
    key = damaged.data_key()
    damaged.put(key, damage(damaged.get(key)))
    damaged.readers_end_with(1, tmp_path, key, "entry 2", *words, verbs=("verify", "replay"))
    assert "restore the object" in damaged.archive.call("verify", damaged.topic).output


def test_removed_parquet_file(damaged: Damaged, tmp_path: Path) -> None:
    """A file that the log names and the store doesn't have is named."""
    key = damaged.data_key()
    damaged.remove(key)
    damaged.readers_end_with(1, tmp_path, key, "entry 2", "does not exist", verbs=("verify", "replay"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [(_flipped_in_a_page, []), (_with_another_value, ["are not the archived ones"])],
    ids=["pages", "digest"],
)
def test_changed_parquet_file_with_a_log_to_match(
    damaged: Damaged, tmp_path: Path, damage: Callable[[bytes], bytes], words: list[str]
) -> None:
    """Even where the log has the changed file's hash, page checksums and the records' digest tell."""
    damaged.replace_file(damage(damaged.get(damaged.data_key())))
    damaged.readers_end_with(1, tmp_path, damaged.data_key(), *words, verbs=("verify", "replay"))


def test_damage_outside_of_the_selection(damaged: Damaged, tmp_path: Path) -> None:
    """A replay of what is sound still works, and verify names all that is not, not only the first."""
    for seq in (2, 3):
        key = str(damaged.entry(seq)["files"][0]["key"])
        damaged.put(key, _flipped(damaged.get(key)))
    sound = damaged.archive.call("replay", damaged.topic, "--to", "10", "--into", f"jsonl:{tmp_path / 'lines'}")
    assert sound.code == 0, sound.output
    assert len((tmp_path / "lines").read_bytes().splitlines()) == 10
    finished = damaged.archive.call("verify", damaged.topic)
    assert finished.code == 1
    assert "2 things are wrong" in finished.output


def test_archiver_goes_on_beside_a_changed_file(damaged: Damaged) -> None:
    """Damage to what is archived stops no archiver, since Kafka does not wait; it stays for verify to name."""
    key = damaged.data_key()
    damaged.put(key, _flipped(damaged.get(key)))
    _produce(damaged.archive.servers, damaged.topic, [b"one more"])
    finished = damaged.archived_again("--until-idle")
    assert finished.code == 0, finished.output
    assert damaged.entry(COMMITS + 1)["spans"][0]["rows"] == 1
    assert key in damaged.archive.call("verify", damaged.topic).output
