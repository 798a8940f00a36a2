"""LocalStack for the suites of S3, where it was asked for (`make contract`)."""

from collections.abc import Iterator

import localstack_server
import pytest

collect_ignore = [] if localstack_server.WANTED else ["test_localstack_setup.py"]


@pytest.fixture(scope="session")
def localstack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[localstack_server.LocalStack]:
    """LocalStack's S3, started once a session."""
    with localstack_server.running(tmp_path_factory.mktemp("localstack") / "log") as started:
        yield started
