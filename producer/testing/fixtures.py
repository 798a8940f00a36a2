"""The pytest fixture `event_log`: a RecordingLog for each test, with a key for personal fields.

Import it in your conftest.py, or name this module in its `pytest_plugins`. It is not a plugin that pytest finds by
itself: that would import headrace and the Kafka client into every test run of every project of an environment, and
before coverage is measured.
"""

from collections.abc import Iterator

import pytest

from .recording_log import RecordingLog

TEST_KEYS = {"test": b"a key for tests, not a secret one"}


@pytest.fixture
def event_log() -> Iterator[RecordingLog]:
    """Record what the test's app logs; `monkeypatch.setattr(app, "log", event_log)` puts it in the app's place."""
    with RecordingLog(pii_keys=TEST_KEYS) as log:
        yield log
