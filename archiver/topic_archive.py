"""One worker's part in archiving one topic: what it holds, where it reads on, and its flushes.

The state is small: for each held partition the log's next offset (`start`), how far records were taken since (`end`),
and gaps to record. A flush turns [start, end) of all of them into one commit. Whenever anything is off - fenced, lost,
a store that does not answer, another topic id - everything uncommitted is dropped and reading starts over from the log.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from .commit_log import CommitLog, Committed, Fenced
from .failpoints import Failpoint
from .flush_buffer import BuiltFile, FileContext, FlushBuffer
from .garbage import is_past, remove_dead_objects
from .log_entries import Entry, FileEntry, Gap, PartEntry, Span
from .log_state import Identity, LogState, PartitionState
from .object_store import ObjectNotFound, ObjectStore, OutcomeUnknown, StoreDenied, StoreError, StoreUnreachable
from .source import OffsetLost, Reached, Records, Source, SourceError, Start, TopicPartition
from .topic_decoder import SchemaSource, TopicSettings
from .truncation import divergence_offset

log = logging.getLogger("headrace.archiver")

UPLOAD_ATTEMPTS_MAX = 6
UPLOAD_PAUSE_S = 0.1


class ArchiveRefused(Exception):
    """This archive is not to be written with these settings. The message says why and what to do."""


class Clock(Protocol):
    """Time as the archiver needs it."""

    def now(self) -> str:
        """Return the wall clock as an ISO 8601 text in UTC: for people, never for decisions."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only rise."""
        ...

    def pause(self, seconds: float) -> None:
        """Wait; may return early when the worker is asked to stop."""
        ...


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes: `name` goes into entries and footers; `cluster_id` is Kafka's."""

    name: str
    cluster_id: str


@dataclass(frozen=True, slots=True)
class Limits:
    """When to flush, and how large a commit may become."""

    flush_rows_max: int = 1_000_000
    flush_bytes_max: int = 96 << 20
    flush_interval_s: float = 60.0
    commit_bytes_max: int = 4 << 20


@dataclass
class Held:
    """One partition as this worker has it: offsets [start, end) are taken but not committed."""

    lineage: int
    start: int
    end: int
    epoch: int
    gaps: list[Gap] = field(default_factory=list)

    @property
    def pending(self) -> bool:
        """Whether there is anything to commit."""
        return self.end > self.start or bool(self.gaps)


