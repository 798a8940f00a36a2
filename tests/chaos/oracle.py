"""The judge: reads an archive by docs/archive-format.md alone, and holds it against journal and Kafka.

None of headrace's reading code is used: log objects come by boto3 and json, files by plain pyarrow, and a value is
encoded again from its columns by fastavro under the schema file of the event.
"""

import hashlib
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import ClientError
from kafka_oracle import Seen, TopicView

from chaos.journal_producer import Acked, hash_of

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PIN = fastavro.parse_schema(json.loads((Path(__file__).parents[2] / "schemas" / "pin.avsc").read_text()))


class Identity(NamedTuple):
    topic_id: str
    partition: int
    lineage: int


class RecordedGap(NamedTuple):
    identity: Identity
    start: int
    end: int | None
    reason: str


@dataclass
class ArchiveLog:
    """What the entries of one topic's log add up to."""

    next: dict[Identity, int] = field(default_factory=dict)
    closed: set[Identity] = field(default_factory=set)
    gaps: list[RecordedGap] = field(default_factory=list)
    files: dict[str, tuple[dict[str, Any], str, dict[int, int]]] = field(default_factory=dict)
    entries: int = 0

    def position(self, topic_id: str, partition: int) -> int | None:
        """How far the newest lineage of a partition is archived; None while the log has nothing of it."""
        found = [(identity.lineage, at) for identity, at in self.next.items() if identity[:2] == (topic_id, partition)]
        return max(found)[1] if found else None

    def positions(self, topic_id: str, partitions: int) -> dict[int, int] | None:
        """The same of all partitions; None unless the log has all."""
        found = {p: self.position(topic_id, p) for p in range(partitions)}
        return None if None in found.values() else {p: at for p, at in found.items() if at is not None}


