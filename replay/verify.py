"""Checks a topic's archive from end to end, apart from the code that writes it: log, objects, digests, leftovers.

Every check that fails becomes a finding and the check goes on, so that one run names all that is wrong. Only what makes
checking impossible (a store that does not answer, a format that is too new) is raised.
"""

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pyarrow.compute as pc

from headrace.archiver.commit_log import read_entries
from headrace.archiver.log_entries import LogCorrupt, PartEntry, log_key, sha256_of
from headrace.archiver.log_state import FOLD_ENTRIES, CommittedFile, LogState, LogViolation
from headrace.archiver.object_store import ObjectArchived, ObjectStore
from headrace.archiver.parquet_file import ArchiveFile

from .errors import ArchiveDamaged
from .findings import Finding, VerifyReport
from .loading import RESTORE, LoadedPart, fetch, load_parts, object_url, parse
from .plan import Unit, plan_everything
from .reader import unknown_topic
from .verify_folds import FoldChecker
from .verify_removals import check_removals

Progress = Callable[[VerifyReport, int], None]
RESTORE_ENTRY = f"{RESTORE}; readers refuse the log from here on"


def verify_archive(
    store: ObjectStore,
    topic: str,
    *,
    head: tuple[int, str] | None = None,
    fold_entries: int = FOLD_ENTRIES,
    on_progress: Progress = lambda _report, _rows: None,
) -> tuple[VerifyReport, LogState]:
    """Check everything of a topic and return the report with the state that the log adds up to.

    `head` is a (seq, SHA-256) that was noted earlier: the log must still have it. `on_progress(report, all_rows)` is
    called after each file. Raises TopicUnknown, LogTooNew, StoreError.
    """
    report = VerifyReport(topic, store.url)
    state = _check_log(store, LogState(topic, fold_entries=fold_entries), head, report)
    report.snapshot, report.head_sha256 = state.seq, state.head_sha256
    report.gaps = [(p.identity, gap) for _, p in sorted(state.identities.items()) for gap in p.gaps]
    all_rows = sum(committed.file.rows for committed in state.files.values())
    checker = _FileChecker(store, topic, report, lambda: on_progress(report, all_rows))
    for unit in plan_everything(state):
        checker.check_unit(unit)
    check_removals(store, state, report)
    _find_leftovers(store, state, report)
    return report, state


# -- the log -----------------------------------------------------------------------------------------------------------


def _check_log(store: ObjectStore, state: LogState, head: tuple[int, str] | None, report: VerifyReport) -> LogState:
    topic = state.topic
    slots = _slots(store, topic, report)
    folds = FoldChecker(store, topic, report)
    state.on_thousand = folds.check
    if not slots:
        raise unknown_topic(store, topic)
    try:
        for entry, body in read_entries(store, topic):
            where = object_url(store, log_key(topic, entry.seq))
            sha256 = sha256_of(body)
            if entry.encode() != body:
                report.findings.append(Finding(where, "is not in the form that it was written in", RESTORE_ENTRY))
            if head is not None and head[0] == entry.seq and head[1] != sha256:
                what = f"has SHA-256 {sha256}; {head[1]} was noted: the log was changed after that"
                report.findings.append(Finding(where, what, RESTORE_ENTRY))
            state.apply(entry, sha256, where)
            report.entries += 1
    except (LogCorrupt, LogViolation) as error:
        where = object_url(store, log_key(topic, state.seq + 1))
        report.findings.append(Finding(where, str(error).removeprefix(where).lstrip(": "), RESTORE_ENTRY))
        unread = len([seq for seq in slots if seq > state.seq + 1])
        if unread:
            report.findings.append(Finding(where, f"the {unread} entries after it cannot be checked", RESTORE_ENTRY))
    else:
        later = sorted(seq for seq in slots if seq > state.seq)
        if later:
            where = object_url(store, log_key(topic, state.seq + 1))
            what = f"does not exist, while entry {later[0]} does: {len(later)} entries are cut off"
            report.findings.append(Finding(where, what, RESTORE_ENTRY))
    folds.find_foreign(state.seq)
    if head is not None and head[0] > state.seq and not report.findings:
        where = object_url(store, log_key(topic, head[0]))
        what = f"does not exist: the log ends at {state.seq}, and entry {head[0]} was noted earlier"
        report.findings.append(Finding(where, what, RESTORE_ENTRY))
    return state


