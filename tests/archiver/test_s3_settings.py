"""What S3 is told with each request; what the store does about 503s, certificates, proxies and objects in Glacier."""

import json
import ssl
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import Request as Forwarded
from urllib.request import urlopen

import pytest
from archiving import HEADRACE, plain_environment
from click.testing import CliRunner
from faulty_s3 import KEY_ID, FaultyS3, faulty_s3
from secured_kafka import Certificates
from small_archive import Rec, SmallArchive

from headrace.archiver.compaction_plan import CompactLimits
from headrace.archiver.config import ArchiverConfig
from headrace.archiver.limits import Limits
from headrace.archiver.object_store import ObjectArchived, OutcomeUnknown, StoreError, StoreUnreachable
from headrace.archiver.s3 import PUT_BYTES_MAX, S3Store
from headrace.archiver.s3_settings import S3Settings
from headrace.cli.main import root

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1"}
OWNER = "111122223333"


def store_at(endpoint: str, settings: S3Settings | None = None, **more: Any) -> S3Store:
    where: dict[str, Any] = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": "s", "region_name": "us-east-1"}
    return S3Store("s3://b/a", settings=settings, endpoint_url=endpoint, **where, **more)


def use_all(store: S3Store) -> None:
    store.put_if_absent("x", b"1")
    store.put("y", b"2")
    store.get("x")
    store.get_tail("x", 1)
    store.size("x")
    list(store.list(""))
    store.folders("")
    store.delete(["x", "y"])


def test_each_put_carries_its_checksum_and_its_encryption() -> None:
    """SHA-256, encryption and key go along with every PUT, conditional or not."""
    with faulty_s3() as s3:
        use_all(store_at(s3.endpoint, S3Settings(sse="aws:kms", sse_kms_key_id="alias/archive")))
        puts = [each.headers for each in s3.requests if each.method == "PUT"]
    assert len(puts) == 2
    for headers in puts:
        assert len(headers["x-amz-checksum-sha256"]) == 44
        assert headers["x-amz-server-side-encryption"] == "aws:kms"
        assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/archive"


def test_every_request_names_the_owner() -> None:
    """With a bucket owner set, no request goes out without it."""
    with faulty_s3() as s3:
        use_all(store_at(s3.endpoint, S3Settings(bucket_owner=OWNER)))
        assert {each.method for each in s3.requests} == {"PUT", "GET", "HEAD", "DELETE"}
        assert {each.headers.get("x-amz-expected-bucket-owner") for each in s3.requests} == {OWNER}


def test_nothing_is_said_that_was_not_asked_for() -> None:
    """Without settings the bucket's defaults hold: neither encryption nor owner is named."""
    with faulty_s3() as s3:
        use_all(store_at(s3.endpoint))
        named = {name for each in s3.requests for name in each.headers}
    assert not {name for name in named if "encryption" in name or "owner" in name}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"sse": "aes"}, "none of AES256"),
        ({"sse_kms_key_id": "k"}, "unless the encryption is aws:kms"),
        ({"sse": "AES256", "sse_kms_key_id": "k"}, "unless the encryption is aws:kms"),
        ({"bucket_owner": "me"}, "12 digits"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, str], told: str) -> None:
    """Settings that contradict each other, or are none, end with what is wrong."""
    with pytest.raises(ValueError, match=told):
        S3Settings(**wrong)


def test_workers_are_told_too() -> None:
    """The settings go to worker processes with the rest of the configuration."""
    settings = S3Settings(sse="aws:kms", sse_kms_key_id="k", bucket_owner=OWNER)
    config = ArchiverConfig(kafka={"bootstrap.servers": "k"}, archive_url="s3://b/a", topics=(), s3=settings)
    assert ArchiverConfig.from_json(config.to_json()).s3 == settings


def test_flags_and_variables_make_the_settings() -> None:
    """A verb's flag wins over the variable, and both reach the store."""
    with faulty_s3() as s3:
        env = {**ENVIRONMENT, "AWS_ENDPOINT_URL_S3": s3.endpoint, "HEADRACE_STORE_SSE": "aws:kms"}
        arguments = [
            "store",
            "check",
            "--archive",
            "s3://b/a",
            "--races",
            "1",
            "--sse",
            "AES256",
            "--bucket-owner",
            OWNER,
        ]
        result = CliRunner().invoke(root, [*arguments, "--json"], env=env)
        report = json.loads(result.stdout)
        assert report["checks"][-1]["seen"] == "the store says AES256"
        signed = [each for each in s3.requests if "nobody" not in each.headers["authorization"]]
        assert {each.headers.get("x-amz-expected-bucket-owner") for each in signed} == {OWNER}


def test_reads_are_tried_again_and_writes_are_not() -> None:
    """A GET outlives two 503s; a PUT that gets one is asked once, and its outcome is unknown."""
    with faulty_s3() as s3:
        s3.objects["a/x"] = b"1"
        store = store_at(s3.endpoint)
        s3.failures["GET"] = 2
        assert store.get("x") == b"1"
        assert len(s3.requests) == 3
        for write in (store.put_if_absent, store.put):
            s3.requests.clear()
            s3.failures["PUT"] = 1
            with pytest.raises(OutcomeUnknown):
                write("new", b"1")
            assert len(s3.requests) == 1


