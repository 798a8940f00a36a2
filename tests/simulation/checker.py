"""The independent checker: I1-I11 of docs/guarantees.md, after every change to the bucket, against Kafka's history.

Written from docs/archive-format.md, on the JSON as it lies in the bucket; it shares no code with the archiver's own
fold of the log. It is told of each change when the store applies it, so that nothing can be wrong even for a moment.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from headrace.archiver.source import TopicPartition

from .codec import Row, late_places, rows_of, topic_id_of
from .days import day_of
from .history import Identity, pieces_of, uncovered
from .kafka import Partition, SimKafka
from .removals import check_erase, check_expire
from .rewrites import check_intent, check_rewrite
from .store import Bucket
from .topic_log import KnownFile, TopicLog, Violation, must


class Checker:
    """Watches a bucket. `found` is the first violation; the hub raises it after the step in which it happened."""

    def __init__(self, kafka: SimKafka, bucket: Bucket) -> None:
        self._kafka = kafka
        self._bucket = bucket
        self.logs: dict[str, TopicLog] = defaultdict(TopicLog)
        self.found: Violation | None = None
        self.entries = 0
        self.rows = 0

    def fail(self, invariant: str, what: str) -> None:
        """Note a violation; only the first one counts."""
        if self.found is None:
            self.found = Violation(invariant, what)

    def raise_found(self) -> None:
        if self.found is not None:
            raise self.found

    # -- the bucket's changes ------------------------------------------------------------------------------------------

    def created(self, key: str, body: bytes) -> None:
        if key.startswith("log/"):
            try:
                self._entry(key, body)
            except Violation as violation:
                self.fail(violation.invariant, violation.what)
        elif key.startswith("fold/"):
            self._bucket.scheduler.count("log: fold", key)
        elif key.endswith("/_SUCCESS"):
            self._bucket.scheduler.count("log: _SUCCESS")
            _, topic, date, _ = key.split("/")
            if date.removeprefix("dt=") not in self.logs[topic.removeprefix("topic=")].sealed:
                self.fail("I11", f"{key} is there, and the date is not sealed")

    def overwritten(self, key: str, before: bytes, body: bytes) -> None:
        if key.startswith("log/"):
            self.fail("I1", f"{key} was overwritten")
        elif key.startswith(("data/", "quarantine/")) and body != before:
            self.fail("I9", f"{key} was overwritten with other bytes")

    def deleted(self, key: str, _body: bytes) -> None:
        if key.startswith("log/"):
            self.fail("I1", f"{key} was deleted")
        for log in self.logs.values():
            if key in log.files:
                self.fail("I8", f"{key} was deleted, and entry {log.files[key].seq} names it")
            for intent, adds in log.intents.items():
                if key in adds:
                    self.fail("I8", f"{key} was deleted, and the rewrite of intent {intent} may still name it")

    def committed_offsets(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Hold what Kafka is told against the log (I6). What lies before a log's start was never there to archive."""
        for (topic, partition), offset in offsets.items():
            durable = [each.next for each in self.logs[topic].identities.values() if each.partition == partition]
            if offset > max(durable, default=0):
                starts = [
                    each.partitions[partition].log_start
                    for topic_id, each in self._kafka.incarnations.items()
                    if topic_id.startswith(f"{topic}-") and partition < len(each.partitions)
                ]
                if offset > max(starts, default=0):
                    self.fail("I6", f"{topic}/{partition}: Kafka is told {offset}, the log is at {durable}")

    # -- entries -------------------------------------------------------------------------------------------------------

    def _entry(self, key: str, body: bytes) -> None:
        topic, name = key.removeprefix("log/topic=").split("/")
        log, entry = self.logs[topic], json.loads(body)
        self.entries += 1
        seq = int(name.removesuffix(".json"))
        must(seq == log.seq + 1, "I1", f"{key}: the log ends at {log.seq}")
        must(entry["seq"] == seq, "I1", f"{key} says seq {entry['seq']}")
        must(entry["prev_sha256"] == log.sha256, "I7", f"{key} was written against another head")
        must(entry["topic"] == topic, "I10", f"{key} is of topic {entry['topic']}")
        log.seq, log.sha256 = seq, hashlib.sha256(body).hexdigest()
        self._bucket.scheduler.count(f"log: {entry['kind']}")
        if entry["kind"] == "commit":
            self._commit(key, log, entry)
        elif entry["kind"] == "seal":
            self._seal(key, log, entry)
        elif entry["kind"] == "intent":
            check_intent(key, log, entry, self._bucket.objects)
        elif entry["kind"] in ("rewrite", "erase"):
            self._rewrite(key, log, entry)
        elif entry["kind"] == "expire":
            check_expire(key, log, entry)
        else:
            raise Violation("I1", f"{key}: kind {entry['kind']} is not known here")
        log.ends.append({of: each.next for of, each in log.identities.items()})

    def _commit(self, key: str, log: TopicLog, entry: dict[str, Any]) -> None:
        log.commits += 1
        spans = [
            (span["partition"], span["lineage"], span["from"], span["to"], span["leader_epoch"], span["gaps"])
            for span in entry["spans"]
        ]
        self._bucket.scheduler.note(f"commit {log.seq}: {spans}")
        topic_id = entry["topic_id"]
        must(topic_id in self._kafka.incarnations, "I10", f"{key}: no topic ever had the id {topic_id}")
        if topic_id != log.topic_id:
            still_open = [each for (i, _), each in log.newest.items() if i == log.topic_id and not each.closed]
            must(not still_open, "I10", f"{key}: {log.topic_id} is still open")
            known = any(i == topic_id for i, _, _ in log.identities)
            must(not known, "I10", f"{key}: goes back to {topic_id}")
            log.topic_id = topic_id
        rows = self._files(key, log, entry)
        for span in entry["spans"]:
            self._span(key, log, topic_id, span, rows)
        for (partition, offset), row in rows.items():
            inside = any(s["partition"] == partition and s["from"] <= offset < s["to"] for s in entry["spans"])
            must(inside, "I4", f"{key}: row {row} lies in no span")

    @staticmethod
    def _seal(key: str, log: TopicLog, entry: dict[str, Any]) -> None:
        """A seal names each partition of the topic that the log has, archived up to its end, and a date only once."""
        date, ends = entry["details"]["dt"], entry["details"]["ends"]
        must(date not in log.expired, "I11", f"{key}: {date} expired by entry {log.expired.get(date)}")
        must(date not in log.sealed, "I11", f"{key}: {date} is sealed already")
        must(entry["topic_id"] == log.topic_id, "I10", f"{key}: is of another topic id than {log.topic_id}")
        at = {str(p): each.next for (topic_id, p), each in log.newest.items() if topic_id == log.topic_id}
        must(at.keys() == ends.keys(), "I11", f"{key}: names partitions {sorted(ends)}, the log has {sorted(at)}")
        behind = [p for p, end in ends.items() if at[p] < end]
        must(not behind, "I11", f"{key}: partitions {behind} are not archived up to the date's end: {at} of {ends}")
        log.sealed.add(date)

    def _rewrite(self, key: str, log: TopicLog, entry: dict[str, Any]) -> None:
        lineages = {int(partition): of for partition, of in entry["details"]["lineages"].items()}
        added = {file["key"]: self._file(key, log, entry, file, lineages) for file in entry["files"]}
        for name in added:
            topic_id = topic_id_of(self._bucket.objects[name])
            must(topic_id == entry["topic_id"], "I10", f"{key}: {name} is of topic id {topic_id}")
        what = f"{entry['details']['removes']} become {sorted(added)}"
        self._bucket.scheduler.note(f"{entry['kind']} {log.seq} of {entry['details'].get('intent')}: {what}")
        self._bucket.scheduler.counts[f"log: {entry['kind']} that replaces files"] += bool(added)
        (check_erase if entry["kind"] == "erase" else check_rewrite)(key, log, entry, added)

    def _files(self, key: str, log: TopicLog, entry: dict[str, Any]) -> dict[tuple[int, int], Row]:
        """Take a commit's files in, and return their rows."""
        rows: dict[tuple[int, int], Row] = {}
        lineages = {span["partition"]: span["lineage"] for span in entry["spans"]}
        for file in entry["files"]:
            known = log.files[file["key"]] = self._file(key, log, entry, file, lineages)
            late = len(known.rows) if file["kind"] == "data" and log.closed(file["dt"]) else 0
            must(len(known.late) == late, "I11", f"{key}: {file['key']} has other than {late} late rows")
            for row in known.rows:
                must(row[:2] not in rows, "I4", f"{key}: offset {row[:2]} comes twice")
                rows[row[:2]] = row
            self.rows += len(known.rows)
        return rows

    def _file(
        self, key: str, log: TopicLog, entry: dict[str, Any], file: dict[str, Any], lineages: Mapping[int, int]
    ) -> KnownFile:
        """Hold a file that an entry adds against its object."""
        name = file["key"]
        body = self._bucket.objects.get(name)
        must(name not in log.files and name not in log.removed, "I3", f"{key}: {name} was named before")
        if body is None:
            raise Violation("I3", f"{key}: {name} does not exist")
        stated = (file["bytes"], file["sha256"])
        must((len(body), self._bucket.sha256[name]) == stated, "I3", f"{key}: {name} is another object")
        rows = rows_of(body)
        must(rows == sorted(rows, key=lambda row: row[:2]), "I4", f"{key}: {name} is not sorted")
        self._parts(key, file, rows)
        for row in rows:
            must(day_of(row[2]) == file["dt"], "I4", f"{key}: {name} holds a row of {day_of(row[2])}")
        late = late_places(body) if file["kind"] == "data" else set()
        must(file["late"] == len(late), "I11", f"{key}: {name} has {len(late)} late rows, stated are {file['late']}")
        return KnownFile(entry["seq"], file["kind"], file["dt"], entry["topic_id"], lineages, rows, late)

    @staticmethod
    def _parts(key: str, file: dict[str, Any], rows: list[Row]) -> None:
        at = 0
        for part in file["parts"]:
            own = rows[at : at + part["rows"]]
            must(part["row_start"] == at and bool(own), "I4", f"{key}: parts of {file['key']} have a hole")
            ends = (part["first"], part["last"]) == (own[0][1], own[-1][1])
            same = all(row[0] == part["partition"] for row in own)
            must(ends and same, "I4", f"{key}: a part of {file['key']} is not what is stated")
            at += part["rows"]
        must(at == len(rows) == file["rows"], "I4", f"{key}: {file['key']} has {len(rows)} rows, not {at}")

    # -- spans ---------------------------------------------------------------------------------------------------------

    def _span(
        self, key: str, log: TopicLog, topic_id: str, span: dict[str, Any], rows: dict[tuple[int, int], Row]
    ) -> None:
        number = span["partition"]
        at = f"{key}: {topic_id}/{number} [{span['from']}, {span['to']})"
        identity = self._identity(at, log, topic_id, span)
        kafka = self._kafka.incarnations[topic_id].partitions[number]
        own = {offset: row for (p, offset), row in rows.items() if p == number and span["from"] <= offset < span["to"]}
        must(len(own) == span["rows"] + span["quarantined"], "I4", f"{at} has {len(own)} rows, states other counts")
        identity.admit(kafka)
        if not identity.began:
            identity.began = True
            earlier = [each for each in log.of_partition(topic_id, number) if each is not identity]
            nowhere = {
                branch: uncovered(kafka, kafka.branches[branch], span["from"], earlier) for branch in identity.branches
            }
            identity.branches = [branch for branch, missing in nowhere.items() if not missing]
            must(bool(identity.branches), "I5", f"{at}: begins after offsets that are nowhere: {nowhere}")
        for piece in pieces_of(span):
            self._piece(at, kafka, identity, piece, own)
        for gap in span["gaps"]:
            self._gap(at, identity, gap)

    @staticmethod
    def _piece(at: str, kafka: Partition, identity: Identity, piece: Mapping[str, Any], own: Mapping[int, Row]) -> None:
        rows = {offset: row for offset, row in own.items() if piece["from"] <= offset < piece["to"]}
        identity.forget(kafka, piece["from"])
        identity.admit(kafka)
        problems = identity.problems(kafka, piece, rows)
        if all(problem is not None for problem in problems.values()):
            # A branch that was too short for an earlier span may have grown to be what that span says.
            identity.branches, identity.considered = [], 0
            identity.admit(kafka)
            problems = {**problems, **identity.problems(kafka, piece, rows)}
        left = [branch for branch, problem in problems.items() if problem is None]
        if not left and identity.took_across_a_cut(kafka, piece, rows):
            return
        if not left:
            said = "; ".join(str(problem) for problem in problems.values())
            missing = "no row, and in no gap" in said or " gap" in said
            raise Violation("I5" if missing else "I4", f"{at}: {said}")
        identity.took(piece, rows, left)

    @staticmethod
    def _identity(at: str, log: TopicLog, topic_id: str, span: dict[str, Any]) -> Identity:
        number, lineage = span["partition"], span["lineage"]
        must(0 <= span["from"] <= span["to"], "I2", f"{at} is no range")
        newest = log.newest.get((topic_id, number))
        if newest is not None and newest.lineage == lineage:
            must(not newest.closed, "I10", f"{at}: lineage {lineage} is closed")
            must(newest.next == span["from"], "I2", f"{at}: the archive is at {newest.next}")
            return newest
        expected = 0 if newest is None else newest.lineage + 1
        must(lineage == expected and (newest is None or newest.closed), "I10", f"{at}: lineage {lineage} cannot begin")
        identity = Identity(topic_id, number, lineage, span["from"], span["from"])
        log.identities[topic_id, number, lineage] = log.newest[topic_id, number] = identity
        return identity

    def _gap(self, at: str, identity: Identity, gap: dict[str, Any]) -> None:
        kafka = self._kafka.incarnations[identity.topic_id].partitions[identity.partition]
        if gap["to"] is not None:
            must(gap["from"] >= 0 and gap["to"] <= identity.next, "I5", f"{at}: a gap reaches out of it")
            identity.gaps.append((gap["from"], gap["to"], gap["reason"]))
            return
        identity.closed = True
        if gap["reason"] == "topic-recreated":
            current = {topic.topic_id for topic in self._kafka.topics.values()}
            must(identity.topic_id not in current, "I5", f"{at}: closed as made again, and the topic is the same")
        elif gap["reason"] == "diverged":
            cut = [point for point in kafka.cuts if point < identity.next]
            must(bool(cut), "I5", f"{at}: closed as diverged, and nothing of it was lost: {kafka.cuts}")
        else:
            raise Violation("I5", f"{at}: a gap without an end for {gap['reason']}")
