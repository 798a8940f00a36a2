"""When Kafka will delete the first record that is not archived, and whether the archive gets there before. Pure.

By time: Kafka deletes a segment when the largest timestamp in it is older than retention.ms. The segment of a record
has a timestamp at least as large as the record's own, so that `timestamp + retention.ms` is never later than its
deletion. By bytes: Kafka deletes the oldest segments while what would be left is still at least retention.bytes, so
that a record stays at least until that many bytes were written after it; the highest write rate that is known says
when: of the last hour, of the last seconds, or since the first unarchived record. Source: Kafka's UnifiedLog,
deleteRetentionMsBreachedSegments and deleteRetentionSizeBreachedSegments.
"""

from dataclasses import dataclass
from typing import Literal

from .facts import Facts

_AGES_S = 100 * 365 * 86_400.0
_LATELY_S = 300.0
_YOUNG_S = 1.0
"""One batch in a moment is no rate."""

LossBy = Literal["time", "bytes", "compaction", "nothing", "unknown"]
CatchUp = Literal["done", "in", "never", "unknown"]


@dataclass(frozen=True, slots=True)
class Loss:
    """When the first unarchived record may be gone: `seconds` from now, never negative, None for never or not known.

    by: which bound comes first. nothing: no bound, or nothing is unarchived. compaction: superseded records of a
    compacted topic may go at any time. unknown: a bound holds, and when cannot be told.
    """

    seconds: float | None
    by: LossBy


LOSS_UNKNOWN = Loss(None, "unknown")


def loss_of(facts: Facts, first_offset: int | None, now_ms: int) -> Loss:
    """Return when `first_offset`, the first unarchived one, is in danger; None when nothing is unarchived."""
    retention = facts.retention
    if first_offset is None:
        return Loss(None, "nothing")
    if retention is None:
        return Loss(None, "unknown")
    if not retention.deletes:
        return Loss(None, "compaction" if retention.compacts else "nothing")
    found = [each for each in (_by_time(facts, now_ms), _by_bytes(facts, first_offset, now_ms)) if each is not None]
    known = [each for each in found if each.seconds is not None]
    if known:
        return min(known, key=lambda each: each.seconds or 0.0)
    return found[0] if found else Loss(None, "nothing")


def _by_time(facts: Facts, now_ms: int) -> Loss | None:
    if facts.retention is None or facts.retention.ms is None:
        return None
    timestamp = None if facts.first is None else facts.first.timestamp
    if timestamp is None or timestamp < 0:
        return Loss(None, "unknown")
    return Loss(max(0.0, (timestamp + facts.retention.ms - now_ms) / 1000), "time")


def _by_bytes(facts: Facts, first_offset: int, now_ms: int) -> Loss | None:
    if facts.retention is None or facts.retention.bytes is None:
        return None
    ends, size, rates = facts.ends, facts.size_bytes, facts.rates
    if ends is None or size is None or rates is None:
        return Loss(None, "unknown")
    offsets = ends.high_watermark - max(ends.log_start, facts.size_start or 0)
    if offsets <= 0:
        return Loss(0.0, "bytes") if ends.high_watermark > ends.log_start else None
    record_bytes = size / offsets
    left = facts.retention.bytes - record_bytes * (ends.high_watermark - first_offset)
    if left <= 0:
        return Loss(0.0, "bytes")
    written_per_s = record_bytes * max(rates.peak, _since_first(facts, first_offset, now_ms))
    if left >= written_per_s * _AGES_S:
        return None  # nothing is written, or next to nothing, so that nothing is pushed out
    since_s = 0.0 if facts.ends_ms is None else max(0, now_ms - facts.ends_ms) / 1000  # it was filled meanwhile, too
    return Loss(max(0.0, left / written_per_s - since_s), "bytes")


def _since_first(facts: Facts, first_offset: int, now_ms: int) -> float:
    """Return how many records a second came since the first unarchived one, if that came lately.

    Of a topic that is new, or busy since a moment ago, the buckets of the last hour tell less.
    """
    timestamp = None if facts.first is None else facts.first.timestamp
    if facts.ends is None or timestamp is None or timestamp <= 0:
        return 0.0
    age_s = ((now_ms if facts.ends_ms is None else facts.ends_ms) - timestamp) / 1000
    return 0.0 if age_s > _LATELY_S else (facts.ends.high_watermark - first_offset) / max(_YOUNG_S, age_s)


@dataclass(frozen=True, slots=True)
class CatchingUp:
    """When the archive will have caught up: `seconds` when `when` is "in"."""

    when: CatchUp
    seconds: float | None = None


CATCHING_UP_UNKNOWN = CatchingUp("unknown")


def catching_up(behind: int, archived_per_s: float | None, written_per_s: float | None) -> CatchingUp:
    """Return when `behind` records are archived at these rates, with more being written meanwhile."""
    if behind <= 0:
        return CatchingUp("done", 0.0)
    if archived_per_s is None or written_per_s is None:
        return CatchingUp("unknown")
    if archived_per_s <= written_per_s:
        return CatchingUp("never")
    return CatchingUp("in", behind / (archived_per_s - written_per_s))
