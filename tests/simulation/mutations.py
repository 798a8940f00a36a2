"""Seeded bugs: each breaks the production code in one place while it is applied. The simulation must catch every one.

They are patches that live here only. `python -m simulation.mutations` looks for the first seed that catches each one.
"""

import argparse
import logging
import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from botocore.exceptions import BotoCoreError, ClientError

from headrace.archiver import (
    commit_log,
    fold_file,
    garbage,
    held,
    histories,
    log_state,
    s3,
    topic_archive,
    truncation,
    uploads,
    worker,
)
from headrace.archiver.commit_log import CommitLog, Committed, Fenced
from headrace.archiver.file_table import FileTable
from headrace.archiver.garbage import Cleaning
from headrace.archiver.held import Held
from headrace.archiver.log_entries import Entry, Gap, log_key
from headrace.archiver.log_state import LogState
from headrace.archiver.object_store import OutcomeUnknown
from headrace.archiver.sealing import Sealer, marker_key
from headrace.archiver.source import Start, TopicPartition
from headrace.archiver.topic_archive import TopicArchive
from headrace.archiver.truncation import Diverged, ReadAgain
from headrace.replay.reader import Reading

from . import compaction_mutations, removal_mutations  # noqa: F401 - they add to the list
from .codec import LightBuffer
from .seeded_bugs import BUGS, Change, appended_unfenced, broken, bug
from .world import Outcome, simulate

SEEDS_MAX = 3000

# -- those of the design -----------------------------------------------------------------------------------------------


@bug
def age_based_cleaning() -> list[Change]:
    """Cleaning removes what no entry names, as if old enough, whether or not it can still be committed."""
    return [(garbage, "_passed", lambda footer, _state: garbage._starts(footer)[0])]


@bug
def overwritable_names() -> list[Change]:
    """Files are named by their range and put without a condition."""
    named = LightBuffer._file

    def file(self: LightBuffer, kind: Any, dt: str, rows: Any, context: Any) -> Any:
        built = named(self, kind, dt, rows, context)
        return replace(built, key=f"{kind}/topic={context.topic}/dt={dt}/{rows[0][0]}-{rows[0][1]}.parquet")

    def put(self: uploads.Uploads, file: Any) -> None:
        self._store.put(file.key, file.body)

    return [(LightBuffer, "_file", file), (uploads.Uploads, "put", put)]


@bug
def no_topic_id() -> list[Change]:
    """Nobody looks whether the topic is still the same one."""
    return [(TopicArchive, "check_topic_id", lambda _self, _topic_id: None)]


@bug
def silent_gap() -> list[Change]:
    """What retention deleted is passed over without a gap."""

    def skip(self: Held, start: int, end: int, reason: str, evidence: Mapping[str, Any]) -> None:
        del start, reason, evidence
        self.end = max(self.end, end)

    return [(Held, "skip", skip)]


@bug
def trusting_group_offsets() -> list[Change]:
    """Reading begins where Kafka's group says."""
    place = TopicArchive._place

    def from_group(self: TopicArchive, partitions: Collection[int]) -> dict[int, Start] | None:
        starts = place(self, partitions)
        if starts is None:
            return None
        source: Any = self._source
        for (topic, partition), offset in source._kafka.group_offsets.items():
            if topic == self.topic and partition in starts:
                at = self.held[partition]
                at.start = at.end = offset
                starts[partition] = Start(offset, at.epoch)
        return starts

    return [(TopicArchive, "_place", from_group)]


@bug
def log_slot_cleaning() -> list[Change]:
    """Cleaning also removes entries of the log that are long folded."""
    remove = garbage.remove_dead_objects

    def remove_slots(store: Any, state: LogState, *more: Any) -> Cleaning:
        store.delete([log_key(state.topic, seq) for seq in range(1, state.seq - 3)])
        return remove(store, state, *more)

    return [(uploads, "remove_dead_objects", remove_slots)]


@bug
def last_offset_plus_one() -> list[Change]:
    """A span ends after its last record, not where reading stands."""

    def reached(self: TopicArchive, event: Any) -> None:
        at = self.held.get(event.partition.partition)
        if at is not None and not self.restart_due:
            at.at_end = True

    return [(TopicArchive, "reached", reached)]


@bug
def ambiguous_is_failed() -> list[Change]:
    """A PUT of an entry without an answer counts as failed."""

    def take_slot(self: CommitLog, key: str, body: bytes) -> bool:
        try:
            return self.store.put_if_absent(key, body) or self.store.get(key) == body
        except OutcomeUnknown:
            return False

    return [(CommitLog, "_take_slot", take_slot)]


@bug
def stale_head() -> list[Change]:
    """After another's entry the slot number is read again, and the fence is not."""

    def append(self: CommitLog, entry: Entry) -> Committed | Fenced:
        conflict = self.state.conflict(entry)
        if conflict is not None:
            return Fenced(conflict)
        return appended_unfenced(self, entry)

    return [(CommitLog, "append", append)]


