"""How far the archive is behind Kafka, partition by partition. Pure: facts in, judgement out, no clock and no store.

The truth about what is durable is the commit log in the object store; the offsets that the archiver commits to Kafka
are shown beside it. Records behind are counted in offsets, so that markers and compacted records make it an upper
bound; a partition of which only markers are left is caught up.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..kafka_admin import FirstRecord, LogEnds
from .facts import Facts
from .heartbeat import SILENT_S
from .loss import CATCHING_UP_UNKNOWN, LOSS_UNKNOWN, CatchingUp, Loss, catching_up, loss_of

LAG_VERSION = 1

State = Literal["caught-up", "behind", "idle", "not-archived", "unknown"]
"""caught-up: all that Kafka shows is durable. behind: not all. idle: Kafka holds no record, and none is missing.
not-archived: the archive has nothing of this partition. unknown: it cannot be told, `note` says why."""

_URGENCY: dict[State, int] = {"unknown": 1, "not-archived": 2, "behind": 2, "caught-up": 3, "idle": 4}


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """The judgement on one partition. `lost`: offsets that Kafka deleted before they were archived, not yet a gap.

    `records_behind`, `seconds_behind`: None when not known; seconds are never negative and never NaN. `beat_age_s`: how
    old the worker's last heartbeat is, None when there is none. `held_back_s`: how long a
    transaction has been open that holds back what was written after it.
    """

    facts: Facts
    state: State
    records_behind: int | None
    seconds_behind: float | None
    lost: int
    note: str
    loss: Loss = LOSS_UNKNOWN
    catch_up: CatchingUp = CATCHING_UP_UNKNOWN
    beat_age_s: float | None = None
    held_back_s: float | None = None

    @property
    def waiting(self) -> bool:
        """Whether anything is there that is not archived, as far as is known."""
        return bool(self.records_behind)

    def as_json(self) -> dict[str, Any]:
        """Return the documented JSON form, version 1."""
        facts, ends, beat = self.facts, self.facts.ends, self.facts.heartbeat
        return {
            "topic": facts.where.topic,
            "partition": facts.where.partition,
            "state": self.state,
            "log_start": None if ends is None else ends.log_start,
            "log_end": None if ends is None else ends.last_stable,
            "high_watermark": None if ends is None else ends.high_watermark,
            "taken": None if beat is None else beat.taken,
            "durable_next": facts.durable,
            "durable_from": facts.durable_from,
            "durable_as_of_ms": facts.as_of_ms,
            "committed": facts.committed,
            "records_behind": self.records_behind,
            "seconds_behind": self.seconds_behind,
            "lost": self.lost,
            "seconds_to_loss": None if self.loss.seconds is None else round(self.loss.seconds, 3),
            "loss_by": self.loss.by,
            "catch_up": self.catch_up.when,
            "catch_up_seconds": None if self.catch_up.seconds is None else round(self.catch_up.seconds, 3),
            "worker": None if beat is None else beat.worker,
            "heartbeat_age_seconds": self.beat_age_s,
            "trouble": "" if beat is None else beat.trouble,
            "note": self.note,
        }


def first_unarchived(facts: Facts) -> int | None:
    """Return the offset from which to look for the first unarchived record, None when there is nothing to look for."""
    if facts.ends is None:
        return None
    start = facts.ends.log_start if facts.durable is None else max(facts.durable, facts.ends.log_start)
    return start if start < facts.ends.last_stable else None


def evaluate(facts: Facts, now_ms: int) -> PartitionLag:
    """Judge one partition at the moment `now_ms` (Unix milliseconds)."""
    lag = _judged(facts, now_ms)
    beat, transaction = facts.heartbeat, facts.transaction
    return replace(
        lag,
        beat_age_s=None if beat is None else _age_s(beat.at_ms, now_ms),
        held_back_s=None if transaction is None else _age_s(transaction.since_ms, now_ms),
    )


def _judged(facts: Facts, now_ms: int) -> PartitionLag:
    ends, durable = facts.ends, facts.durable
    if ends is None or facts.problem:
        return PartitionLag(facts, "unknown", None, None, 0, facts.problem or "Kafka did not answer")
    if durable is not None and durable > ends.last_stable:
        note = f"the archive is at {durable}, beyond Kafka's end: was the log truncated?"
        return PartitionLag(facts, "unknown", None, None, 0, note)
    lost = 0 if durable is None else max(0, ends.log_start - durable)
    note = "; ".join(_notes(facts, ends, lost))
    start = first_unarchived(facts)
    only_markers = facts.first is not None and facts.first.timestamp is None
    if start is None or only_markers:
        empty = ends.log_start == ends.last_stable or (only_markers and durable is None)
        state: State = "behind" if lost else "idle" if empty else "caught-up"
        return PartitionLag(facts, state, 0, 0.0, lost, note, Loss(None, "nothing"), CatchingUp("done", 0.0))
    behind = ends.last_stable - start
    rate = _archived_per_s(facts, now_ms)
    return PartitionLag(
        facts,
        "not-archived" if durable is None else "behind",
        behind,
        _seconds(facts.first, now_ms),
        lost,
        note,
        loss_of(facts, start, now_ms),
        catching_up(behind, rate, None if facts.rates is None else facts.rates.now),
    )


def _archived_per_s(facts: Facts, now_ms: int) -> float | None:
    """Return the speed that the worker told of; a worker that is silent archives nothing any more."""
    beat = facts.heartbeat
    if beat is None:
        return None
    if _age_s(beat.at_ms, now_ms) > SILENT_S:
        return 0.0
    return beat.rate if beat.rate >= 0 else None


def _notes(facts: Facts, ends: LogEnds, lost: int) -> Iterator[str]:
    if facts.recreated:
        yield "the topic was made again since it was archived"
    if lost:
        yield f"{lost} offsets were deleted before they were archived"
    if ends.high_watermark > ends.last_stable:
        yield f"an open transaction holds back {ends.high_watermark - ends.last_stable} offsets"
    if facts.durable_from == "group":
        yield "S3 was not asked: durable as the archiver last told Kafka"


def _age_s(then_ms: int, now_ms: int) -> float:
    return round(max(0, now_ms - then_ms) / 1000, 3)


def _seconds(first: FirstRecord | None, now_ms: int) -> float | None:
    if first is None or first.timestamp is None or first.timestamp <= 0:
        return None  # not found in time, or without a timestamp
    return _age_s(first.timestamp, now_ms)


def worst_first(lags: Iterable[PartitionLag]) -> list[PartitionLag]:
    """Sort for people: what loses data, what cannot be told, what is farthest behind; then by name."""
    return sorted(
        lags,
        key=lambda lag: (
            0 if lag.lost else _URGENCY[lag.state],
            -(lag.seconds_behind or 0),
            -(lag.records_behind or 0),
            lag.facts.where,
        ),
    )


def by_topic(lags: Iterable[PartitionLag]) -> dict[str, list[PartitionLag]]:
    """Return partitions by topic, in the order in which topics first come: worst first."""
    folded: dict[str, list[PartitionLag]] = {}
    for lag in lags:
        folded.setdefault(lag.facts.where.topic, []).append(lag)
    return folded


def records_behind(lags: Iterable[PartitionLag]) -> int:
    """Return all records that are known to wait."""
    return sum(each.records_behind or 0 for each in lags)


def oldest_s(lags: Iterable[PartitionLag]) -> float | None:
    """Return the age of the oldest record that is known to wait; None when none has an age."""
    return max((each.seconds_behind for each in lags if each.seconds_behind is not None), default=None)


def soonest_loss_s(lags: Iterable[PartitionLag]) -> float | None:
    """Return when the first unarchived record may be deleted; None for never or not known."""
    return min((each.loss.seconds for each in lags if each.loss.seconds is not None), default=None)