def _slots(store: ObjectStore, topic: str, report: VerifyReport) -> set[int]:
    """Return the slot numbers under log/, whatever the log itself says."""
    slots = set()
    for info in store.list(f"log/topic={topic}/"):
        name = info.key.rpartition("/")[2].removesuffix(".json")
        if name.isdecimal() and log_key(topic, int(name)) == info.key:
            slots.add(int(name))
        else:
            report.unreferenced.append(info)
    return slots


# -- files -------------------------------------------------------------------------------------------------------------


class _FileChecker:
    """Checks files against their log entries, and notes what it finds in the report."""

    def __init__(self, store: ObjectStore, topic: str, report: VerifyReport, progressed: Callable[[], None]) -> None:
        self._store = store
        self._topic = topic
        self._report = report
        self._progressed = progressed

    def check_unit(self, unit: Unit) -> None:
        """Check each file of a unit, and that no offset is in two of them."""
        offsets: dict[tuple[str, int, int], list[np.ndarray]] = defaultdict(list)
        for read in unit.files:
            committed = read.committed
            where = f"{object_url(self._store, committed.file.key)} (entry {committed.seq})"
            for loaded in self._sound_parts(committed, where):
                column = loaded.records.column("offset").to_numpy()
                partition = loaded.part.partition
                if not (np.diff(column) > 0).all():
                    self._note(where, f"offsets of {self._topic}/{partition} do not rise within the file", RESTORE)
                offsets[committed.topic_id, partition, committed.lineages.get(partition, 0)].append(column.copy())
                self._report.parts += 1
                self._report.rows += loaded.part.rows
            self._progressed()
        for (_, partition, _), columns in offsets.items():
            values, counts = np.unique(np.concatenate(columns), return_counts=True)
            if (counts > 1).any():
                keys = ", ".join(read.committed.file.key for read in unit.files)
                what = f"{int((counts > 1).sum())} offsets are archived twice, the first is {values[counts > 1][0]}"
                self._note(f"{self._topic}/{partition} in {keys}", what, "remove nothing; report this as a bug")

    def _sound_parts(self, committed: CommittedFile, where: str) -> list[LoadedPart]:
        """Check one object against its log entry; return the parts that are sound."""
        file = committed.file
        if not file.key.startswith(f"{file.kind}/topic={self._topic}/dt={file.dt}/"):
            what = f"the key does not fit its kind {file.kind}, topic and dt {file.dt}: plain readers misplace it"
            self._note(where, what, RESTORE_ENTRY)
        row = 0
        for part in file.parts:
            if part.row_start != row:
                what = f"the part of partition {part.partition} begins at row {part.row_start}, not at {row}"
                self._note(where, what, RESTORE_ENTRY)
            row = part.row_start + part.rows
        try:
            body = fetch(self._store, committed)
            found = parse(self._store, self._topic, committed, body)
        except ObjectArchived as error:
            self._note(where, f"was not checked: {error}", "nothing is known to be wrong with it; verify it afterwards")
            return []
        except ArchiveDamaged as error:
            self._note_damage(where, error)
            return []
        self._report.files += 1
        self._report.bytes += len(body)
        if file.kind == "data" and (late := _late(found)) != file.late:
            self._note(where, f"{late} rows are late, the log says {file.late}", RESTORE)
        try:
            return list(load_parts(self._store, self._topic, committed, found, file.parts))
        except ArchiveDamaged:
            # One by one, so that each bad part is named and the others are still checked.
            return [loaded for part in file.parts for loaded in self._one_part(committed, found, part, where)]

    def _one_part(self, committed: CommittedFile, found: ArchiveFile, part: PartEntry, where: str) -> list[LoadedPart]:
        try:
            return list(load_parts(self._store, self._topic, committed, found, [part]))
        except ArchiveDamaged as error:
            self._note_damage(where, error)
            return []

    def _note(self, where: str, what: str, advice: str) -> None:
        self._report.findings.append(Finding(where, what, advice))

    def _note_damage(self, where: str, error: ArchiveDamaged) -> None:
        what, _, advice = str(error).removeprefix(where).lstrip(":, ").partition("; ")
        self._note(where, what, advice or RESTORE)


def _late(found: ArchiveFile) -> int:
    return int(pc.sum(found.table.column("_late")).as_py() or 0)


def _find_leftovers(store: ObjectStore, state: LogState, report: VerifyReport) -> None:
    """Note objects that no entry names: left by a crash before its commit. Readers of plain folders may see them."""
    for root in ("data", "quarantine"):
        for info in store.list(f"{root}/topic={state.topic}/"):
            if info.key not in state.files and not info.key.endswith("/_SUCCESS"):
                report.unreferenced.append(info)
