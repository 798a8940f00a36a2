"""A topic under test: its history, what a plain consumer saw of it before each archiving, and what that obliges the
archive to hold.
"""

import io
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pyarrow.parquet as pq
from archiving import Archive
from confluent_kafka import Producer
from kafka_history import TopicHistory, contradictions
from kafka_oracle import Seen, TopicView, read_topic
from record_zoo import ZooRecord, random_cases
from servers import Servers
from zoo_schemas import PUBLISHED, fingerprint_of

LONG_MAX = str(2**63 - 1)
# Records of any time are taken, and stay.
ANY_TIME = {
    "message.timestamp.before.max.ms": LONG_MAX,
    "message.timestamp.after.max.ms": LONG_MAX,
    "retention.ms": "-1",
}
FIRST_DIFFERENCES = 10


def publish_schemas(servers: Servers) -> str:
    """Publish the zoo's schemas in a schema topic of their own, and return its name."""
    topic = servers.new_topic(1, {"cleanup.policy": "compact"})
    producer = Producer({"bootstrap.servers": servers.kafka})
    for text in PUBLISHED:
        producer.produce(topic, key=fingerprint_of(text), value=text.encode())
    assert producer.flush(30) == 0
    return topic


@dataclass
class WatchedTopic:
    """`expected`: all that was visible when it was archived. `gaps`: (partition, from, to) that must be listed.

    `records`: what may be written, without end. `unreadable`: places of records that no librdkafka client hands out.
    `foreign`: what others than `history` wrote.
    """

    servers: Servers
    name: str
    partitions: int
    history: TopicHistory
    rng: Random
    stamped: bool
    raw: bool
    records: Iterator[ZooRecord]
    expected: dict[tuple[int, int], Seen] = field(default_factory=dict)
    gaps: list[tuple[int, int, int]] = field(default_factory=list)
    origins: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    unreadable: set[tuple[int, int]] = field(default_factory=set)
    foreign: set[tuple[int, int]] = field(default_factory=set)

    @classmethod
    def create(
        cls,
        servers: Servers,
        rng: Random,
        *,
        partitions: int = 3,
        stamped: bool = False,
        raw: bool = False,
        config: Mapping[str, str] | None = None,
    ) -> "WatchedTopic":
        """Create a topic; `stamped`: the broker sets the timestamps; `raw`: it is archived byte for byte."""
        own = {"message.timestamp.type": "LogAppendTime" if stamped else "CreateTime", **(config or {})}
        name = servers.new_topic(partitions, {**ANY_TIME, **own})
        history = TopicHistory(servers.kafka, name, partitions, rng)
        return cls(servers, name, partitions, history, rng, stamped, raw, random_cases(rng))

    def watch(self) -> TopicView:
        """Take in what is visible now; nothing may change until it is archived. The journal must bear it out."""
        view = read_topic(self.servers.kafka, self.name, unreadable=self.unreadable)
        judged = [record for place, record in view.records.items() if place not in self.foreign]
        assert contradictions(self.history.journal, judged, stamped=self.stamped) == []
        for place, seen in view.records.items():
            assert self.expected.setdefault(place, seen) == seen
        self.origins = self.origins or view.starts
        for partition, start in view.starts.items():
            if (archived_to := self.ends.get(partition)) is not None and archived_to < start:
                self.gaps.append((partition, archived_to, start))
        self.ends = view.ends
        return view

    def check_replay(self, replayed: list[Seen]) -> None:
        """Hold a replay against everything that was seen, field by field."""
        assert differences([self.expected[place] for place in sorted(self.expected)], replayed) == []

    def log_entries(self, archive: Archive) -> list[dict[str, Any]]:
        """Return the objects of the topic's log, as they are."""
        bucket, _, prefix = archive.url.removeprefix("s3://").partition("/")
        s3 = self.servers.s3()
        keys = [
            found["Key"]
            for found in s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/log/topic={self.name}/")["Contents"]
        ]
        return [json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in sorted(keys)]

    def check_offsets(self, entries: list[dict[str, Any]]) -> None:
        """Each offset from the first to the end is a record, in a listed gap, or held nothing that was to be kept."""
        spans: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for entry in entries:
            for span in entry["spans"]:
                spans[span["partition"]].append(span)
        listed = [
            (p, gap["from"], gap["to"], gap["reason"])
            for p, own in spans.items()
            for span in own
            for gap in span["gaps"]
        ]
        unreadable = [(p, offset, offset + 1, "unreadable") for p, offset in self.unreadable]
        assert sorted(listed) == sorted([*((*gap, "retention") for gap in self.gaps), *unreadable]), entries
        for partition, end in self.ends.items():
            own = spans[partition]
            bounds = [span["from"] for span in own] + [end]
            assert own or self.origins[partition] == end, f"{self.name}/{partition} has no span"
            assert bounds[0] == self.origins[partition]
            assert [span["to"] for span in own] == bounds[1:], f"the spans of {self.name}/{partition} do not tile"
        forgotten = set(self.history.journal) & self.silent_offsets()
        assert forgotten == set(), "acknowledged, never aborted, and neither archived nor in a gap"

    def silent_offsets(self) -> set[tuple[int, int]]:
        """Return the places from the origin to the end that are neither expected records nor in a gap."""
        every = {(p, offset) for p, end in self.ends.items() for offset in range(self.origins[p], end)}
        in_gaps = {(p, offset) for p, start, end in self.gaps for offset in range(start, end)}
        return every - in_gaps - self.unreadable - set(self.expected)

    def check_quarantine(self, archive: Archive, entries: list[dict[str, Any]]) -> None:
        """What cannot be decoded is set aside, and only that."""
        bucket, _, prefix = archive.url.removeprefix("s3://").partition("/")
        keys = [file["key"] for entry in entries for file in entry["files"] if file["kind"] == "quarantine"]
        quarantined: dict[tuple[int, int], str] = {}
        for key in keys:
            body = self.servers.s3().get_object(Bucket=bucket, Key=f"{prefix}/{key}")["Body"].read()
            table = pq.read_table(io.BytesIO(body), columns=["_partition", "_offset", "_error_kind"])
            rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
            quarantined.update({(partition, offset): kind for partition, offset, kind in rows})
        judged = {place: self.history.journal[place] for place in self.expected.keys() - self.foreign}
        unsound = {place for place, record in judged.items() if record.decodable is False and not self.raw}
        sound = {place for place, record in judged.items() if record.decodable or self.raw}
        assert {judged[place].what for place in unsound - quarantined.keys()} == set(), "decoded, and must not"
        # Of two schemas that disagree over a column, the one that a flush meets first gets it.
        wrongly = {place for place in sound & quarantined.keys() if quarantined[place] != "schema-conflict"}
        assert {judged[place].what for place in wrongly} == set(), "quarantined, and decodable"


def differences(expected: list[Seen], replayed: list[Seen]) -> list[str]:
    """Name the first differences between two lists of records, each in the order of partition and offset."""
    found: list[str] = []
    wanted, got = {record[:2]: record for record in expected}, {record[:2]: record for record in replayed}
    if len(got) != len(replayed):
        found.append(f"{len(replayed) - len(got)} records came twice")
    for place in sorted(wanted.keys() | got.keys()):
        if place not in got:
            found.append(f"{place} is missing")
        elif place not in wanted:
            found.append(f"{place} was never seen: {got[place]}")
        elif wanted[place] != got[place]:
            pairs = zip(Seen._fields, wanted[place], got[place], strict=True)
            found += [f"{place}: {name} {a!r} became {b!r}" for name, a, b in pairs if a != b]
        if len(found) >= FIRST_DIFFERENCES:
            break
    return found
