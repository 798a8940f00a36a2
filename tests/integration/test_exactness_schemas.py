"""How the archiver reads writer schemas from a real Kafka."""

import time

import pytest
from servers import Servers
from watched_topic import publish_schemas
from zoo_schemas import PUBLISHED

from headrace.archiver.schema_source import read_schema_topic

pytestmark = pytest.mark.servers

TIMEOUT_S = 240.0  # so long that a busy machine's slowness is not taken for it


def test_published_schemas_are_read_without_waiting_for_more(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """The read ends at the topic's end: a worker that meets an unknown schema does not stand still for the time-out."""
    topic = publish_schemas(servers)
    monkeypatch.setattr("headrace.archiver.schema_source.READ_TIMEOUT_S", TIMEOUT_S)
    started = time.monotonic()
    texts = read_schema_topic({"bootstrap.servers": servers.kafka}, topic)
    assert texts == [text.encode() for text in PUBLISHED]
    assert time.monotonic() - started < TIMEOUT_S / 2


def test_a_schema_topic_that_is_not_there_has_no_schemas(servers: Servers) -> None:
    """An archive without published schemas is no error."""
    assert read_schema_topic({"bootstrap.servers": servers.kafka}, "no-such-topic") == []