class TopicArchive:
    """Archives one topic for one worker. Not thread-safe. `clock.pause` waits between attempts at a silent store."""

    def __init__(
        self,
        settings: TopicSettings,
        *,
        source: Source,
        store: ObjectStore,
        schemas: SchemaSource,
        writer: Writer,
        limits: Limits,
        clock: Clock,
        new_id: Callable[[], str],
        failpoint: Failpoint,
    ) -> None:
        self.topic = settings.topic
        self.settings = settings
        self.held: dict[int, Held] = {}
        self.topic_id: str | None = None
        self.restart_due = False
        self.oldest_s: float | None = None  # monotonic time at which the oldest uncommitted record came
        self._source = source
        self._store = store
        self._writer = writer
        self._limits = limits
        self._clock = clock
        self._new_id = new_id
        self._failpoint = failpoint
        self._log = CommitLog(store, self.topic, pause=clock.pause)
        self._buffer = FlushBuffer(settings, schemas, new_id=new_id)
        self._cleaning_due = False

    # -- what is held ------------------------------------------------------------------------------------------------

    @property
    def bytes(self) -> int:
        """Memory held by records that are not committed."""
        return self._buffer.bytes

    @property
    def pending(self) -> bool:
        """Whether a flush would commit anything."""
        return any(held.pending for held in self.held.values())

    def flush_due(self) -> bool:
        """Whether a limit on rows, bytes or age is reached."""
        if self._buffer.rows >= self._limits.flush_rows_max or self._buffer.bytes >= self._limits.flush_bytes_max:
            return True
        return self.oldest_s is not None and self._clock.monotonic() - self.oldest_s >= self._limits.flush_interval_s

    # -- assignment --------------------------------------------------------------------------------------------------

    def take(self, partitions: Collection[int]) -> dict[int, Start]:
        """Take partitions on: read the log, and return where to read each from.

        Raises SourceError, StoreError, ArchiveRefused, LogCorrupt, LogTooNew, LogViolation.
        """
        topic_id = self._source.topic_ids([self.topic]).get(self.topic)
        if topic_id is None or (topic_id != self.topic_id and self.held):
            self.restart_due = True
        self.give_up(partitions)
        if topic_id is None:
            # Deleted just now. The partitions are held without reading, so that a topic made again finds its reader.
            self.held.update({partition: Held(0, 0, 0, -1) for partition in partitions})
            return dict.fromkeys(partitions, Start(0))
        self.topic_id = topic_id
        self._cleaning_due = True
        return self._place(partitions)

    def give_up(self, partitions: Collection[int]) -> None:
        """Drop partitions and what is uncommitted of them."""
        gone = [partition for partition in partitions if partition in self.held]
        for partition in gone:
            del self.held[partition]
        self._buffer.drop(gone)
        if not self.pending:
            self.oldest_s = None

    def restart(self) -> None:
        """Drop all that is uncommitted and read on from where the log is now.

        While the topic does not exist nothing happens, and `restart_due` stays.
        """
        partitions = list(self.held)
        self._discard()
        self.restart_due = True
        self.topic_id = self._source.topic_ids([self.topic]).get(self.topic)
        if self.topic_id is None:
            return
        self._cleaning_due = True
        starts = self._place(partitions)
        self._source.restart_at({TopicPartition(self.topic, p): start for p, start in starts.items()})
        self.restart_due = False

    def _discard(self) -> None:
        self._buffer.clear()
        self.oldest_s = None
        for held in self.held.values():
            held.end = held.start
            held.gaps.clear()

    def check_topic_id(self, topic_id: str | None) -> None:
        """Compare with the topic's id of now; a topic that was made again is started over, None means deleted."""
        if self.held and not self.restart_due and topic_id != self.topic_id:
            what = "was deleted" if topic_id is None else "was deleted and made again"
            log.warning("%s: the topic %s; dropping what is not committed", self.topic, what)
            self._discard()
            self.restart_due = True

    def _place(self, partitions: Collection[int]) -> dict[int, Start]:
        state = self._log.refresh()
        if state.cluster_id and state.cluster_id != self._writer.cluster_id:
            raise ArchiveRefused(
                f"the log of {self.topic} in {self._store.url} belongs to Kafka cluster {state.cluster_id}; this is "
                f"{self._writer.cluster_id}. Archive to another prefix, or use the cluster that it was begun with."
            )
        topic_id = str(self.topic_id)
        state = self._close_older_incarnation(state, topic_id)
        known: dict[int, PartitionState] = {}
        for partition in partitions:
            newest = state.newest(partition, topic_id)
            if newest is not None:
                known[partition] = newest
        unseen = [TopicPartition(self.topic, partition) for partition in partitions if partition not in known]
        ranges = self._source.log_ranges(unseen) if unseen else {}
        starts: dict[int, Start] = {}
        for partition in partitions:
            if partition in known:
                at = known[partition]
                starts[partition] = Start(at.next, at.leader_epoch)
                lineage = at.identity.lineage
            else:
                starts[partition] = Start(ranges[TopicPartition(self.topic, partition)][0])
                lineage = 0
            offset = starts[partition].offset
            self.held[partition] = Held(lineage, offset, offset, starts[partition].leader_epoch)
        return starts

    def _close_older_incarnation(self, state: LogState, topic_id: str) -> LogState:
        """Close the log's open identities of an older topic id, each with a gap whose end nobody can know."""
        while state.topic_id not in ("", topic_id) and (still_open := state.open_identities(state.topic_id)):
            evidence = {"old_topic_id": state.topic_id, "new_topic_id": topic_id}
            spans = tuple(
                Span(
                    partition=p.identity.partition,
                    lineage=p.identity.lineage,
                    start=p.next,
                    end=p.next,
                    leader_epoch=p.leader_epoch,
                    max_timestamp=p.max_timestamp,
                    gaps=(Gap(p.next, None, "topic-recreated", evidence),),
                )
                for p in still_open
            )
            log.warning(
                "%s: the topic was deleted and made again; what was not archived before is recorded as a gap",
                self.topic,
            )
            outcome = self._log.append(self._entry(spans, (), topic_id=state.topic_id))
            if isinstance(outcome, Fenced):
                log.info("%s: another archiver was first to close the old incarnation", self.topic)
            state = self._log.refresh()
        return state

    # -- what comes from Kafka ---------------------------------------------------------------------------------------

    def add(self, records: Records) -> None:
        """Take records in; those of partitions that are not held (any more) are passed over."""
        if self.restart_due:
            return  # it will be read again
        batch = records.batch
        present = set(pc.unique(batch.column("partition")).to_pylist())
        if not present <= self.held.keys():
            mask = pc.is_in(batch.column("partition"), value_set=pa.array(list(self.held), pa.int32()))
            batch = batch.filter(mask)
            present &= self.held.keys()
        if not batch.num_rows:
            return
        last = pa.table({"p": batch.column("partition"), "o": batch.column("offset")}).group_by("p")
        bounds = last.aggregate([("o", "min"), ("o", "max")]).to_pydict()
        for partition, first, final in zip(bounds["p"], bounds["o_min"], bounds["o_max"], strict=True):
            held = self.held[partition]
            if first < held.end:
                where = f"{self.topic}/{partition}"
                raise SourceError(f"{where}: offset {first} came again, {held.end} was expected; starting over")
            held.end = final + 1
            held.epoch = max(held.epoch, records.leader_epochs.get(partition, -1))
        self._buffer.add(batch)
        log.debug("%s: took %d records", self.topic, batch.num_rows)
        self._failpoint("after-decode")
        if self.oldest_s is None:
            self.oldest_s = self._clock.monotonic()

    def reached(self, event: Reached) -> None:
        """Note that all visible records before an offset were taken."""
        held = self.held.get(event.partition.partition)
        if held is not None and not self.restart_due and event.offset > held.end:
            held.end = event.offset
            if self.oldest_s is None:
                self.oldest_s = self._clock.monotonic()

    def offset_lost(self, event: OffsetLost) -> None:
        """Decide what it means that the next offset is not there: a gap by retention, or a truncated log."""
        partition = event.partition.partition
        held = self.held.get(partition)
        # A topic that was made again looks like a truncated one; its id tells them apart.
        self.check_topic_id(self._source.topic_ids([self.topic]).get(self.topic))
        if held is None or self.restart_due:
            return
        low, end = self._source.log_ranges([event.partition])[event.partition]
        where = f"{self.topic}/{partition}"
        if held.end < low:
            log.error("%s: offsets %d to %d were deleted by retention before they were archived", where, held.end, low)
            held.gaps.append(Gap(held.end, low, "retention", {"log_start": low, "detail": event.detail}))
            held.end = low
            self._source.restart_at({event.partition: Start(low)})
            if self.oldest_s is None:
                self.oldest_s = self._clock.monotonic()
        elif held.pending:
            # What is uncommitted may be what Kafka lost. Read again from the log's position, which may still stand.
            log.warning("%s: offset %d is gone; reading again from %d", where, held.end, held.start)
            self._buffer.drop([partition])
            held.end, held.gaps = held.start, []
            self._source.restart_at({event.partition: Start(held.start, held.epoch)})
        else:
            self._diverged(event, held, low, end)

    def _diverged(self, event: OffsetLost, held: Held, low: int, end: int) -> None:
        """Kafka lost records that are archived: close this lineage and begin the next where the logs part."""
        partition = event.partition.partition
        begin = divergence_offset(event.detail, low=low, end=end, archived_to=held.start)
        log.error(
            "%s/%d: Kafka lost records that are archived (archived to %d, Kafka ends at %d); going on at %d as a new "
            "lineage; the archived records stay",
            *(self.topic, partition, held.start, end, begin),
        )
        evidence = {"log_start": low, "log_end": end, "detail": event.detail}
        closing = Span(
            partition, held.lineage, held.start, held.start, gaps=(Gap(held.start, None, "diverged", evidence),)
        )
        opening = Span(partition, held.lineage + 1, begin, begin)
        outcome = self._log.append(self._entry((closing, opening), ()))
        if isinstance(outcome, Fenced):
            self._fenced(outcome)
            return
        self.held[partition] = Held(held.lineage + 1, begin, begin, -1)
        self._source.restart_at({event.partition: Start(begin)})

    # -- flush -------------------------------------------------------------------------------------------------------

    def flush(self) -> bool:
        """Commit all that was taken. Returns False when nothing was committed.

        On a fence or a changed topic id everything uncommitted is dropped and `restart_due` set. Raises StoreError,
        SourceError; the caller then restarts.
        """
        if self.restart_due or not self.pending:
            return False
        self._failpoint("flush-begun")
        # What was read across a change of the topic's id may be of either incarnation.
        self.check_topic_id(self._source.topic_ids([self.topic]).get(self.topic))
        if self.restart_due:
            return False
        partitions = sorted(partition for partition, held in self.held.items() if held.pending)
        if not self._commit(partitions):
            return False
        self._buffer.clear()
        self.oldest_s = None
        if self._cleaning_due:
            self._clean()
        return True

    def _commit(self, partitions: Sequence[int]) -> bool:
        """Commit these partitions in one entry, or in several where one would become too large."""
        files = self._buffer.build(self._context(partitions), partitions)
        entry = self._entry(self._spans(partitions, files), tuple(_file_entry(file) for file in files))
        if len(entry.encode()) > self._limits.commit_bytes_max and len(partitions) > 1:
            half = len(partitions) // 2
            return self._commit(partitions[:half]) and self._commit(partitions[half:])
        self._failpoint("files-built")
        for file in files:
            self._upload(file)
            self._failpoint("one-file-uploaded")
        self._failpoint("files-uploaded")
        self._failpoint("before-commit")
        outcome = self._log.append(entry)
        self._failpoint("after-commit")
        if isinstance(outcome, Fenced):
            self._fenced(outcome)
            self._remove_uploads(entry)
            return False
        self._committed(outcome, partitions)
        return True

    def _committed(self, outcome: Committed, partitions: Sequence[int]) -> None:
        for partition in partitions:
            held = self.held[partition]
            held.start = held.end
            held.gaps.clear()
        rows = sum(span.rows for span in outcome.entry.spans)
        quarantined = sum(span.quarantined for span in outcome.entry.spans)
        log.info(
            "%s: commit %d: %d records of %d partitions in %d files, %d bytes%s",
            *(self.topic, outcome.entry.seq, rows + quarantined, len(partitions), len(outcome.entry.files)),
            sum(file.bytes for file in outcome.entry.files),
            f", {quarantined} quarantined" if quarantined else "",
        )
        self._failpoint("before-offset-commit")
        self._source.commit_offsets({TopicPartition(self.topic, p): self.held[p].end for p in partitions})
        self._failpoint("after-offset-commit")

    def _fenced(self, outcome: Fenced) -> None:
        log.warning("%s: fenced, dropping what is not committed: %s", self.topic, outcome.reason)
        self._discard()
        self.restart_due = True

    def _remove_uploads(self, entry: Entry) -> None:
        """Remove a fenced commit's files at once: a worker that never wins would leave them to plain readers."""
        state = self._log.state
        if not any(is_past(state, Identity(entry.topic_id, s.partition, s.lineage), s.start) for s in entry.spans):
            return  # the next cleaning decides
        try:
            self._store.delete(file.key for file in entry.files)
        except StoreError as error:
            log.warning("%s: could not remove the files of a fenced commit; cleaning will: %s", self.topic, error)

    def _upload(self, file: BuiltFile) -> None:
        """Put one file. Its name is new, so that an object there can only be our own earlier attempt."""
        problem: StoreError | None = None
        for attempt in range(UPLOAD_ATTEMPTS_MAX):
            if attempt:
                self._clock.pause(UPLOAD_PAUSE_S * 2**attempt)
            try:
                if self._store.put_if_absent(file.key, file.body) or self._store.get(file.key) == file.body:
                    return
            except (OutcomeUnknown, StoreUnreachable, ObjectNotFound) as error:
                problem = error
                continue
            raise StoreError(f"{self._store.url}/{file.key} exists with other bytes; nothing was committed")
        raise StoreUnreachable(f"uploading {file.key} failed {UPLOAD_ATTEMPTS_MAX} times; last: {problem}") from problem

    def _clean(self) -> None:
        """Remove what crashed writers left behind, so that plain readers see each record once."""
        self._cleaning_due = False
        try:
            removed = remove_dead_objects(self._store, self._log.state)
        except StoreDenied as error:
            log.warning("%s: no right to remove dead objects; run `headrace gc` with it: %s", self.topic, error)
        except StoreError as error:
            self._cleaning_due = True
            log.warning("%s: removing dead objects failed, trying again after the next commit: %s", self.topic, error)
        else:
            for key in removed:
                log.info("%s: removed %s, which a writer that ended early had left", self.topic, key)
        self._failpoint("after-cleaning")

    def _spans(self, partitions: Sequence[int], files: Sequence[BuiltFile]) -> tuple[Span, ...]:
        counts: dict[tuple[str, int], int] = {}
        for file in files:
            for part in file.parts:
                counts[file.kind, part.partition] = counts.get((file.kind, part.partition), 0) + part.rows
        return tuple(
            Span(
                partition=partition,
                lineage=self.held[partition].lineage,
                start=self.held[partition].start,
                end=self.held[partition].end,
                rows=counts.get(("data", partition), 0),
                quarantined=counts.get(("quarantine", partition), 0),
                leader_epoch=self.held[partition].epoch,
                max_timestamp=self._buffer.max_timestamps.get(partition, -1),
                gaps=tuple(self.held[partition].gaps),
            )
            for partition in partitions
        )

    def _entry(self, spans: tuple[Span, ...], files: tuple[FileEntry, ...], *, topic_id: str | None = None) -> Entry:
        return Entry(
            kind="commit",
            topic=self.topic,
            cluster_id=self._writer.cluster_id,
            entry_id=self._new_id(),
            writer=self._writer.name,
            at=self._clock.now(),
            topic_id=str(self.topic_id) if topic_id is None else topic_id,
            spans=spans,
            files=files,
            details={"settings": self.settings.as_json()},
        )

    def _context(self, partitions: Sequence[int]) -> FileContext:
        spans = tuple({"partition": p, "lineage": self.held[p].lineage, "from": self.held[p].start} for p in partitions)
        return FileContext(
            topic=self.topic,
            topic_id=str(self.topic_id),
            cluster_id=self._writer.cluster_id,
            writer=self._writer.name,
            spans=spans,
        )


def _file_entry(file: BuiltFile) -> FileEntry:
    return FileEntry(
        kind=file.kind,
        key=file.key,
        dt=file.dt,
        bytes=file.bytes,
        sha256=file.sha256,
        rows=file.rows,
        late=file.late,
        parts=tuple(
            PartEntry(part.partition, part.row_start, part.rows, part.first, part.last, part.digest)
            for part in file.parts
        ),
    )
