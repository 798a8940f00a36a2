"""Temporary credentials that end while an archiver runs."""

import json
import re
from base64 import b64decode
from pathlib import Path

import pytest
from archiving import Archive
from kafka_changes import numbered, produce
from servers import Servers
from token_s3 import token_s3
from verb_running import started
from worker_slots import wait_until

pytestmark = pytest.mark.servers

TOKENS = ("token-of-monday", "token-of-tuesday")
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def test_a_session_token_that_expires_while_it_archives(servers: Servers, tmp_path: Path) -> None:
    """S3 says ExpiredToken: the archiver says so, waits in its place, and goes on without being started again once the
    profile's file has new credentials. Each record is archived once; no token or secret is told."""
    topic = servers.new_topic(1)
    profile = tmp_path / "credentials"

    def keep(token: str) -> None:
        keys = f"aws_access_key_id = temporary\naws_secret_access_key = secret-of-{token}\n"
        profile.write_text(f"[default]\n{keys}aws_session_token = {token}\n")

    keep(TOKENS[0])
    archive = Archive(servers)
    unhindered = dict(archive.env)

    def commits() -> int:
        return sum(key.startswith("log/") for key in archive.objects())

    with token_s3(servers.env, TOKENS[0]) as s3:
        env = {name: value for name, value in archive.env.items() if name not in SECRETS}
        archive.env = {**env, "AWS_ENDPOINT_URL_S3": s3.endpoint, "AWS_SHARED_CREDENTIALS_FILE": str(profile)}
        arguments = ("archive", "--raw", topic, "--group", archive.group, "--flush-interval", "0.3", "--no-seal")
        with started(archive, *arguments) as (_process, said):
            produce(servers.kafka, topic, numbered("v", 0, 3))
            wait_until(lambda: commits() > 0, "the first records are committed")
            assert s3.refused == 0
            s3.valid = TOKENS[1]
            produce(servers.kafka, topic, numbered("v", 3, 6))
            denied = r"( at \S+: access denied \(ExpiredToken\); check the credentials and their rights)"
            wait_until(lambda: bool(said.find(denied)), "it is told")
            before = commits()

            def waits() -> list[str]:
                return [found[1] for each in said.lines if (found := re.search(r"Waiting (\S+) s for rights", each))]

            wait_until(lambda: len(waits()) >= 2, "it waits")
            assert commits() == before
            keep(TOKENS[1])
            wait_until(lambda: commits() > before, "it goes on with the new credentials")
    told = "".join(said.lines)
    assert told.count("started, pid") == 1, told
    assert waits()[:2] == ["0.5", "1.0"]
    assert not any(token in told for token in TOKENS), told
    archive.env = unhindered
    assert archive.call("verify", topic).code == 0
    shown = archive.call("replay", topic, "--into", "stdout", "--format", "raw").stdout
    records = [json.loads(line) for line in shown.splitlines() if line.startswith("{")]
    assert [(each["offset"], b64decode(each["value"])) for each in records] == list(enumerate(numbered("v", 0, 6)))
