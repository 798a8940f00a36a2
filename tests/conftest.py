"""Fixtures for all tests: the session's real servers."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from servers import Servers, running

# A machine that stands still for a moment makes nothing wrong: what hangs is ended by pytest-timeout.
settings.register_profile("headrace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headrace")

# What judges the archive's exactness is believed the first time that it fails.
NEVER_RUN_AGAIN = ("tests/chaos/", "tests/integration/test_exactness", "tests/simulation/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run a failed test once more: many processes and threads share a machine, and are late at times.

    It counts as passed then, but the summary shows the first failure, which is to be looked into all the same.
    """
    for item in items:
        if not item.nodeid.startswith(NEVER_RUN_AGAIN):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """A real Kafka and a real S3 server, started once a session; mark tests that use it `@pytest.mark.servers`."""
    with running(os.environ) as started:
        yield started