class Archive:
    """One archive's objects, asked of the S3 server directly. Keeps what it has read of a log: entries never change."""

    def __init__(self, s3: "S3Client", bucket: str, prefix: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._prefix = prefix
        self._bodies: dict[str, list[bytes]] = defaultdict(list)

    def get(self, key: str) -> bytes | None:
        try:
            return self._s3.get_object(Bucket=self._bucket, Key=f"{self._prefix}/{key}")["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise

    def log(self, topic: str) -> ArchiveLog:
        """Read a topic's log to its end and add it up. Asserts what the format promises of it."""
        bodies = self._bodies[topic]
        while (body := self.get(f"log/topic={topic}/{len(bodies) + 1:020}.json")) is not None:
            bodies.append(body)
        log, before = ArchiveLog(), "0" * 64
        for seq, body in enumerate(bodies, 1):
            entry = json.loads(body)
            assert (entry["seq"], entry["prev_sha256"], entry["topic"]) == (seq, before, topic), f"slot {seq}"
            before = hashlib.sha256(body).hexdigest()
            _take(log, entry, seq)
        log.entries = len(bodies)
        return log

    def unnamed(self, topic: str, log: ArchiveLog) -> list[str]:
        """The Parquet objects of a topic that its log does not name: plain readers would count them."""
        found = []
        for root in ("data", "quarantine"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{self._prefix}/{root}/topic={topic}/"
            )
            keys = (item["Key"] for page in pages for item in page.get("Contents", []))
            found += [key.removeprefix(f"{self._prefix}/") for key in keys]
        return [key for key in found if key not in log.files]

    def rows(self, log: ArchiveLog) -> Iterator[tuple[Identity, Seen]]:
        """Yield every row of every committed file as the record that it stands for."""
        for key, (entry, topic_id, lineages) in log.files.items():
            body = self.get(key)
            assert body is not None, f"{key} is committed and not there"
            assert (len(body), hashlib.sha256(body).hexdigest()) == (entry["bytes"], entry["sha256"]), key
            file = pq.ParquetFile(pa.BufferReader(body), page_checksum_verification=True)
            footer = json.loads(file.metadata.metadata[b"headrace"])
            assert footer["topic_id"] == topic_id, key
            records = list(_records(file.read(), key))
            assert len(records) == entry["rows"], key
            for part in entry["parts"]:
                own = records[part["row_start"] : part["row_start"] + part["rows"]]
                assert {record.partition for record in own} == {part["partition"]}, key
                assert (own[0].offset, own[-1].offset) == (part["first"], part["last"]), key
                identity = Identity(topic_id, part["partition"], lineages[part["partition"]])
                yield from ((identity, record) for record in own)


def _take(log: ArchiveLog, entry: Mapping[str, Any], seq: int) -> None:
    assert entry["kind"] in ("commit", "seal"), f"slot {seq} is a {entry['kind']}"
    for span in entry["spans"]:
        identity = Identity(entry["topic_id"], span["partition"], span["lineage"])
        assert identity not in log.closed, f"slot {seq}: {identity} was closed"
        assert log.next.get(identity, span["from"]) == span["from"], f"slot {seq}: {identity} does not begin at the end"
        assert span["from"] <= span["to"], f"slot {seq}"
        log.next[identity] = span["to"]
        for gap in span["gaps"]:
            log.gaps.append(RecordedGap(identity, gap["from"], gap["to"], gap["reason"]))
            if gap["to"] is None:
                log.closed.add(identity)
    lineages = {span["partition"]: span["lineage"] for span in entry["spans"]}
    for file in entry["files"]:
        assert file["key"] not in log.files, f"slot {seq}: {file['key']} twice"
        log.files[file["key"]] = (file, entry["topic_id"], lineages)


def _records(table: pa.Table, where: str) -> Iterator[Seen]:
    for at, column in enumerate(table.columns):
        if pa.types.is_timestamp(column.type):
            table = table.set_column(at, table.schema.field(at).name, column.cast(pa.int64()))
    for row in table.to_pylist():
        value = row["_value"]
        if row.get("_frame") is not None:
            assert value is None, f"{where} has both value and frame at offset {row['_offset']}"
            out = io.BytesIO(row["_frame"])
            out.seek(0, io.SEEK_END)
            fastavro.schemaless_writer(out, PIN, row)
            value = out.getvalue()
        yield Seen(
            partition=row["_partition"],
            offset=row["_offset"],
            timestamp=row["_timestamp"],
            timestamp_type=row["_timestamp_type"],
            key=row["_key"],
            value=value,
            headers=tuple((header["name"], header["value"]) for header in row["_headers"]),
        )


@dataclass(frozen=True)
class InjectedGap:
    """Offsets that were taken from Kafka on purpose: the gap begins within [low, high], which may be one offset."""

    topic_id: str
    partition: int
    low: int
    high: int
    end: int | None
    reason: str

    def is_recorded_by(self, gap: RecordedGap) -> bool:
        same = (gap.identity.topic_id, gap.identity.partition, gap.end, gap.reason)
        return same == (self.topic_id, self.partition, self.end, self.reason) and self.low <= gap.start <= self.high


@dataclass(frozen=True)
class Verdict:
    """What became of the acknowledged events of one topic. Numbers of records but for the two lists of gaps."""

    acknowledged: int
    archived: int
    lost: int
    duplicated: int
    wrong: int
    in_gaps: int
    gaps_recorded: int
    gaps_injected: int
    odd: tuple[str, ...]

    @property
    def good(self) -> bool:
        return not (self.lost or self.duplicated or self.wrong or self.odd)


def judge(
    archive: Archive,
    topic: str,
    journal: Mapping[tuple[str, int], Acked],
    *,
    gave_up: int,
    injected: Sequence[InjectedGap],
    kafka: TopicView,
    topic_id: str,
) -> Verdict:
    """Hold archive, journal and Kafka's remaining history (of `topic_id`) against each other."""
    log = archive.log(topic)
    rows: dict[tuple[str, int], dict[int, Seen]] = defaultdict(dict)
    counts: Counter[tuple[Identity, int]] = Counter()
    for identity, record in archive.rows(log):
        counts[identity, record.offset] += 1
        rows[identity.topic_id, identity.partition][record.offset] = record
    odd: list[str] = [f"{key} is left over" for key in archive.unnamed(topic, log)]
    odd += [f"{identity} is a lineage that nobody asked for" for identity in log.next if identity.lineage]
    lost = wrong = in_gaps = 0
    unclaimed = 0
    for where, acked in journal.items():
        expected, found = acked.by_offset(), rows.get(where, {})
        gaps = [gap for gap in log.gaps if gap.identity[:2] == where]
        for offset, value_hash in expected.items():
            archived = found.get(offset)
            if archived is None:
                covered = any(gap.start <= offset and (gap.end is None or offset < gap.end) for gap in gaps)
                in_gaps += covered
                lost += not covered
                if not covered and lost < 5:
                    odd.append(f"{where} offset {offset} was acknowledged and is nowhere; gaps {gaps}")
            elif archived.value is None or hash_of(archived.value) != value_hash:
                wrong += 1
        unclaimed += len(found.keys() - expected.keys())
    if unclaimed > gave_up:
        odd.append(f"{unclaimed} archived records were never acknowledged, {gave_up} of unknown outcome")
    odd += _against_kafka(rows, kafka, topic_id)
    matched, left = 0, list(log.gaps)
    for gap in injected:
        match = next((each for each in left if gap.is_recorded_by(each)), None)
        if match is None:
            odd.append(f"injected and not recorded: {gap}")
        else:
            left.remove(match)
            matched += 1
    odd += [f"recorded and not injected: {gap}" for gap in left]
    return Verdict(
        acknowledged=sum(len(acked.offsets) for acked in journal.values()),
        archived=sum(counts.values()),
        lost=lost,
        duplicated=sum(counts.values()) - len(counts),
        wrong=wrong,
        in_gaps=in_gaps,
        gaps_recorded=matched + len(left),
        gaps_injected=len(injected),
        odd=tuple(odd),
    )


def _against_kafka(rows: Mapping[tuple[str, int], Mapping[int, Seen]], kafka: TopicView, topic_id: str) -> list[str]:
    """Each record that Kafka still has is archived as it is, and nothing else is from its start on."""
    odd = []
    for partition, start in kafka.starts.items():
        archived = {offset: r for offset, r in rows.get((topic_id, partition), {}).items() if offset >= start}
        visible = {offset: record for (p, offset), record in kafka.records.items() if p == partition}
        if archived != visible:
            differing = sorted(o for o in archived.keys() | visible.keys() if archived.get(o) != visible.get(o))
            odd.append(f"partition {partition}: archive and Kafka differ at offsets {differing[:5]} ({len(differing)})")
    return odd
