"""What the checker knows of one identity, and how a committed span is held against the histories that Kafka had.

Rows must be exactly what was visible in [from, to) of one branch of the partition's history. Which branch is not asked:
each identity keeps the branches that it may be of, and none left is a violation.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from .codec import UNSEEN, Row
from .kafka import Branch, Partition, Slot

RETENTION = "retention"
UNREADABLE = "unreadable"


@dataclass
class Identity:
    """One lineage of a partition of a topic's incarnation, as the log's entries add up to."""

    topic_id: str
    partition: int
    lineage: int
    origin: int
    next: int
    closed: bool = False
    branches: list[int] = field(default_factory=list)
    rows: dict[int, Row] = field(default_factory=dict)
    gaps: list[tuple[int, int, str]] = field(default_factory=list)
    began: bool = False
    spans: list[tuple[Mapping[str, Any], Mapping[int, Row]]] = field(default_factory=list)
    considered: int = 0

    def admit(self, kafka: Partition) -> None:
        """Take in branches that came up since the last span, if all that is archived is of them too."""
        for number in range(self.considered, len(kafka.branches)):
            if all(mismatch(kafka, kafka.branches[number], span, rows) is None for span, rows in self.spans):
                self.branches.append(number)
        self.considered = len(kafka.branches)

    def problems(self, kafka: Partition, span: Mapping[str, Any], rows: Mapping[int, Row]) -> dict[int, str | None]:
        """Return for each branch that this may be of how a span differs from it."""
        return {branch: mismatch(kafka, kafka.branches[branch], span, rows) for branch in self.branches}

    def took(self, span: Mapping[str, Any], rows: Mapping[int, Row], branches: list[int]) -> None:
        """Note a span that was found right, of these branches."""
        self.spans.append((span, rows))
        self.branches, self.next = branches, span["to"]
        self.rows.update(rows)

    def took_across_a_cut(self, kafka: Partition, span: Mapping[str, Any], rows: Mapping[int, Row]) -> bool:
        """Take a span of two histories where Kafka could not tell: see forget(). Return whether it is one.

        The first was read up to where the log starts now, and retention had deleted all that the cut had put in its
        place: so reading goes on at the log's start, as if nothing had been.
        """
        for at in sorted(kafka.starts):
            if not (span["from"] < at < span["to"] and any(cut < at for cut in kafka.cuts)):
                continue
            before, after = {**span, "to": at}, {**span, "from": at}
            old = [branch for branch, problem in self.problems(kafka, before, rows).items() if problem is None]
            new = [each.number for each in kafka.branches if mismatch(kafka, each, after, rows) is None]
            if old and new:
                self.took(before, {o: row for o, row in rows.items() if o < at}, old)
                self.forget(kafka, at)
                self.took(after, {o: row for o, row in rows.items() if o >= at}, new)
                self.considered = len(kafka.branches)
                return True
        return False

    def forget(self, kafka: Partition, offset: int) -> None:
        """Where retention has deleted all before `offset`, let what was cut there be: not even Kafka can tell any more.

        A broker forgets the leader epochs of what retention deleted, so that a truncation and the deletion of all that
        could have shown it look like the deletion alone.
        """
        if kafka.log_start >= offset and any(cut < offset for cut in kafka.cuts):
            self.spans, self.branches, self.considered = [], [], 0


def pieces_of(span: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Cut a span at the ends of its retention gaps."""
    gaps = [gap for gap in span["gaps"] if gap["to"] is not None]
    cuts = sorted({gap["to"] for gap in gaps if gap["reason"] == RETENTION and gap["to"] < span["to"]})
    bounds = [span["from"], *cuts, span["to"]]
    return [
        {"from": start, "to": end, "gaps": [gap for gap in gaps if start <= gap["from"] < end or gap["to"] == end]}
        for start, end in pairwise(bounds)
    ]


def mismatch(kafka: Partition, branch: Branch, span: Mapping[str, Any], rows: Mapping[int, Row]) -> str | None:
    """Say how the rows and gaps of a span differ from a branch, or None when they are what it held."""
    gaps = {
        offset: gap["reason"]
        for gap in span["gaps"]
        if gap["to"] is not None
        for offset in range(gap["from"], gap["to"])
    }
    for offset in range(span["from"], span["to"]):
        if offset >= branch.end:
            if gaps.get(offset) == RETENTION and offset < kafka.log_start:
                continue  # it came and went in a newer branch
            return f"reaches to {span['to']}, and the history ends at {branch.end}"
        problem = _offset_mismatch(kafka, branch, offset, rows.get(offset), gaps.get(offset))
        if problem is not None:
            return f"offset {offset}: {problem}"
    return None


def _offset_mismatch(  # noqa: PLR0911 - one answer for each thing that can be wrong
    kafka: Partition, branch: Branch, offset: int, row: Row | None, gap: str | None
) -> str | None:
    slot = branch.slots[offset]
    if gap == RETENTION and row is None:  # also of a transaction that was open when retention took it
        return None if offset < kafka.log_start else "is in a retention gap, and was not deleted"
    if slot.txn in branch.open_txns:
        return "its transaction is open"
    if gap is not None:
        if row is not None:
            return "is a row and in a gap"
        if gap == UNREADABLE:
            return None if slot.unreadable else "is in an unreadable gap, and can be read"
        return f"is in a gap for {gap}"
    if not branch.visible(offset):
        return None if row is None else "was never visible"
    if row is None:
        return None if offset in branch.compacted else "was visible, is no row, and in no gap"
    return None if same(slot, row) else f"holds {row}, Kafka had {slot}"


def same(slot: Slot, row: Row) -> bool:
    """Whether a row is a slot's record; a value that the checker cannot see is proved by the replay."""
    _, _, timestamp, key, value, headers = row
    return (
        (timestamp, key, headers) == (slot.timestamp, slot.key, slot.headers)
        and (value == slot.value or (value is UNSEEN and slot.value is not None))
        and not slot.unreadable
    )


def same_at(branch: Branch, offset: int, row: Row) -> bool:
    """Whether a branch has a row's record at an offset."""
    return offset < branch.end and same(branch.slots[offset], row)


def uncovered(kafka: Partition, branch: Branch, upto: int, earlier: Iterable[Identity]) -> list[int]:
    """Return the offsets below `upto` that were visible in a branch, and are neither archived nor in a gap.

    `earlier` are the partition's other identities. Where the archive began there is nothing before the log's start.
    What retention deleted after a cut cannot be told from what the cut lost: see Identity.forget().
    """
    known = list(earlier)
    begin = min((each.origin for each in known), default=upto)
    if not known and upto <= kafka.log_start:
        return []
    missing = []
    for offset in range(0 if not known else begin, min(upto, branch.end)):
        if not branch.visible(offset) or offset in branch.compacted:
            continue
        slot = branch.slots[offset]
        if any(offset in each.rows and same(slot, each.rows[offset]) for each in known):
            continue
        if any(start <= offset < end for each in known for start, end, _ in each.gaps):
            continue
        if offset < kafka.log_start and any(cut <= offset for cut in kafka.cuts):
            continue
        missing.append(offset)
    return missing
