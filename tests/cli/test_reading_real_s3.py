"""What the reading verbs say when S3 itself is wrong: address, credentials, bucket."""

import time

import pytest
from click.testing import CliRunner, Result
from servers import Servers

from headrace.cli.main import root

pytestmark = pytest.mark.servers
VERBS = [["replay", "pin", "--into", "stdout"], ["verify", "pin"], ["log", "pin"], ["files", "pin"], ["lag"]]
NAMES = [verb[0] for verb in VERBS]


def run(servers: Servers, verb: list[str], **changed: str) -> Result:
    env = {**servers.env, "HEADRACE_ARCHIVE": servers.store_url, **changed}
    return CliRunner().invoke(root, verb, env=env, prog_name="headrace")


@pytest.mark.parametrize("verb", VERBS, ids=NAMES)
def test_wrong_credentials_exit_3(servers: Servers, verb: list[str]) -> None:
    """The message says that access was denied and what to check."""
    result = run(servers, verb, AWS_SECRET_ACCESS_KEY="wrong")
    assert result.exit_code == 3
    assert "access denied" in result.stderr
    assert "check the credentials" in result.stderr


@pytest.mark.parametrize("verb", VERBS, ids=NAMES)
def test_a_missing_bucket_exits_3(servers: Servers, verb: list[str]) -> None:
    """The message names the bucket."""
    result = run(servers, verb, HEADRACE_ARCHIVE="s3://no-such-bucket/x")
    assert result.exit_code == 3
    assert "the bucket 'no-such-bucket' does not exist" in result.stderr


@pytest.mark.parametrize("verb", VERBS, ids=NAMES)
def test_an_archive_url_that_is_none_exits_2(servers: Servers, verb: list[str]) -> None:
    """The message shows the form."""
    result = run(servers, verb, HEADRACE_ARCHIVE="/some/folder")
    assert result.exit_code == 2
    assert "s3://bucket/prefix" in result.stderr


@pytest.mark.parametrize("verb", [VERBS[0], VERBS[1]], ids=["reading", "listing"])
def test_an_address_where_nobody_answers_exits_3(servers: Servers, verb: list[str]) -> None:
    """By itself, with the address."""
    begun = time.monotonic()
    result = run(servers, verb, AWS_ENDPOINT_URL_S3="http://127.0.0.1:1")
    assert result.exit_code == 3
    assert "http://127.0.0.1:1" in result.stderr
    assert time.monotonic() - begun < 120


def test_an_empty_archive_has_no_topics(servers: Servers) -> None:
    """An unknown topic, and none that could be named."""
    result = run(servers, ["log", "pin"])
    assert result.exit_code == 2
    assert "no topics yet" in result.stderr
