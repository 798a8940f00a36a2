"""What could not be decoded: which records, why, and the records themselves."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from headrace.archiver.object_store import ObjectStore

from .event_json import bytes_json
from .plan import Plan, Unit
from .reader import Reading
from .reader import open_reading as open_all
from .selection import Selection


@dataclass(slots=True)
class Group:
    """Quarantined records with one error: how many, in which dates, and where the first one is."""

    kind: str
    error: str
    first: tuple[int, int]
    records: int = 0
    dates: set[str] = field(default_factory=set)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "kind": self.kind,
            "error": self.error,
            "records": self.records,
            "dates": sorted(self.dates),
            "first": {"partition": self.first[0], "offset": self.first[1]},
        }


def quarantine_reading(store: ObjectStore, topic: str, selection: Selection, at: int | None) -> Reading:
    """Return a reading of a topic's quarantine files alone. Raises what opening a reading raises."""
    plan = open_all(store, topic, selection, at=at).plan
    return Reading(store, _only_quarantine(plan), allow_empty=True)


def _only_quarantine(plan: Plan) -> Plan:
    units = []
    for unit in plan.units:
        files = tuple(read for read in unit.files if read.committed.file.kind == "quarantine")
        if files:
            units.append(Unit(files))
    reads = [read for unit in units for read in unit.files]
    parts = [part for read in reads for part in read.parts]
    return replace(
        plan,
        units=tuple(units),
        parts=len(parts),
        rows=sum(part.rows for part in parts),
        bytes=sum(read.committed.file.bytes for read in reads),
    )


def quarantined(reading: Reading) -> Iterator[dict[str, Any]]:
    """Yield each record as JSON can hold it, its value as text or hex, with the kind of error and the error."""
    for chunk in reading.chunks():
        for row, source in zip(chunk.records.to_pylist(), chunk.sources.tolist(), strict=True):
            said = chunk.contexts[source].errors.get((row["partition"], row["offset"]), ": ")
            kind, _, error = said.partition(": ")
            yield {
                "topic": reading.plan.topic,
                "partition": row["partition"],
                "offset": row["offset"],
                "timestamp": row["timestamp"],
                "kind": kind,
                "error": error,
                "key": bytes_json(row["key"]),
                "value": bytes_json(row["value"]),
                "headers": [[each["name"], bytes_json(each["value"])] for each in row["headers"]],
            }


def grouped(reading: Reading) -> list[Group]:
    """Return the quarantined records by their error, the most frequent first."""
    dates = _dates(reading.plan)
    groups: dict[tuple[str, str], Group] = {}
    for row in quarantined(reading):
        place = row["partition"], row["offset"]
        group = groups.setdefault((row["kind"], row["error"]), Group(row["kind"], row["error"], place))
        group.records += 1
        group.dates |= {dt for first, last, dt in dates[place[0]] if first <= place[1] <= last}
    return sorted(groups.values(), key=lambda group: (-group.records, group.kind, group.error))


def _dates(plan: Plan) -> dict[int, list[tuple[int, int, str]]]:
    found: dict[int, list[tuple[int, int, str]]] = defaultdict(list)
    for unit in plan.units:
        for read in unit.files:
            for part in read.parts:
                found[part.partition].append((part.first, part.last, read.committed.file.dt))
    return found
