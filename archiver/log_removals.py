"""What left a topic's archive for good by an entry of its log: rows that were erased, and dates that expired.

Pure. The state keeps how many rows of which identity went by which entry, so that a check and a replay can say so and
be exact about the rest; which offsets were erased stands in the entry itself (docs/archive-format.md, "Erasures").
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from .file_columns import CommittedFile
from .log_entries import Entry

RemovalKind = Literal["erased", "expired"]


@dataclass(frozen=True, slots=True)
class Removal:
    """Rows of one identity that entry `seq` took out: how many, and the first and the last offset of them.

    erased: of one entry. expired: of all entries up to `seq` together, since what expires is the old end of a topic.
    """

    kind: RemovalKind
    seq: int
    topic_id: str
    partition: int
    lineage: int
    rows: int
    first: int
    last: int

    @property
    def of(self) -> tuple[str, int, int]:
        """The identity: (topic id, partition, lineage)."""
        return self.topic_id, self.partition, self.lineage

    @property
    def counted(self) -> "Counted":
        """The rows, as an `expire` entry states them."""
        return *self.of, self.rows, self.first, self.last

    def as_list(self) -> list[Any]:
        """Return the form that a fold keeps."""
        return [self.kind, self.seq, *self.counted]

    @classmethod
    def from_list(cls, row: list[Any]) -> "Removal":
        """Return what as_list() gave. Raises ValueError, TypeError."""
        kind, seq, topic_id, partition, lineage, rows, first, last = row
        which: RemovalKind = "erased" if kind == "erased" else "expired"
        return cls(which, int(seq), str(topic_id), int(partition), int(lineage), int(rows), int(first), int(last))


@dataclass(frozen=True, slots=True)
class ErasedPart:
    """Rows that an erasure takes out of one partition of one file: `offsets` are ranges [from, to) without a hole."""

    kind: str
    dt: str
    partition: int
    lineage: int
    rows: int
    late: int
    offsets: tuple[tuple[int, int], ...]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "kind": self.kind,
            "dt": self.dt,
            "partition": self.partition,
            "lineage": self.lineage,
            "rows": self.rows,
            "late": self.late,
            "offsets": [list(pair) for pair in self.offsets],
        }


def erased_parts(entry: Entry) -> list[ErasedPart]:
    """Return what an `erase` entry says that it erased. Raises ValueError for what is no such list."""
    try:
        parts = [
            ErasedPart(
                kind=str(each["kind"]),
                dt=str(each["dt"]),
                partition=int(each["partition"]),
                lineage=int(each["lineage"]),
                rows=int(each["rows"]),
                late=int(each["late"]),
                offsets=tuple((int(start), int(end)) for start, end in each["offsets"]),
            )
            for each in entry.details["erased"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"its list of what was erased can't be read ({type(error).__name__}: {error})") from error
    for part in parts:
        _check_offsets(part)
    return parts


def _check_offsets(part: ErasedPart) -> None:
    last = -1
    for start, end in part.offsets:
        if not last < start < end:
            raise ValueError(f"the offsets erased of partition {part.partition} are no rising ranges: {start}, {end}")
        last = end
    if sum(end - start for start, end in part.offsets) != part.rows or not 0 <= part.late <= part.rows:
        raise ValueError(f"the offsets erased of partition {part.partition} are not the {part.rows} rows stated")


def erased_removals(topic_id: str, parts: Iterable[ErasedPart], seq: int) -> list[Removal]:
    """Return an erasure by entry `seq` as one removal an identity."""
    return _summed(
        "erased",
        seq,
        (
            (topic_id, each.partition, each.lineage, each.rows, each.offsets[0][0], each.offsets[-1][1] - 1)
            for each in parts
        ),
    )


# -- expiry ------------------------------------------------------------------------------------------------------------

Counted = tuple[str, int, int, int, int, int]
"""(topic id, partition, lineage, rows, first offset, last offset)"""


def counted(files: Iterable[CommittedFile]) -> list[Counted]:
    """Add up files by identity, as an `expire` entry states it."""
    parts = (
        (each.topic_id, part.partition, each.lineages.get(part.partition, -1), part.rows, part.first, part.last)
        for each in files
        for part in each.file.parts
    )
    return [each.counted for each in _summed("expired", 0, parts)]


def dates_of(files: Iterable[CommittedFile]) -> dict[str, tuple[int, int]]:
    """Return the dates of files, each with its data rows and how many of these are late."""
    dates: dict[str, tuple[int, int]] = {}
    for each in files:
        rows, late = dates.get(each.file.dt, (0, 0))
        data = each.file.kind == "data"
        dates[each.file.dt] = (rows + each.file.rows * data, late + each.file.late * data)
    return dates


def stated_rows(entry: Entry) -> list[Counted]:
    """Return what an `expire` entry says of identities. Raises ValueError."""
    try:
        return [
            (str(topic_id), int(partition), int(lineage), int(rows), int(first), int(last))
            for topic_id, partition, lineage, rows, first, last in entry.details["rows"]
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"it does not say of which partitions it takes rows out ({error})") from error


def stated_dates(entry: Entry) -> dict[str, tuple[int, int]]:
    """Return what an `expire` entry says of dates. Raises ValueError."""
    try:
        return {str(dt): (int(rows), int(late)) for dt, (rows, late) in entry.details["dates"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it does not say which dates it takes rows of ({error})") from error


def expired_removals(known: Iterable[Removal], rows: Iterable[Counted], seq: int) -> list[Removal]:
    """Return all that expired, with what entry `seq` takes out added: one removal an identity."""
    rows = list(rows)
    touched = {each[:3] for each in rows}
    seqs = {each.of: each.seq for each in known}
    summed = _summed("expired", seq, [*(each.counted for each in known), *rows])
    return [each if each.of in touched else replace(each, seq=seqs[each.of]) for each in summed]


def _summed(kind: RemovalKind, seq: int, parts: Iterable[Counted]) -> list[Removal]:
    sums: dict[tuple[str, int, int], tuple[int, int, int]] = {}
    for topic_id, partition, lineage, rows, first, last in parts:
        so_far, low, high = sums.get((topic_id, partition, lineage), (0, first, last))
        sums[topic_id, partition, lineage] = so_far + rows, min(low, first), max(high, last)
    return [Removal(kind, seq, *of, *found) for of, found in sorted(sums.items())]


def by_identity(removals: Iterable[Removal]) -> Mapping[tuple[str, int, int], int]:
    """Return how many rows of each (topic id, partition, lineage) went."""
    gone: dict[tuple[str, int, int], int] = {}
    for each in removals:
        gone[each.of] = gone.get(each.of, 0) + each.rows
    return gone
