"""A topic's plan as JSON and back, so that it can be looked at, kept, and run later as it stands."""

from collections.abc import Mapping
from typing import Any

from headrace.archiver.log_entries import FileEntry, Gap, LogCorrupt, PartEntry, file_from_json
from headrace.archiver.log_removals import Removal
from headrace.archiver.log_state import CommittedFile, Identity

from .errors import RequestRefused
from .plan import FileRead, PartitionRange, Plan, Unit
from .selection import Selection


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return the documented JSON form of a topic's plan (docs/replay.md)."""
    return {
        "topic": plan.topic,
        "snapshot": plan.snapshot,
        "head_sha256": plan.head_sha256,
        "selection": plan.selection.as_json(),
        "selected": plan.selection.describe(),
        "files": plan.files,
        "parts": plan.parts,
        "rows": plan.rows,
        "bytes": plan.bytes,
        "counted": plan.counted,
        "ranges": [_range_json(covered) for covered in plan.ranges],
        "units": [[_read_json(read) for read in unit.files] for unit in plan.units],
    }


def _range_json(covered: PartitionRange) -> dict[str, Any]:
    identity = covered.identity
    return {
        "topic_id": identity.topic_id,
        "partition": identity.partition,
        "lineage": identity.lineage,
        "from": covered.start,
        "to": covered.end,
        "origin": covered.origin,
        "next": covered.next,
        "gaps": [gap.as_json() for gap in covered.gaps],
        "removals": [each.as_list() for each in covered.removals],
    }


def _read_json(read: FileRead) -> dict[str, Any]:
    committed = read.committed
    wanted = [index for index, part in enumerate(committed.file.parts) if part in read.parts]
    return {
        "seq": committed.seq,
        "topic_id": committed.topic_id,
        "lineages": {str(partition): lineage for partition, lineage in sorted(committed.lineages.items())},
        "file": committed.file.as_json(),
        "wanted": wanted,
    }


def plan_from_json(value: Mapping[str, Any], where: str) -> Plan:
    """Return the plan that plan_json() gave; `where` names its source. Raises RequestRefused for anything else."""
    try:
        return Plan(
            topic=str(value["topic"]),
            snapshot=int(value["snapshot"]),
            head_sha256=str(value["head_sha256"]),
            selection=Selection.from_json(value["selection"]),
            ranges=tuple(_range(each) for each in value["ranges"]),
            units=tuple(Unit(tuple(_read(read, where) for read in unit)) for unit in value["units"]),
            parts=int(value["parts"]),
            rows=int(value["rows"]),
            bytes=int(value["bytes"]),
            counted=bool(value["counted"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, LogCorrupt) as error:
        raise RequestRefused(f"{where} is no replay plan ({type(error).__name__}: {error}); make it anew") from error


def _range(value: Mapping[str, Any]) -> PartitionRange:
    gaps = tuple(Gap(each["from"], each["to"], each["reason"], each["evidence"]) for each in value["gaps"])
    identity = Identity(value["topic_id"], value["partition"], value["lineage"])
    removals = tuple(map(Removal.from_list, value.get("removals", ())))
    return PartitionRange(identity, value["from"], value["to"], value["origin"], value["next"], gaps, removals)


def _read(value: Mapping[str, Any], where: str) -> FileRead:
    file: FileEntry = file_from_json(value["file"], where)
    lineages = {int(partition): int(lineage) for partition, lineage in value["lineages"].items()}
    parts: tuple[PartEntry, ...] = tuple(file.parts[index] for index in value["wanted"])
    return FileRead(CommittedFile(file, int(value["seq"]), str(value["topic_id"]), lineages), parts)
