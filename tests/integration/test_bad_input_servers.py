"""Servers that are not there, refuse, or are unfit: each verb says so plainly, ends soon with code 3, writes nothing.

Nearly all of the time goes into waiting for servers that don't answer, so all cases run at once.
"""

import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from archiving import Archive, Finished, run_headrace
from confluent_kafka import Producer
from odd_s3 import closed_port, s3_that_ignores_conditions, silent_port
from servers import Servers

pytestmark = pytest.mark.servers

SOON_S = 240.0  # about 15 s on a machine with nothing else to do; what is shown is that they end by themselves
AT_ONCE = 8

ARCHIVE = ("archive", "--raw", "{topic}", "--until-idle")
VERIFY = ("verify", "{topic}")
REPLAY = ("replay", "{topic}", "--into", "jsonl:{folder}/lines")
NO_BUCKET = {"HEADRACE_ARCHIVE": "s3://no-such-bucket-here/prefix"}
NO_BUCKET_WORDS = ("the bucket 'no-such-bucket-here' does not exist", "create it, or correct the URL")


@dataclass(frozen=True)
class Case:
    """A run that must be refused: what is changed in its environment, and what it must say. {places} are filled in."""

    arguments: tuple[str, ...]
    env: Mapping[str, str]
    words: tuple[str, ...]
    stdin: str = ""


@dataclass(frozen=True)
class Outcomes:
    """How all cases ended, and the places that were filled in."""

    places: Mapping[str, str]
    finished: Mapping[str, Finished] = field(default_factory=dict)


CASES = {
    "archive, S3 that never answers": Case(
        ARCHIVE, {"AWS_ENDPOINT_URL_S3": "http://{silent}"}, ("http://{silent}", "is the S3 endpoint right and up?")
    ),
    "archive, nobody at Kafka's address": Case(
        ARCHIVE, {"HEADRACE_KAFKA": "{closed}"}, ("{closed}", "is the address right")
    ),
    "archive, a host that does not resolve": Case(
        ARCHIVE, {"HEADRACE_KAFKA": "no-such-host.invalid:9092"}, ("no-such-host.invalid:9092", "is the address right")
    ),
    "archive, not Kafka at the address": Case(
        ARCHIVE, {"HEADRACE_KAFKA": "{not_kafka}"}, ("{not_kafka}", "is the address right")
    ),
    "lag, nobody at Kafka's address": Case(
        ("lag",), {"HEADRACE_KAFKA": "{closed}"}, ("{closed}", "is the address right")
    ),
    "produce, nobody at Kafka's address": Case(
        ("produce", "pin", "--timeout", "5"),
        {"HEADRACE_KAFKA": "{closed}"},
        ("{closed}",),
        '{{"user_id": 1, "pin_id": 1, "action": "SAVE"}}\n',
    ),
    "archive, wrong secret": Case(
        ARCHIVE,
        {"AWS_SECRET_ACCESS_KEY": "wrong"},
        ("{url}", "access denied (SignatureDoesNotMatch)", "check the credentials"),
    ),
    "archive, unknown key": Case(
        ARCHIVE,
        {"AWS_ACCESS_KEY_ID": "nobody"},
        ("{url}", "access denied (InvalidAccessKeyId)", "check the credentials"),
    ),
    "archive, no credentials": Case(
        ARCHIVE,
        {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
        ("{url}", "no credentials found", "set AWS_ACCESS_KEY_ID"),
    ),
    "verify, wrong secret": Case(VERIFY, {"AWS_SECRET_ACCESS_KEY": "wrong"}, ("{url}", "access denied")),
    "replay, unknown key": Case(REPLAY, {"AWS_ACCESS_KEY_ID": "nobody"}, ("{url}", "access denied")),
    "lag, wrong secret": Case(("lag",), {"AWS_SECRET_ACCESS_KEY": "wrong"}, ("{url}", "access denied")),
    "archive, missing bucket": Case(ARCHIVE, NO_BUCKET, NO_BUCKET_WORDS),
    "verify, missing bucket": Case(VERIFY, NO_BUCKET, NO_BUCKET_WORDS),
    "replay, missing bucket": Case(REPLAY, NO_BUCKET, NO_BUCKET_WORDS),
    "lag, missing bucket": Case(("lag",), NO_BUCKET, NO_BUCKET_WORDS),
    "archive, S3 that ignores If-None-Match": Case(
        ARCHIVE, {"AWS_ENDPOINT_URL_S3": "{forgetful}"}, ("{url} does not honour If-None-Match", "refuses to archive")
    ),
    "archive, nobody at S3's address": Case(
        ARCHIVE, {"AWS_ENDPOINT_URL_S3": "http://{closed}"}, ("http://{closed}", "is the S3 endpoint right and up?")
    ),
    "replay, nobody at S3's address": Case(
        REPLAY, {"AWS_ENDPOINT_URL_S3": "http://{closed}"}, ("http://{closed}", "is the S3 endpoint right and up?")
    ),
}


@pytest.fixture(scope="module")
def outcomes(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    """Run all cases; afterwards neither the archive nor a look-alike nor the disk may hold anything of them."""
    topic = servers.new_topic(1)
    producer = Producer({"bootstrap.servers": servers.kafka})
    producer.produce(topic, b"a record")
    assert producer.flush(120) == 0
    archive = Archive(servers)
    folder, home = tmp_path_factory.mktemp("out"), tmp_path_factory.mktemp("home")
    with contextlib.ExitStack() as stack:
        endpoint, objects = stack.enter_context(s3_that_ignores_conditions())
        places = {
            "topic": topic,
            "url": archive.url,
            "folder": str(folder),
            "closed": f"127.0.0.1:{stack.enter_context(closed_port())}",
            "silent": f"127.0.0.1:{stack.enter_context(silent_port())}",
            "forgetful": endpoint,
            "not_kafka": servers.env["AWS_ENDPOINT_URL_S3"].removeprefix("http://"),
        }
        usual = {**archive.env, "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true"}
        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        runs = {name: pool.submit(_run, case, places, usual) for name, case in CASES.items()}
        yield Outcomes(places, {name: run.result() for name, run in runs.items()})
    assert objects == {}, "the probe left something behind"
    assert _keys(archive) == []
    assert list(folder.iterdir()) == []
    buckets = [bucket["Name"] for bucket in servers.s3().list_buckets()["Buckets"]]
    assert "no-such-bucket-here" not in buckets


def _run(case: Case, places: Mapping[str, str], usual: Mapping[str, str]) -> Finished:
    arguments = [text.format(**places) for text in case.arguments]
    env = {name: text.format(**places) for name, text in case.env.items()}
    return run_headrace(arguments, {**usual, **env}, timeout_s=SOON_S, stdin=case.stdin.format(**places))


def _keys(archive: Archive) -> list[str]:
    bucket, _, prefix = archive.url.removeprefix("s3://").partition("/")
    found = archive.servers.s3().list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/")
    return [each["Key"] for each in found.get("Contents", [])]


@pytest.mark.parametrize("name", CASES)
def test_refused_by_a_server(outcomes: Outcomes, name: str) -> None:
    """The run ends with code 3 and says what was tried where, why it failed, and what to look at; no traceback."""
    finished = outcomes.finished[name]
    assert finished.code == 3, finished.output
    for word in CASES[name].words:
        assert word.format(**outcomes.places) in finished.output
    assert "Traceback" not in finished.output
