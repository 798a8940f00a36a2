"""When a worker flushes, and how large a commit may become."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one topic in one worker: a flush is due when any of the first three is reached."""

    flush_rows_max: int = 1_000_000
    flush_bytes_max: int = 96 << 20
    flush_interval_s: float = 60.0
    commit_bytes_max: int = 4 << 20
