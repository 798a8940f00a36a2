"""How far the archive is behind Kafka, partition by partition. Pure: facts in, judgement out, no clock and no store.

The truth about what is durable is the commit log in the object store; the offsets that the archiver commits to Kafka
are shown beside it. Records behind are counted in offsets, so that markers and compacted records make it an upper
bound; a partition of which only markers are left is caught up.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from .kafka_admin import FirstRecord, LogEnds
from .source import TopicPartition

LAG_VERSION = 1

State = Literal["caught-up", "behind", "idle", "not-archived", "unknown"]
"""caught-up: all that Kafka shows is durable. behind: not all. idle: Kafka holds no record, and none is missing.
not-archived: the archive has nothing of this partition. unknown: it cannot be told, `note` says why."""

_URGENCY: dict[State, int] = {"unknown": 1, "not-archived": 2, "behind": 2, "caught-up": 3, "idle": 4}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one partition. Offsets; None where there is no answer, `problem` says why.

    `durable`: the next offset to archive, by the log, of the topic as it is now. `recreated`: the log's newest topic id
    is another one than Kafka's. `damaged`: the log cannot be read. `first`: the first unarchived record, where it was
    looked for and found.
    """

    where: TopicPartition
    ends: LogEnds | None
    durable: int | None
    committed: int | None
    recreated: bool = False
    problem: str = ""
    damaged: bool = False
    first: FirstRecord | None = None


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """The judgement on one partition. `lost`: offsets that Kafka deleted before they were archived, not yet a gap.

    `records_behind`, `seconds_behind`: None when not known; seconds are never negative and never NaN.
    """

    facts: Facts
    state: State
    records_behind: int | None
    seconds_behind: float | None
    lost: int
    note: str

    def as_json(self) -> dict[str, Any]:
        """Return the documented JSON form, version 1."""
        ends = self.facts.ends
        return {
            "topic": self.facts.where.topic,
            "partition": self.facts.where.partition,
            "state": self.state,
            "log_start": None if ends is None else ends.log_start,
            "log_end": None if ends is None else ends.last_stable,
            "high_watermark": None if ends is None else ends.high_watermark,
            "durable_next": self.facts.durable,
            "committed": self.facts.committed,
            "records_behind": self.records_behind,
            "seconds_behind": self.seconds_behind,
            "lost": self.lost,
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
    ends, durable = facts.ends, facts.durable
    if ends is None or facts.problem:
        return PartitionLag(facts, "unknown", None, None, 0, facts.problem or "Kafka did not answer")
    if durable is not None and durable > ends.last_stable:
        note = f"the archive is at {durable}, beyond Kafka's end: was the log truncated?"
        return PartitionLag(facts, "unknown", None, None, 0, note)
    notes = []
    if facts.recreated:
        notes.append("the topic was made again since it was archived")
    lost = 0 if durable is None else max(0, ends.log_start - durable)
    if lost:
        notes.append(f"{lost} offsets were deleted before they were archived")
    if ends.high_watermark > ends.last_stable:
        notes.append(f"an open transaction holds back {ends.high_watermark - ends.last_stable} offsets")
    start = first_unarchived(facts)
    only_markers = facts.first is not None and facts.first.timestamp is None
    if start is None or only_markers:
        empty = ends.log_start == ends.last_stable or (only_markers and durable is None)
        state: State = "behind" if lost else "idle" if empty else "caught-up"
        return PartitionLag(facts, state, 0, 0.0, lost, "; ".join(notes))
    state = "not-archived" if durable is None else "behind"
    return PartitionLag(facts, state, ends.last_stable - start, _seconds(facts.first, now_ms), lost, "; ".join(notes))


def _seconds(first: FirstRecord | None, now_ms: int) -> float | None:
    if first is None or first.timestamp is None or first.timestamp <= 0:
        return None  # not found in time, or without a timestamp
    return round(max(0, now_ms - first.timestamp) / 1000, 3)


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
