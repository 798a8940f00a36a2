"""Reads the target of a replay back, later, and holds it against the replay's receipt."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.archiver.part_digest import PartDigest

from .errors import NothingChecked, RequestRefused, TargetUnfit
from .file_read_back import by_partition, records_of
from .findings import Finding
from .kafka_read_back import ReadBack
from .kafka_target import Clock, read_target
from .target_digest import ContentDigest, Runs

CHUNK_BYTES = 1 << 20
AGAIN = "replay it again, into an empty target"
CHANGED = "find out what wrote there, or " + AGAIN


@dataclass(slots=True)
class ReceiptReport:
    """What was compared with a receipt, and what is wrong."""

    receipt: str
    records: int = 0
    targets: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form, version 1."""
        return {
            "version": 1,
            "receipt": self.receipt,
            "ok": self.ok,
            "checked": {"targets": self.targets, "records": self.records},
            "findings": [finding.as_json() for finding in self.findings],
        }


def verify_receipt(
    receipt: Mapping[str, Any],
    *,
    kafka: Mapping[str, Any] | None,
    clock: Clock,
    on_progress: Callable[[int], None] = lambda _records: None,
) -> ReceiptReport:
    """Read back what a receipt says was written. `kafka`: the target's cluster, for a replay into Kafka.

    Raises RequestRefused where nothing can be read back, NothingChecked, KafkaUnusable, SourceError.
    """
    report = ReceiptReport(receipt["id"])
    for topic in receipt["topics"]:
        target = topic["target"]
        kind = target["kind"]
        if kind == "stdout":
            raise RequestRefused(f"replay {receipt['id']} went to standard output, which cannot be read back")
        if kind == "kafka":
            if kafka is None:
                raise RequestRefused(
                    f"the target {target['name']} is a Kafka topic: name its cluster by --target-kafka"
                )
            _verify_topic(target, kafka, clock, report)
        else:
            _verify_file(target, report)
        report.targets += 1
        on_progress(report.records)
    if report.ok and report.records == 0 and receipt["records"] != 0:
        raise NothingChecked(f"nothing was read back of replay {receipt['id']}: nothing was checked")
    return report


# -- a topic -----------------------------------------------------------------------------------------------------------


def _verify_topic(target: Mapping[str, Any], kafka: Mapping[str, Any], clock: Clock, report: ReceiptReport) -> None:
    name = target["name"]
    try:
        now = read_target(kafka, name, clock)
    except TargetUnfit as error:
        report.findings.append(Finding(f"topic {name}", str(error), AGAIN))
        return
    if now.topic_id != target["topic_id"]:
        what = f"has topic id {now.topic_id}, and the records went into {target['topic_id']}: it was made again"
        report.findings.append(Finding(f"topic {name}", what, AGAIN))
        return
    held = [each for each in target["partitions"] if each["records"]]
    for each in held:
        start = now.ranges[each["partition"]][0]
        if start > each["offsets"][0][2]:
            what = (
                f"offsets below {start} are gone (retention or deletion); the records begin at {each['offsets'][0][2]}"
            )
            report.findings.append(Finding(f"{name}/{each['partition']}", what, AGAIN))
    gone = {finding.where for finding in report.findings}
    held = [each for each in held if f"{name}/{each['partition']}" not in gone]
    bases = {each["partition"]: each["from"] for each in held}
    back = ReadBack(kafka, name, bases, clock=clock, timestamps_kept=target["timestamps_kept"])
    undated = {each["partition"]: np.array(each["undated"], np.int64) for each in held}
    found = back.content({each["partition"]: each["to"] for each in held}, undated)
    for each in held:
        _compare(f"{name}/{each['partition']}", each, *found[each["partition"]], report)


def _compare(where: str, said: Mapping[str, Any], content: ContentDigest, runs: Runs, report: ReceiptReport) -> None:
    report.records += content.records
    if content.records != said["records"]:
        what = f"holds {content.records:,} records in offsets [{said['from']}, {said['to']}), the receipt says "
        report.findings.append(Finding(where, f"{what}{said['records']:,}", CHANGED))
    elif content.hexdigest() != said["digest"]:
        what = f"its {content.records:,} records have digest {content.hexdigest()}, the receipt says {said['digest']}"
        report.findings.append(Finding(where, what, CHANGED))
    elif list(_joined(said["offsets"])) != [(first, count) for _, first, count in runs]:
        report.findings.append(Finding(where, "its records lie at other offsets than the receipt says", CHANGED))


def _joined(entries: Any) -> Any:
    """Yield the target's runs (first, count) of an offset map, whose entries are cut where the source has holes too."""
    first, count = None, 0
    for _, _, at, more in entries:
        if first is not None and first + count == at:
            count += more
            continue
        if first is not None:
            yield first, count
        first, count = at, more
    if first is not None:
        yield first, count


# -- a file ------------------------------------------------------------------------------------------------------------


def _verify_file(target: Mapping[str, Any], report: ReceiptReport) -> None:
    path = Path(target["name"])
    where = str(path)
    try:
        size, sha256 = _measure(path)
    except OSError as error:
        report.findings.append(Finding(where, f"cannot be read: {error.strerror or error}", AGAIN))
        return
    if (size, sha256) != (target["bytes"], target["sha256"]):
        what = f"has {size} bytes and SHA-256 {sha256}; {target['bytes']} and {target['sha256']} were written"
        report.findings.append(Finding(where, what, CHANGED))
        return
    said = {each["partition"]: each for each in target["partitions"]}
    if target["kind"] == "jsonl" and target["form"] == "event":
        report.records += sum(each["records"] for each in said.values())  # decoded: its bytes are all there is to check
        return
    digests: dict[int, PartDigest] = {}
    try:
        for records in records_of(target["kind"], path):
            for partition, rows in by_partition(records):
                digests.setdefault(partition, PartDigest()).update(rows)
                report.records += rows.num_rows
    except (ValueError, KeyError, OSError, pa.ArrowException) as error:
        report.findings.append(Finding(where, f"cannot be read as {target['kind']}: {error}", AGAIN))
        return
    for partition in sorted({*said, *digests}):
        digest = digests.get(partition, PartDigest())
        expected = said.get(partition, {"records": 0, "digest": PartDigest().hexdigest()})
        if (digest.rows, digest.hexdigest()) != (expected["records"], expected["digest"]):
            what = f"partition {partition}: {digest.rows:,} records of digest {digest.hexdigest()}; the receipt says "
            report.findings.append(Finding(where, f"{what}{expected['records']:,} of {expected['digest']}", CHANGED))


def _measure(path: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()
