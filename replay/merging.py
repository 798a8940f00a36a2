"""Merges files whose offsets interleave, one file after the other: what lies below all that is still to come goes out.

So a unit of many files needs the memory of those that reach over each other, not of all of it. Pure.
"""

from bisect import bisect_left, insort
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from .plan import FileRead, Unit


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one partition, their offsets rising. `sources[i]`: which file row i is of; `mask`: which are wanted."""

    records: pa.RecordBatch
    sources: np.ndarray
    table: pa.Table | None
    mask: np.ndarray | None

    @property
    def offsets(self) -> np.ndarray:
        """The offset of each row."""
        found: np.ndarray = self.records.column("offset").to_numpy()
        return found

    def slice(self, start: int, length: int) -> "Rows":
        """Return a range of the rows, without copying them."""
        rows = slice(start, start + length)
        return Rows(
            self.records.slice(start, length),
            self.sources[rows],
            None if self.table is None else self.table.slice(start, length),
            None if self.mask is None else self.mask[rows],
        )

    def take(self, order: np.ndarray) -> "Rows":
        """Return the rows in another order."""
        at = pa.array(order)
        table = None if self.table is None else self.table.take(at)
        mask = None if self.mask is None else self.mask[order]
        return Rows(self.records.take(at), self.sources[order], table, mask)

    def filter(self, keep: np.ndarray) -> "Rows":
        """Return the rows that are to be kept; their mask has done its work."""
        at = pa.array(keep)
        table = None if self.table is None else self.table.filter(at)
        return Rows(self.records.filter(at), self.sources[keep], table, None)


def in_reading_order(unit: Unit) -> tuple[FileRead, ...]:
    """Return a unit's files so that those which begin early come first, in whichever partition they do."""
    low: dict[int, int] = {}
    high: dict[int, int] = {}
    for part in (part for read in unit.files for part in read.parts):
        low[part.partition] = min(part.first, low.get(part.partition, part.first))
        high[part.partition] = max(part.last, high.get(part.partition, part.last))

    def begins(read: FileRead) -> float:
        each = ((part.first - low[p]) / (high[p] - low[p] + 1) for part in read.parts for p in [part.partition])
        return min(each, default=0.0)

    return tuple(sorted(unit.files, key=begins))


class Merge:
    """One unit's rows. add() each part as it is loaded, then take what is ready() of its partition."""

    def __init__(self, unit: Unit) -> None:
        self.files = in_reading_order(unit)
        self._held: dict[int, list[Rows]] = defaultdict(list)
        self._coming: dict[int, list[int]] = defaultdict(list)  # first offsets of the parts that are not here yet
        for part in (part for read in self.files for part in read.parts):
            insort(self._coming[part.partition], part.first)

    def add(self, partition: int, rows: Rows) -> None:
        """Take a part in, whole. Its first offset is the one that the plan says."""
        coming, first = self._coming[partition], int(rows.offsets[0])
        at = bisect_left(coming, first)
        if at < len(coming) and coming[at] == first:
            del coming[at]
        self._held[partition].append(rows)

    def ready(self, partition: int) -> Rows | None:
        """Take out what lies below all that is still to come of a partition; None when that is nothing."""
        coming = self._coming[partition]
        heads: list[Rows] = []
        tails: list[Rows] = []
        for rows in self._held[partition]:
            count = rows.records.num_rows
            cut = count if not coming else int(np.searchsorted(rows.offsets, coming[0]))
            if cut:
                heads.append(rows if cut == count else rows.slice(0, cut))
            if cut < count:
                tails.append(rows.slice(cut, count - cut))
        self._held[partition] = tails
        return _merged(heads) if heads else None


def _merged(held: list[Rows]) -> Rows:
    """Put rows together, by offset."""
    if len(held) == 1:
        return held[0]
    held.sort(key=lambda rows: int(rows.offsets[0]))
    tables = [rows.table for rows in held if rows.table is not None]
    masks = [rows.mask for rows in held if rows.mask is not None]
    whole = Rows(
        pa.concat_batches([rows.records for rows in held]),
        np.concatenate([rows.sources for rows in held]),
        pa.concat_tables(tables) if tables else None,
        np.concatenate(masks) if masks else None,
    )
    offsets = whole.offsets
    return whole if (np.diff(offsets) > 0).all() else whole.take(np.argsort(offsets, kind="stable"))
