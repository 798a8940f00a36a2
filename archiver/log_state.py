"""What a topic's log adds up to: the fold of its entries, with the invariants checked at each step.

Pure: no store, no clock. A worker folds to know where to read on and whether its commit still fits; readers fold to
know which files a snapshot has; verify folds to find any entry that breaks a rule. What seals and rewrites must satisfy
is in log_rules.py.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from .file_columns import CommittedFile, FileColumns
from .file_table import FileTable
from .log_entries import NO_SHA256, Entry, FileEntry, Gap, Span
from .log_removals import Removal, erased_parts, erased_removals, expired_removals, stated_dates, stated_rows
from .log_rules import (
    LogViolation,
    check_erase,
    check_expire,
    check_intent,
    check_late,
    check_parts,
    check_rewrite,
    check_seal,
    decodes,
    keys_in,
)

__all__ = ["CommittedFile", "Identity", "Intent", "LogState", "LogViolation", "PartitionState", "Seal"]

FOLD_ENTRIES = 1000
"""A fold is made of each so many entries. Part of the format; tests take fewer."""


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

    @property
    def blind(self) -> bool:
        """Whether offsets were passed in which no record was, so that no leader epoch is known and Kafka cannot tell
        a truncation. They are read again, for a record among them is of another history."""
        return self.leader_epoch < 0 and self.origin < self.next and not (self.rows or self.quarantined)


@dataclass(frozen=True, slots=True)
class Seal:
    """A date is complete, says entry `seq`: each partition had been archived up to its end. Later rows are late."""

    seq: int
    ends: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Intent:
    """A rewrite that is under way: the keys that it may add."""

    entry_id: str
    seq: int
    writer: str
    at: str
    adds: frozenset[str]


AtThousand = Callable[["LogState", FileColumns, tuple[int, str]], None]


@dataclass
class LogState:
    """The fold of a log's entries 1..seq.

    `dates`: date -> (rows, late rows) of its data files. `removals`: what was erased or expired; `expired`: date -> the
    newest entry that let it expire. `min_reader`: the highest that an entry asks for. `lean`: rewrites are believed as
    far as they name files that are not at hand; for a worker, which has no use for files. `on_thousand` is called at
    each full thousand (of `fold_entries`) with the state, its files' columns, and (seq, SHA-256) of the entry before
    the thousand: `begin`.
    """

    topic: str
    seq: int = 0
    head_sha256: str = NO_SHA256
    cluster_id: str = ""
    topic_id: str = ""
    identities: dict[Identity, PartitionState] = field(default_factory=dict)
    files: FileTable = field(default_factory=FileTable)
    sealed: dict[str, Seal] = field(default_factory=dict)
    intents: dict[str, Intent] = field(default_factory=dict)
    dates: dict[str, tuple[int, int]] = field(default_factory=dict)
    removals: list[Removal] = field(default_factory=list)
    expired: dict[str, int] = field(default_factory=dict)
    min_reader: int = 1
    lean: bool = False
    fold_entries: int = FOLD_ENTRIES
    on_thousand: AtThousand | None = None
    begin: tuple[int, str] = (0, NO_SHA256)
    _newest: dict[tuple[str, int], Identity] = field(default_factory=dict)

    def place(self, at: PartitionState) -> None:
        """Set how far an identity is archived; it becomes its partition's newest one."""
        self.identities[at.identity] = at
        self._newest[at.identity.topic_id, at.identity.partition] = at.identity

    def newest(self, partition: int, topic_id: str | None = None) -> PartitionState | None:
        """Return the newest lineage of a partition of the current topic (or of `topic_id`), None when unseen."""
        identity = self._newest.get((self.topic_id if topic_id is None else topic_id, partition))
        return None if identity is None else self.identities[identity]

    def partitions(self) -> Iterator[PartitionState]:
        """Yield the newest lineage of each partition of the current topic, by partition."""
        for (topic_id, _), identity in sorted(self._newest.items(), key=lambda item: item[0]):
            if topic_id == self.topic_id:
                yield self.identities[identity]

    @property
    def moved(self) -> bool:
        """Whether the log went on to another cluster, and nothing of that is archived yet."""
        newest = next(self.partitions(), None)
        return newest is not None and any(gap.reason == "moved" for gap in newest.gaps)

    def open_identities(self, topic_id: str) -> list[PartitionState]:
        """Return the identities of a topic id that are not closed."""
        return [state for state in self.identities.values() if state.identity.topic_id == topic_id and not state.closed]

    def closed_by(self, date: str) -> int | None:
        """Return the entry since which rows of a date are late: its seal's, or the expiry's where there was none."""
        seal = self.sealed.get(date)
        return self.expired.get(date) if seal is None else seal.seq

    @property
    def closed_dates(self) -> frozenset[str]:
        """The dates whose new rows are late."""
        return frozenset(self.sealed) | frozenset(self.expired)

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
        self.min_reader = max(self.min_reader, entry.min_reader)
        if self.seq % self.fold_entries == 0:
            self._close_thousand()

    def _close_thousand(self) -> None:
        begin, self.begin = self.begin, (self.seq, self.head_sha256)
        columns = self.files.close_thousand(self.seq)
        if columns is not None and self.on_thousand is not None:
            self.on_thousand(self, columns, begin)

    # -- what each kind must satisfy ---------------------------------------------------------------------------------

    def _check(self, entry: Entry, where: str) -> None:
        if entry.topic != self.topic:
            raise LogViolation("I10", where, f"is of topic {entry.topic!r}, this is the log of {self.topic!r}")
        if entry.kind == "moved":
            self._check_moved(entry, where)
            return
        if self.cluster_id and entry.cluster_id != self.cluster_id:
            message = f"comes from Kafka cluster {entry.cluster_id!r}; this log belongs to {self.cluster_id!r}"
            raise LogViolation("I10", where, message)
        check = _CHECKS.get(entry.kind)
        if check is not None:
            check(self, entry, where)
        if entry.kind == "commit":
            self._check_commit(entry, where)
        if len({file.key for file in entry.files}) != len(entry.files):
            raise LogViolation("I3", where, "adds a file twice")
        for file in entry.files:
            if self.files.here(file.key) or file.key in self.files.removed:
                raise LogViolation("I3", where, f"adds {file.key}, which an earlier entry added already")

    def _check_moved(self, entry: Entry, where: str) -> None:
        """The log goes on with another cluster: all that is open is closed, where it stands."""
        if entry.details.get("from_cluster_id") != self.cluster_id or entry.cluster_id == self.cluster_id:
            raise LogViolation("I10", where, f"moves from a cluster that is not {self.cluster_id!r}, or to that one")
        if entry.files or (entry.spans and entry.topic_id != self.topic_id):
            raise LogViolation("I10", where, f"adds files, or closes another topic than {self.topic_id}")
        left = {at.identity: at for at in self.open_identities(self.topic_id)}
        for span in entry.spans:
            at = left.pop(Identity(self.topic_id, span.partition, span.lineage), None)
            if at is None or not (span.start == span.end == at.next and span.closes) or span.rows or span.quarantined:
                raise LogViolation("I2", where, f"does not close partition {span.partition} where it stands")
        if left:
            raise LogViolation("I10", where, f"leaves partition {min(left).partition} open")

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
        check_parts(entry, where)
        check_late(self, entry, where)

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

    # -- what each kind changes --------------------------------------------------------------------------------------

    def _take(self, entry: Entry) -> None:
        if entry.kind == "moved" or not self.cluster_id:
            self.cluster_id = entry.cluster_id
        if entry.kind == "commit":
            self.topic_id = entry.topic_id
        if entry.kind in ("commit", "moved"):
            for span in entry.spans:
                self.place(self._after(self.newest(span.partition), span, entry.topic_id, "log"))
        elif entry.kind == "seal":
            ends = {int(partition): int(end) for partition, end in entry.details["ends"].items()}
            self.sealed[str(entry.details["dt"])] = Seal(entry.seq, ends)
        elif entry.kind == "intent":
            adds = frozenset(keys_in(entry, "adds"))
            self.intents[entry.entry_id] = Intent(entry.entry_id, entry.seq, entry.writer, entry.at, adds)
        elif entry.kind in ("rewrite", "erase"):
            self.intents.pop(str(entry.details.get("intent", "")), None)
        if entry.kind == "erase":
            self._take_erased(entry)
        elif entry.kind == "expire":
            self._take_expired(entry)
        for file in entry.files if entry.kind == "commit" or decodes(entry) else ():
            self._count(file)
        self.take_files(entry)

    def _take_erased(self, entry: Entry) -> None:
        parts = erased_parts(entry)
        self.removals += erased_removals(entry.topic_id, parts, entry.seq)
        for part in parts:
            if part.kind == "data":
                self._uncount(part.dt, part.rows, part.late)

    def _take_expired(self, entry: Entry) -> None:
        erased = [each for each in self.removals if each.kind == "erased"]
        so_far = [each for each in self.removals if each.kind == "expired"]
        self.removals = [*erased, *expired_removals(so_far, stated_rows(entry), entry.seq)]
        for dt, (rows, late) in stated_dates(entry).items():
            self.expired[dt] = entry.seq
            self._uncount(dt, rows, late)

    def take_files(self, entry: Entry) -> None:
        """Take in only what an entry says of files, unchecked."""
        if entry.kind in REMOVING:
            for key in keys_in(entry, "removes"):
                self.files.remove(key, entry.seq)
        lineages = {span.partition: span.lineage for span in entry.spans}
        if entry.kind in ("rewrite", "erase"):
            lineages = {int(partition): int(of) for partition, of in entry.details.get("lineages", {}).items()}
        for file in entry.files:
            own = {part.partition: lineages[part.partition] for part in file.parts if part.partition in lineages}
            self.files[file.key] = CommittedFile(file, entry.seq, entry.topic_id, own)

    def _count(self, file: FileEntry) -> None:
        if file.kind == "data":
            self._uncount(file.dt, -file.rows, -file.late)

    def _uncount(self, dt: str, rows: int, late: int) -> None:
        known, known_late = self.dates.get(dt, (0, 0))
        self.dates[dt] = (known - rows, known_late - late)


REMOVING = ("rewrite", "expire", "erase")
"""The kinds whose `removes` take files out of the snapshot."""

_CHECKS = {
    "seal": check_seal,
    "intent": check_intent,
    "rewrite": check_rewrite,
    "expire": check_expire,
    "erase": check_erase,
}