# -- more --------------------------------------------------------------------------------------------------------------


@bug
def a_412_is_always_anothers() -> list[Change]:
    """An entry that is there already is taken for another writer's, even when it is our own earlier attempt."""

    def take_slot(self: CommitLog, key: str, body: bytes) -> bool:
        for _ in range(12):
            try:
                return self.store.put_if_absent(key, body)
            except OutcomeUnknown:
                self.pause(0.1)
        return False

    return [(CommitLog, "_take_slot", take_slot)]


@bug
def overwritten_slots() -> list[Change]:
    """Entries are put without a condition."""

    def take_slot(self: CommitLog, key: str, body: bytes) -> bool:
        self.store.put(key, body)
        return True

    return [(CommitLog, "_take_slot", take_slot)]


@bug
def commit_before_upload() -> list[Change]:
    """Files are uploaded after the entry that names them."""
    commit, committed, put = TopicArchive._commit, TopicArchive._committed, uploads.Uploads.put
    waiting: list[tuple[Any, Any]] = []

    def commit_first(self: TopicArchive, partitions: Any) -> bool:
        waiting.clear()
        return commit(self, partitions)

    def put_later(self: uploads.Uploads, file: Any) -> None:
        waiting.append((self, file))

    def then_upload(self: TopicArchive, outcome: Any, partitions: Any) -> None:
        for each, file in waiting:
            put(each, file)
        committed(self, outcome, partitions)

    return [
        (TopicArchive, "_commit", commit_first),
        (TopicArchive, "_committed", then_upload),
        (uploads.Uploads, "put", put_later),
    ]


@bug
def kafka_told_first() -> list[Change]:
    """Kafka is told the offset before the entry is in the log."""
    commit = TopicArchive._commit

    def tell_first(self: TopicArchive, partitions: Any) -> bool:
        ends = {TopicPartition(self.topic, p): self.held[p].end for p in partitions}
        self._source.commit_offsets(ends)
        return commit(self, partitions)

    return [(TopicArchive, "_commit", tell_first)]


@bug
def cleaning_off_by_one() -> list[Change]:
    """A file counts as dead when the log stands where the file's span begins."""

    def is_past(state: LogState, identity: Any, start: int) -> bool:
        at = state.identities.get(identity)
        return at is not None and (at.closed or at.next >= start)

    return [(garbage, "is_past", is_past)]


@bug
def nothing_is_dropped_at_a_restart() -> list[Change]:
    """Starting over keeps the rows that are not committed."""

    def discard(self: TopicArchive) -> None:
        for at in self.held.values():
            at.end = at.start
            at.gaps.clear()

    return [(TopicArchive, "_discard", discard)]


@bug
def records_from_before_a_rebalance() -> list[Change]:
    """What was fetched before a rebalance is taken beside what came after it."""
    return [
        (worker.Worker, "_untouched", lambda _self, records: records),
        (worker.Worker, "_reread", lambda _self, _partitions: None),
    ]


@bug
def rows_of_revoked_partitions() -> list[Change]:
    """A partition that is given up leaves its rows behind."""
    return [(LightBuffer, "drop", lambda _self, _partitions: None)]


@bug
def gap_too_short() -> list[Change]:
    """A retention gap ends one offset early."""

    def skip(self: Held, start: int, end: int, reason: str, evidence: Mapping[str, Any]) -> None:
        self.gaps.append(Gap(start, max(start, end - 1), reason, evidence))
        self.end = max(self.end, end)

    return [(Held, "skip", skip)]


@bug
def begins_at_the_end() -> list[Change]:
    """A partition that the log has not seen is read from its end on, as auto.offset.reset=latest would."""

    def from_the_end(self: TopicArchive, partitions: Collection[int]) -> dict[int, Start] | None:
        starts = place(self, partitions)
        if starts is None:
            return None
        unseen = [TopicPartition(self.topic, p) for p in partitions if self.held[p].unseen]
        for where, (_, end) in (self._source.log_ranges(unseen) if unseen else {}).items():
            at = self.held[where.partition]
            at.start = at.end = end
            starts[where.partition] = Start(end)
        return starts

    place = TopicArchive._place
    return [(TopicArchive, "_place", from_the_end)]


@bug
def truncation_is_passed_over() -> list[Change]:
    """What Kafka wrote after a truncation goes on in the same lineage."""

    def meaning(*arguments: Any, **more: Any) -> Any:
        found = meaning_of(*arguments, **more)
        return ReadAgain(arguments[1].start) if isinstance(found, Diverged) else found

    meaning_of = truncation.meaning_of
    return [(topic_archive, "meaning_of", meaning)]


