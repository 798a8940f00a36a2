"""Heartbeats in the metadata of offset commits: small, readable, and never an error for whoever reads them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.archiver.oncall.heartbeat import METADATA_BYTES_MAX, Heartbeat, decode, gist

MS = st.integers(0, 2**53)
SAID = st.builds(Heartbeat, st.text(), MS, st.integers(0, 2**63 - 1), st.integers(-1, 2**31), st.text(), MS)


@given(SAID)
def test_whatever_it_says_it_fits(said: Heartbeat) -> None:
    """Kafka refuses a commit of many partitions whose metadata is long: no host name or error makes it so."""
    text = said.encode()
    assert len(text.encode()) <= METADATA_BYTES_MAX
    read = decode(text)
    assert read is not None
    assert (read.at_ms, read.taken, read.rate) == (said.at_ms, said.taken, said.rate)


def test_what_was_said_is_read() -> None:
    """All fields come back."""
    said = Heartbeat("web-1:77:0", 1_700_000_000_000, 42, 900, "S3 does not answer", 1_699_999_999_000)
    assert decode(said.encode()) == said


def test_control_characters_never_reach_a_terminal() -> None:
    """Whoever may commit offsets for the group could write anything there."""
    read = decode(json.dumps({"v": 1, "w": "a\x1b[2Jb", "t": 1, "o": 2, "e": "x\ny", "s": 3}))
    assert read is not None
    assert (read.worker, read.trouble) == ("a?[2Jb", "x?y")


@pytest.mark.parametrize(
    "metadata",
    [None, "", "{", "[1]", "7", '{"v":2}', '{"v":1}', '{"v":1,"w":1,"t":1,"o":1}', '{"v":1,"w":"a","t":"1","o":1}'],
)
def test_anything_else_is_no_heartbeat(metadata: str | None) -> None:
    """Another tool's metadata, or a later version's, is none; it is not an error."""
    assert decode(metadata) is None


def test_the_reason_is_told_before_the_place() -> None:
    """There is room for 90 characters: `access denied` must be among them, not only the key of the object."""
    denied = "access denied (ExpiredToken); check the credentials and their rights"
    assert gist(f"writing s3://b/p/data/topic=t/x.parquet at https://s3.eu-west-1.amazonaws.com: {denied}") == denied
    assert gist(f"s3://b/p/log/1.json: no clear answer; last: reading s3://b/p/1 at http://h:8333: {denied}") == denied
    assert gist("disk full") == "disk full"


@given(st.text())
def test_reading_never_raises(metadata: str) -> None:
    """Also for text that nobody would write."""
    decode(metadata)
