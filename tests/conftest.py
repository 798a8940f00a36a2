"""Fixtures for all tests: the session's real servers."""

import os
from collections.abc import Iterator

import pytest
from servers import Servers, running


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """A real Kafka and a real S3 server, started once a session; mark tests that use it `@pytest.mark.servers`."""
    with running(os.environ) as started:
        yield started
