"""What is compared between the source of a replay and its target read back: digests, and where each record went.

docs/replay.md, section "Content digest", defines the digest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from headrace.archiver.part_digest import PartDigest

from .errors import ReplayDiffers

Run: TypeAlias = tuple[int, int, int]
"""Records that follow each other without a hole: partition, first offset, how many."""

MapEntry: TypeAlias = tuple[int, int, int, int]
"""Where a run of records went: source partition, first source offset, first target offset, how many."""


class ContentDigest:
    """Count and digest of key, value, headers and timestamp, in order.

    Offsets are replaced by the record's place in its target partition, timestamps by 0 where the target cannot keep
    them. `undated` counts the records of timestamp 0, which clients send with another one.
    """

    def __init__(self, *, timestamps_kept: bool = True) -> None:
        self._timestamps_kept = timestamps_kept
        self._digest = PartDigest()
        self._undated: list[np.ndarray] = []
        self.undated = 0

    @property
    def records(self) -> int:
        """How many records were added."""
        return self._digest.rows

    def add_source(self, records: pa.RecordBatch) -> None:
        """Add archived records. Those of timestamp 0 are remembered: the client gives them the time of sending."""
        stamps = records.column("timestamp").to_numpy()
        places = np.flatnonzero(stamps == 0)
        if len(places):
            self._undated.append(places + self.records)
            self.undated += len(places)
        self._add(records, stamps)

    def add_target(self, records: pa.RecordBatch, undated: "np.ndarray | None" = None) -> None:
        """Add records that were read back; `undated` are the places of records whose timestamp was 0 in the source."""
        stamps = records.column("timestamp").to_numpy()
        if undated is not None and len(undated):
            stamps = stamps.copy()
            places = undated - self.records
            stamps[places[(places >= 0) & (places < len(stamps))]] = 0
        self._add(records, stamps)

    def undated_places(self) -> np.ndarray:
        """Return the places of the source's records that have timestamp 0."""
        return np.concatenate(self._undated) if self._undated else np.empty(0, np.int64)

    def _add(self, records: pa.RecordBatch, stamps: np.ndarray) -> None:
        if not self._timestamps_kept:
            stamps = np.zeros_like(stamps)
        rows = records.num_rows
        columns = [
            pa.array(np.zeros(rows, np.int32)),
            pa.array(np.arange(self.records, self.records + rows)),
            pa.array(stamps),
            pa.array(np.zeros(rows, np.int8)),
            *(records.column(name) for name in ("key", "value", "headers")),
        ]
        self._digest.update(pa.RecordBatch.from_arrays(columns, schema=records.schema))

    def hexdigest(self) -> str:
        """Return the digest of what was added so far."""
        return self._digest.hexdigest()


class Runs:
    """Offsets in the order in which they came, kept as runs: flat in memory where offsets have no holes."""

    def __init__(self) -> None:
        self._runs: list[Run] = []

    def add(self, partition: int, offsets: np.ndarray) -> None:
        """Add offsets of one partition, which rise."""
        if not len(offsets):
            return
        starts = np.concatenate([[0], np.flatnonzero(np.diff(offsets) != 1) + 1])
        counts = np.diff(starts, append=len(offsets))
        found = list(zip(offsets[starts].tolist(), counts.tolist(), strict=True))
        if self._runs:
            own, first, count = self._runs[-1]
            if own == partition and first + count == found[0][0]:
                self._runs[-1] = (own, first, count + found[0][1])
                found = found[1:]
        self._runs += [(partition, first, count) for first, count in found]

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)


def offset_map(source: Runs, target: Runs, where: str) -> list[MapEntry]:
    """Lay the source's runs beside the target's. Raises ReplayDiffers unless offsets rise strictly on both sides."""
    found: list[MapEntry] = []
    ours, theirs = iter(source), iter(target)
    own, foreign = next(ours, None), next(theirs, None)
    last_target, last_source = -1, dict[int, int]()
    while own is not None and foreign is not None:
        count = min(own[2], foreign[2])
        if foreign[1] <= last_target or own[1] <= last_source.get(own[0], -1):
            raise ReplayDiffers(f"{where}: offset {foreign[1]} does not lie above the one before it: report this")
        last_target, last_source[own[0]] = foreign[1] + count - 1, own[1] + count - 1
        found.append((own[0], own[1], foreign[1], count))
        own = (own[0], own[1] + count, own[2] - count) if own[2] > count else next(ours, None)
        foreign = (foreign[0], foreign[1] + count, foreign[2] - count) if foreign[2] > count else next(theirs, None)
    return found


@dataclass(frozen=True, slots=True)
class PartitionResult:
    """What one partition of a target was shown to hold. `end`: one above the last record's offset."""

    partition: int
    records: int
    digest: str
    base: int
    end: int
    map: Sequence[MapEntry] = field(default=())
    undated: Sequence[int] = field(default=())
