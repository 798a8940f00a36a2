"""Dates of timestamps, as the format document says for records without an event time."""

from datetime import UTC, datetime
from functools import lru_cache

DAY_MS = 86_400_000
FIRST_MS = 1_795_392_000_000  # 2026-11-23T00:00:00Z


@lru_cache(64)
def _text(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()


def day_of(timestamp_ms: int) -> str:
    """Return the UTC date of a timestamp."""
    return _text(timestamp_ms // DAY_MS)
