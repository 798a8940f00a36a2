"""Dates of timestamps, as the format document says for records without an event time."""

from datetime import UTC, datetime
from functools import lru_cache

DAY_MS = 86_400_000
FIRST_MS = 1_795_392_000_000  # 2026-11-23T00:00:00Z


@lru_cache(64)
def _text(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()


@lru_cache(1000)
def wall_clock(seconds: int) -> str:
    """Return a moment as the archiver's clock writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def day_of(timestamp_ms: int) -> str:
    """Return the UTC date of a timestamp."""
    return _text(timestamp_ms // DAY_MS)