def test_pauses_before_reads_are_drawn_at_random(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many archivers that meet one outage do not come back in step: each pause is a part of a bound that doubles."""
    pauses: list[float] = []
    monkeypatch.setattr("botocore.endpoint.time.sleep", pauses.append)
    with faulty_s3() as s3:
        s3.objects["a/x"] = b"1"
        for _ in range(3):
            s3.failures["GET"] = 3
            assert store_at(s3.endpoint).get("x") == b"1"
    assert len(set(pauses)) == len(pauses) == 9
    assert all(0 <= pause <= 2**number for number, pause in zip([0, 1, 2] * 3, pauses, strict=True))


def test_the_tail_of_an_empty_object_is_empty() -> None:
    """S3 refuses every range of an empty object, which a stranger may have put: that ends no cleaning."""
    with faulty_s3() as s3:
        s3.objects["a/x"] = b""
        assert store_at(s3.endpoint).get_tail("x", 10) == b""


def test_retries_of_reads_are_bounded() -> None:
    """A store that only answers 503 is given up after `read_attempts`."""
    with faulty_s3() as s3:
        s3.failures["GET"] = 100
        with pytest.raises(StoreUnreachable):
            store_at(s3.endpoint, read_attempts=2).get("x")
        assert len(s3.requests) == 2


def test_one_put_is_enough_for_the_largest_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a flush and a compaction may make lies far below what S3 takes in one PUT; more is refused unsent."""
    largest = max(Limits().flush_bytes_max, CompactLimits().bytes_max, Limits().commit_bytes_max)
    assert largest * 16 < PUT_BYTES_MAX == 5 * 1024**3
    monkeypatch.setattr("headrace.archiver.s3.PUT_BYTES_MAX", 10)
    with faulty_s3() as s3:
        with pytest.raises(StoreError, match="11 bytes, and S3 takes 10 in one PUT"):
            store_at(s3.endpoint).put_if_absent("x", b"12345678901")
        assert (s3.requests, s3.objects) == ([], {})


def test_a_certificate_of_an_authority_of_ones_own(tmp_path: Path) -> None:
    """Over TLS nothing is sent to a server that is not trusted, and the advice names the option that mends it."""
    certificates = Certificates(tmp_path)
    made, key = certificates.sign("s3", "IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    with faulty_s3(tls=context) as s3:
        env = {**plain_environment(), **ENVIRONMENT, "AWS_ENDPOINT_URL_S3": s3.endpoint}
        command = [*HEADRACE, "store", "check", "--archive", "s3://b/a", "--races", "1"]
        refused = subprocess.run(command, env=env, check=False, capture_output=True, text=True, timeout=300)
        assert (refused.returncode, "--ca-bundle" in refused.stderr, s3.requests) == (3, True, [])
        trusted = [*command, "--ca-bundle", str(certificates.ca)]
        assert subprocess.run(trusted, env=env, check=False, capture_output=True, timeout=300).returncode == 0
        assert s3.objects == {}


class _Proxy(BaseHTTPRequestHandler):
    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        with urlopen(Forwarded(self.path, headers=dict(self.headers.items())), timeout=60) as answer:
            body = answer.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server names it so
        """Say nothing."""


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY leads requests through the proxy; NO_PROXY past it; one that is not there is named in the error."""
    seen: list[str] = []
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Proxy,), {"seen": seen}))
    thread = Thread(target=proxy.serve_forever, args=(0.05,))
    thread.start()
    try:
        with faulty_s3() as s3:
            s3.objects["a/x"] = b"1"
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server_port}")
            assert (store_at(s3.endpoint).get("x"), seen) == (b"1", [])
            for name in ("no_proxy", "NO_PROXY"):
                monkeypatch.setenv(name, "")
            store = store_at(s3.endpoint)
            monkeypatch.setattr("urllib.request.getproxies", dict)  # for the proxy's own requests
            assert (store.get("x"), seen) == (b"1", [f"{s3.endpoint}/b/a/x"])
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()


class Archived:
    """A small archive on the server, of which one file lies in Glacier."""

    def __init__(self, s3: FaultyS3) -> None:
        small = SmallArchive(topic="pin")
        small.commit([Rec(0, 0), Rec(0, 1)])
        small.commit([Rec(0, 2)])
        s3.objects.update({f"a/{key}": body for key, body in small.memory.objects.items()})
        self.file = min(key for key in s3.objects if "/data/" in key or "/quarantine/" in key)
        s3.glacier.add(self.file)
        self.env = {**ENVIRONMENT, "AWS_ENDPOINT_URL_S3": s3.endpoint, "HEADRACE_ARCHIVE": "s3://b/a"}

    def run(self, *arguments: str) -> Any:
        return CliRunner().invoke(root, list(arguments), env=self.env)


def test_an_object_in_glacier_is_named_with_how_to_restore_it() -> None:
    """verify names each and checks the rest; replay stops with it. Both say that nothing is lost, and the command."""
    with faulty_s3() as s3:
        archived = Archived(s3)
        restore = f"aws s3api restore-object --bucket b --key {archived.file}"
        verified = archived.run("verify", "pin")
        assert verified.exit_code == 1
        assert f"s3://b/{archived.file} lies in an archive storage class (GLACIER)" in verified.output
        assert restore in verified.output
        replayed = archived.run("replay", "pin", "--into", "stdout", "--format", "raw")
        assert replayed.exit_code == 3
        assert restore in replayed.output
        s3.glacier.clear()
        assert archived.run("verify", "pin").exit_code == 0
        s3.glacier.add(archived.file)
        with pytest.raises(ObjectArchived):
            store_at(s3.endpoint).get(archived.file.removeprefix("a/"))