@bug
def no_leader_epoch() -> list[Change]:
    """Reading begins without the leader epoch of the last record."""

    def held_without(newest: Any, log_start: int) -> Held:
        at = held_at(newest, log_start)
        at.epoch = -1
        return at

    held_at = held.held_at
    return [(topic_archive, "held_at", held_without)]


@bug
def markers_are_another_history() -> list[Change]:
    """The epoch of the last record is taken for that of the markers behind it (a bug that this simulation found)."""
    return [(CommitLog, "rows_end", lambda _self, _identity: 1 << 60)]


@bug
def cut_answers_are_believed() -> list[Change]:
    """The length of an answer is not compared with what the store announced."""

    def get(self: Any, key: str, **options: Any) -> bytes:
        try:
            return bytes(self._reader.get_object(Bucket=self.bucket, Key=self._root + key, **options)["Body"].read())
        except (ClientError, BotoCoreError) as error:
            raise self._read_error("reading", key, error) from error

    return [(s3.S3Store, "_get", get)]


@bug
def old_incarnation_left_open() -> list[Change]:
    """A topic that was made again begins without closing what was there before."""

    return [(LogState, "open_identities", lambda _self, _topic_id: [])]


@bug
def divergence_without_a_gap() -> list[Change]:
    """A lineage ends and the next begins at the log's end: what lies between is passed over."""
    spans = histories.diverging_spans

    def at_the_end(partition: int, at: Held, cut: Diverged, evidence: Mapping[str, Any]) -> Any:
        end = max(cut.begin, int(evidence.get("log_end", cut.begin)) - 1)
        closing, opening = spans(partition, at, cut, evidence)
        return closing, replace(opening, start=end, end=end)

    return [(topic_archive, "diverging_spans", at_the_end)]


@bug
def replay_without_quarantine() -> list[Change]:
    """A replay passes over records that could not be decoded."""
    chunk = Reading._chunk

    def data_only(self: Reading, partition: int, rows: Any, contexts: Any) -> Any:
        keep = np.array([not contexts[source].quarantine for source in rows.sources])
        return chunk(self, partition, rows.filter(keep), contexts) if keep.any() else iter(())

    return [(Reading, "_chunk", data_only)]


@bug
def sealed_before_it_is_archived() -> list[Change]:
    """A date is sealed when its time has come, however far the archive is."""
    return [(log_state, "_CHECKS", {**log_state._CHECKS, "seal": lambda _state, _entry, _where: None})]


@bug
def late_rows_unmarked() -> list[Change]:
    """Rows that come to a sealed date do not say that they are late."""

    def context(*arguments: Any, sealed: Any = ()) -> Any:
        del sealed
        return held.file_context(*arguments)

    return [
        (topic_archive, "file_context", context),
        (log_state, "check_late", lambda _state, _entry, _where: None),
    ]


@bug
def marker_before_the_seal() -> list[Change]:
    """`_SUCCESS` is put before the seal is in the log."""
    seal = Sealer._seal

    def mark_first(self: Sealer, date: str, topic_id: str) -> None:
        self._store.put(marker_key(self._log.topic, date), b"")
        seal(self, date, topic_id)

    return [(Sealer, "_seal", mark_first)]


@bug
def fold_of_an_older_position() -> list[Change]:
    """A fold says less of a partition than its entries do."""
    fold_of = fold_file.fold_of

    def older(state: LogState, columns: Any, begin: Any) -> Any:
        fold = fold_of(state, columns, begin)
        known = fold.summary["partitions"]
        behind = [[*each[:4], each[3], *each[5:]] for each in known]
        return replace(fold, summary={**fold.summary, "partitions": behind})

    return [(commit_log, "fold_of", older)]


@bug
def folded_files_forgotten() -> list[Change]:
    """Cleaning knows only the files that are named since the newest fold."""

    def at_hand(self: FileTable) -> Any:
        return set(self._recent)

    return [(FileTable, "key_hashes", at_hand)]


# -- looking for the first seed ----------------------------------------------------------------------------------------


def catch(name: str, seeds: Collection[int] | range) -> Outcome | None:
    """Return the first outcome that catches a bug."""
    with broken(name):
        for seed in seeds:
            outcome = simulate(seed)
            if outcome.violation is not None:
                return outcome
    return None


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only these")
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX)
    parser.add_argument("--from", type=int, default=1, dest="first")
    options = parser.parse_args(arguments)
    logging.getLogger("headrace").setLevel("CRITICAL")
    missed = 0
    for name in options.names or BUGS:
        outcome = catch(name, range(options.first, options.first + options.seeds))
        if outcome is None or outcome.violation is None:
            missed += 1
            print(f"{name}: NOT caught in {options.seeds} seeds", flush=True)
        else:
            print(f"{name}: {outcome.seed} {outcome.violation.invariant}  {str(outcome.violation)[:150]}", flush=True)
    print(f"{len(options.names or BUGS) - missed} of {len(options.names or BUGS)} caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
