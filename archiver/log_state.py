"""What a topic's log adds up to: the fold of its entries, with the invariants checked at each step.

Pure: no store, no clock. A worker folds to know where to read on and whether its commit still fits; readers fold to
know which files a snapshot has; verify folds to find any entry that breaks a rule.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from .log_entries import NO_SHA256, Entry, FileEntry, Gap, Span


class LogViolation(Exception):
    """An entry breaks an invariant of the log. `invariant` is its name in docs/guarantees.md, for instance "I2"."""

    def __init__(self, invariant: str, where: str, what: str) -> None:
        super().__init__(f"{where}: {what} (breaks {invariant})")
        self.invariant = invariant


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """What makes a partition's offsets comparable: they begin anew with a topic's re-creation and after truncation."""

    topic_id: str
    partition: int
    lineage: int


@dataclass(frozen=True, slots=True)
class PartitionState:
    """How far one identity is archived: its offsets [origin, next), in order and without a hole."""

    identity: Identity
    origin: int
    next: int
    leader_epoch: int = -1
    max_timestamp: int = -1
    rows: int = 0
    quarantined: int = 0
    closed: bool = False
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class CommittedFile:
    """A file of a snapshot, with the entry that brought it and the identities' topic id."""

    file: FileEntry
    seq: int
    topic_id: str
    lineages: Mapping[int, int]


