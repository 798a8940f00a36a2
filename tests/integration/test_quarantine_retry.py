"""`headrace quarantine retry` on a real S3, killed at each step; and a schema that Kafka brings later."""

import json
import os
import signal
import subprocess
import sys

import pytest
from confluent_kafka import Producer
from no_schemas import NoSchemas
from servers import Servers
from small_archive import NOV_23_MS, Rec, SmallArchive, pin_value, rows
from stores import s3_store

from headrace.archiver.commit_log import read_state
from headrace.archiver.failpoints import RETRY_FAILPOINTS
from headrace.archiver.garbage import unreferenced
from headrace.replay.reader import read
from headrace.replay.verify import verify_archive
from headrace.schemas.canonical import fingerprint

HEADRACE = "from headrace.cli.main import main; main()"
pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]


def retry(servers: Servers, archive: SmallArchive, *more: str, point: str = "") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **servers.env, "HEADRACE_ARCHIVE": archive.store.url, "HEADRACE_FAILPOINT": point}
    command = [sys.executable, "-c", HEADRACE, "quarantine", "retry", archive.topic, "--json", *more]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=180, check=False)


def test_kills_at_each_step_lose_and_double_nothing(servers: Servers) -> None:
    """kill -9 at each step, each time with new records in quarantine: the records are the same, verify finds nothing,
    and in the end all of them are rows and no intent or object is left over.
    """
    archive = SmallArchive("pin", store=s3_store(servers), schemas=NoSchemas())
    written: list[Rec] = []
    for point in (*RETRY_FAILPOINTS, ""):
        offset = len(written)
        new = [Rec(0, o, pin_value(o), b"k", NOV_23_MS + o, [("h", None)]) for o in range(offset, offset + 4)]
        archive.commit(new)
        written += new
        result = retry(servers, archive, point=f"{point}:1" if point else "")
        assert result.returncode == (-signal.SIGKILL if point else 0), (point, result.stderr)
        assert rows(list(read(archive.store, "pin"))) == written, point
        report, state = verify_archive(archive.store, "pin")
        assert report.ok, (point, report.findings)
    assert {each.file.kind for each in state.files.values()} == {"data"}
    assert sum(rows_of for rows_of, _ in state.dates.values()) == len(written)
    assert not state.intents
    assert not list(unreferenced(archive.store, state))


def test_a_schema_published_later_is_found_in_kafka(servers: Servers) -> None:
    """Unknown at first and left alone; decoded once the schema topic has it, and then kept in the archive."""
    schema = {"type": "record", "name": "Seen", "fields": [{"name": "n", "type": "int"}]}
    archive = SmallArchive("pin", store=s3_store(servers), schemas=NoSchemas())
    archive.commit([Rec(0, 0, b"\xc3\x01" + fingerprint(schema) + b"\x0e")])
    topic = servers.new_topic(1)
    assert json.loads(retry(servers, archive, "--schema-topic", topic).stdout)["decoded"] == 0
    producer = Producer({"bootstrap.servers": servers.kafka})
    producer.produce(topic, json.dumps(schema).encode())
    producer.flush(120)
    result = retry(servers, archive, "--schema-topic", topic)
    assert json.loads(result.stdout)["decoded"] == 1, result.stderr
    (file,) = read_state(archive.store, "pin").files.values()
    assert file.file.kind == "data"
    assert archive.store.get(f"schemas/{fingerprint(schema).hex()}.avsc")
