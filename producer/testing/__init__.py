"""For the tests of apps that log events: a recording event log, and assertions on what was logged. No Kafka.

fixtures.py has a pytest fixture. It is imported, not found by itself: see docs/producer.md.
"""

from .assertions import assert_logged, assert_logged_exactly, assert_nothing_logged
from .expected import matching
from .recording_log import Logged, RecordingLog

__all__ = [
    "Logged",
    "RecordingLog",
    "assert_logged",
    "assert_logged_exactly",
    "assert_nothing_logged",
    "matching",
]
