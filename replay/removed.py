"""What a range of the archive lacks by order: rows that were erased, with their offsets, and rows that expired.

The state of a log says how many rows went by which entry; which offsets were erased stands in the entry, which is read
here. What expired is known by number and by first and last offset: the files that told more are gone.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.archiver.fetching import fetch_many
from headrace.archiver.log_entries import Entry, decode, log_key
from headrace.archiver.log_removals import Removal, erased_parts
from headrace.archiver.object_store import ObjectStore

from .errors import ArchiveDamaged
from .plan import Plan

ENTRIES_AT_ONCE = 64
RANGES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Removed:
    """Rows of one identity that an entry took out of a range. `offsets`: ranges [from, to).

    erased: exactly these offsets, `rows` of them. expired: up to `rows` rows, somewhere in `offsets`.
    """

    what: str
    topic_id: str
    partition: int
    lineage: int
    rows: int
    offsets: tuple[tuple[int, int], ...]
    entry: int
    at: str = ""
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "what": self.what,
            "topic_id": self.topic_id,
            "partition": self.partition,
            "lineage": self.lineage,
            "records": self.rows,
            "offsets": [list(pair) for pair in self.offsets],
            "entry": self.entry,
        }

    def text(self, topic: str) -> str:
        """Return one line for people."""
        where = f"{topic}/{self.partition}" + (f", lineage {self.lineage}" if self.lineage else "")
        shown = " ".join(
            str(start) if end == start + 1 else f"[{start}, {end})" for start, end in self.offsets[:RANGES_SHOWN]
        )
        more = f" and {len(self.offsets) - RANGES_SHOWN} ranges more" if len(self.offsets) > RANGES_SHOWN else ""
        if self.what == "expired":
            return f"expired: {where}: {self.rows:,} records among offsets {shown}, by entry {self.entry} (and before)"
        said = "; ".join(part for part in (self.at, self.why) if part)
        about = f" ({said})" if said else ""
        return f"erased: {where}: {self.rows:,} records at offsets {shown}{more}, by entry {self.entry}{about}"


def removed_of(store: ObjectStore, plan: Plan) -> list[Removed]:
    """Return what the ranges of a plan lack by order. Raises ArchiveDamaged, LogCorrupt, LogTooNew, StoreError."""
    removals = [each for covered in plan.ranges for each in covered.removals]
    bounds = {(r.identity.topic_id, r.identity.partition, r.identity.lineage): (r.start, r.end) for r in plan.ranges}
    dates = frozenset(plan.selection.dates)
    found = in_full(store, plan.topic, removals, dates=dates)
    cut = [_cut(each, *bounds[each.topic_id, each.partition, each.lineage]) for each in found]
    return [each for each in cut if each.offsets]


def in_full(
    store: ObjectStore, topic: str, removals: Iterable[Removal], *, dates: frozenset[str] = frozenset()
) -> Iterator[Removed]:
    """Yield removals with their offsets, those of erasures read from their entries; of these dates only (empty: all).

    Raises ArchiveDamaged, LogCorrupt, LogTooNew, StoreError.
    """
    removals = list(removals)
    seqs = sorted({each.seq for each in removals if each.kind == "erased"})
    entries: dict[int, tuple[Entry, Mapping[tuple[int, int], list[tuple[int, int]]]]] = {}
    for at in range(0, len(seqs), ENTRIES_AT_ONCE):
        some = seqs[at : at + ENTRIES_AT_ONCE]
        for seq, body in zip(some, fetch_many(store, [log_key(topic, seq) for seq in some]), strict=True):
            where = f"{store.url}/{log_key(topic, seq)}"
            if body is None:
                raise ArchiveDamaged(f"{where} does not exist, and the log goes on after it; restore it from a backup")
            entry = decode(body, where)
            entries[seq] = entry, _erased_by(entry, dates)
    for each in removals:
        if each.kind == "expired":
            yield _expired(each)
            continue
        entry, erased = entries[each.seq]
        if ranges := erased.get((each.partition, each.lineage)):
            yield _erased(each, entry, ranges)


def _erased_by(entry: Entry, dates: frozenset[str]) -> Mapping[tuple[int, int], list[tuple[int, int]]]:
    """Return the ranges of offsets that an entry erased of dates (none: all), by (partition, lineage), rising."""
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for part in erased_parts(entry):
        if not dates or part.dt in dates:
            found.setdefault((part.partition, part.lineage), []).extend(part.offsets)
    return {of: sorted(ranges) for of, ranges in found.items()}


def _erased(removal: Removal, entry: Entry, ranges: list[tuple[int, int]]) -> Removed:
    rows = sum(end - start for start, end in ranges)
    why = str(entry.details.get("why", ""))
    return Removed("erased", *removal.of, rows, tuple(_joined(ranges)), removal.seq, entry.at, why)


def _expired(removal: Removal) -> Removed:
    return Removed("expired", *removal.of, removal.rows, ((removal.first, removal.last + 1),), removal.seq)


def _joined(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield ranges, those put together that follow each other: a partition's rows lie in files of many dates."""
    held = ranges[0]
    for start, end in ranges[1:]:
        if start == held[1]:
            held = held[0], end
        else:
            yield held
            held = start, end
    yield held


def _cut(found: Removed, low: int, high: int) -> Removed:
    """Return what of it lies in offsets [low, high)."""
    offsets = tuple((max(a, low), min(b, high)) for a, b in found.offsets if a < high and b > low)
    within = sum(b - a for a, b in offsets)
    rows = within if found.what == "erased" else min(found.rows, within)
    identity = found.topic_id, found.partition, found.lineage
    return Removed(found.what, *identity, rows, offsets, found.entry, found.at, found.why)