@dataclass
class LogState:
    """The fold of a log's entries 1..seq."""

    topic: str
    seq: int = 0
    head_sha256: str = NO_SHA256
    cluster_id: str = ""
    topic_id: str = ""
    identities: dict[Identity, PartitionState] = field(default_factory=dict)
    files: dict[str, CommittedFile] = field(default_factory=dict)
    sealed: dict[str, Mapping[str, int]] = field(default_factory=dict)
    intents: dict[str, frozenset[str]] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    _newest: dict[tuple[str, int], Identity] = field(default_factory=dict)

    def newest(self, partition: int, topic_id: str | None = None) -> PartitionState | None:
        """Return the newest lineage of a partition of the current topic (or of `topic_id`), None when unseen."""
        identity = self._newest.get((self.topic_id if topic_id is None else topic_id, partition))
        return None if identity is None else self.identities[identity]

    def partitions(self) -> Iterator[PartitionState]:
        """Yield the newest lineage of each partition of the current topic, by partition."""
        for (topic_id, _), identity in sorted(self._newest.items(), key=lambda item: item[0]):
            if topic_id == self.topic_id:
                yield self.identities[identity]

    def open_identities(self, topic_id: str) -> list[PartitionState]:
        """Return the identities of a topic id that are not closed."""
        return [state for state in self.identities.values() if state.identity.topic_id == topic_id and not state.closed]

    def conflict(self, entry: Entry) -> str | None:
        """Say why `entry` cannot be the next one, or None when it can. This is the fence against zombies."""
        try:
            self._check(entry, "the new entry")
        except LogViolation as violation:
            return str(violation)
        return None

    def apply(self, entry: Entry, sha256: str, where: str) -> None:
        """Take the next entry in. Raises LogViolation, and then leaves the state as it was."""
        if entry.seq != self.seq + 1:
            raise LogViolation("I1", where, f"says seq {entry.seq}, its slot is {self.seq + 1}")
        if entry.prev_sha256 != self.head_sha256:
            message = f"prev_sha256 {entry.prev_sha256[:12]}... is not the hash {self.head_sha256[:12]}... of the entry"
            raise LogViolation("I1", where, f"{message} before it: one of the two was changed")
        self._check(entry, where)
        self._take(entry)
        self.seq, self.head_sha256 = entry.seq, sha256

    # -- what each kind must satisfy ---------------------------------------------------------------------------------

    def _check(self, entry: Entry, where: str) -> None:
        if entry.topic != self.topic:
            raise LogViolation("I10", where, f"is of topic {entry.topic!r}, this is the log of {self.topic!r}")
        if entry.kind == "moved":
            if entry.details.get("from_cluster_id") != self.cluster_id:
                raise LogViolation("I10", where, f"moves from a cluster that is not {self.cluster_id!r}")
            return
        if self.cluster_id and entry.cluster_id != self.cluster_id:
            message = f"comes from Kafka cluster {entry.cluster_id!r}; this log belongs to {self.cluster_id!r}"
            raise LogViolation("I10", where, message)
        if entry.kind == "commit":
            self._check_commit(entry, where)
        elif entry.kind == "seal" and str(entry.details.get("dt")) in self.sealed:
            raise LogViolation("I11", where, f"seals {entry.details.get('dt')} a second time")
        elif entry.kind in ("rewrite", "expire"):
            for key in self._removes(entry):
                if key not in self.files:
                    raise LogViolation("I3", where, f"removes {key}, which no entry before it added")
        for file in entry.files:
            if file.key in self.files or file.key in self.removed:
                raise LogViolation("I3", where, f"adds {file.key}, which an earlier entry added already")

    def _check_commit(self, entry: Entry, where: str) -> None:
        if not entry.topic_id:
            raise LogViolation("I10", where, "has no topic_id")
        if self.topic_id and entry.topic_id != self.topic_id and self.open_identities(self.topic_id):
            message = f"is of topic id {entry.topic_id}, while {self.topic_id} is still open"
            raise LogViolation("I10", where, message)
        if entry.topic_id != self.topic_id and any(i.topic_id == entry.topic_id for i in self.identities):
            raise LogViolation("I10", where, f"is of topic id {entry.topic_id}, which was closed")
        known: dict[int, PartitionState | None] = {}
        for span in entry.spans:
            before = known.get(span.partition, self.newest(span.partition, entry.topic_id))
            known[span.partition] = self._after(before, span, entry.topic_id, where)
        _check_parts(entry, where)

    def _after(self, before: PartitionState | None, span: Span, topic_id: str, where: str) -> PartitionState:
        at = f"{where}, {self.topic}/{span.partition}"
        if not 0 <= span.start <= span.end:
            raise LogViolation("I2", at, f"span [{span.start}, {span.end}) is no range")
        for gap in span.gaps:
            if gap.start < span.start or (gap.end is not None and not gap.start <= gap.end <= span.end):
                raise LogViolation("I5", at, f"gap [{gap.start}, {gap.end}) lies outside [{span.start}, {span.end})")
        new = before is None or (before.closed and span.lineage == before.identity.lineage + 1)
        if before is None and span.lineage != 0:
            raise LogViolation("I10", at, f"begins with lineage {span.lineage}, not 0")
        if before is not None and not new:
            if span.lineage != before.identity.lineage or before.closed:
                message = f"is of lineage {span.lineage}; the archive is at {before.identity.lineage}"
                raise LogViolation("I10", at, message + (" (closed)" if before.closed else ""))
            if span.start != before.next:
                raise LogViolation("I2", at, f"begins at offset {span.start}; the archive's next is {before.next}")
        base = before
        if base is None or new:
            base = PartitionState(Identity(topic_id, span.partition, span.lineage), origin=span.start, next=span.start)
        return replace(
            base,
            next=span.end,
            leader_epoch=max(base.leader_epoch, span.leader_epoch),
            max_timestamp=max(base.max_timestamp, span.max_timestamp),
            rows=base.rows + span.rows,
            quarantined=base.quarantined + span.quarantined,
            closed=span.closes,
            gaps=base.gaps + span.gaps,
        )

    @staticmethod
    def _removes(entry: Entry) -> list[str]:
        removes = entry.details.get("removes", [])
        return [str(key) for key in removes] if isinstance(removes, list) else []

    # -- what each kind changes --------------------------------------------------------------------------------------

    def _take(self, entry: Entry) -> None:
        if entry.kind == "moved":
            self.cluster_id, self.topic_id = entry.cluster_id, ""
            return
        self.cluster_id = self.cluster_id or entry.cluster_id
        if entry.kind == "commit":
            self.topic_id = entry.topic_id
            for span in entry.spans:
                after = self._after(self.newest(span.partition), span, entry.topic_id, "log")
                self.identities[after.identity] = after
                self._newest[entry.topic_id, span.partition] = after.identity
        elif entry.kind == "seal":
            self.sealed[str(entry.details.get("dt"))] = dict(entry.details.get("ends", {}))
        elif entry.kind == "intent":
            self.intents[entry.entry_id] = frozenset(str(key) for key in entry.details.get("adds", []))
        elif entry.kind in ("rewrite", "expire"):
            self.intents.pop(str(entry.details.get("intent", "")), None)
            for key in self._removes(entry):
                del self.files[key]
                self.removed[key] = entry.seq
        lineages = {span.partition: span.lineage for span in entry.spans}
        for file in entry.files:
            self.files[file.key] = CommittedFile(file, entry.seq, entry.topic_id, lineages)


def _check_parts(entry: Entry, where: str) -> None:
    """Hold a commit's files against its spans: each row belongs to a span, and the counts agree (I4)."""
    spans = {span.partition: span for span in entry.spans}
    counts: dict[tuple[str, int], int] = {}
    for file in entry.files:
        if sum(part.rows for part in file.parts) != file.rows:
            raise LogViolation(
                "I4", where, f"{file.key}: its parts hold another number of rows than the {file.rows} stated"
            )
        for part in file.parts:
            span = spans.get(part.partition)
            if span is None or part.first < span.start or part.last >= span.end or part.first > part.last:
                message = f"{file.key}: offsets {part.first}..{part.last} of partition {part.partition} lie in no span"
                raise LogViolation("I4", where, message)
            counts[file.kind, part.partition] = counts.get((file.kind, part.partition), 0) + part.rows
    for span in entry.spans:
        data, quarantined = counts.get(("data", span.partition), 0), counts.get(("quarantine", span.partition), 0)
        if spans[span.partition] is span and (data, quarantined) != (span.rows, span.quarantined):
            message = f"partition {span.partition}: files hold {data}+{quarantined} rows, the span says "
            raise LogViolation("I4", where, message + f"{span.rows}+{span.quarantined}")
