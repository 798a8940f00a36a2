"""One worker's part in archiving one topic: what it holds, where it reads on, and its flushes.

The state is small: for each held partition the log's next offset (`start`), how far records were taken since (`end`),
and gaps to record. A flush turns [start, end) of all of them into one commit. Whenever anything is off - fenced, lost,
a store that does not answer, another topic id - everything uncommitted is dropped and reading starts over from the log.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any

from .clock import Clock
from .commit_log import CommitLog, Committed, Fenced
from .failpoints import Failpoint
from .flush_buffer import FlushBuffer
from .held import Held, Writer, commit_entry, file_context, file_entry, held_at, rows_held, spans_of, take_rows
from .histories import close_older_incarnation, diverging_spans, in_gap, refuse_other_cluster
from .limits import Limits
from .log_entries import Entry, FileEntry, Span
from .log_state import FOLD_ENTRIES, Identity
from .object_store import ObjectStore
from .sealing import SealRules, make_sealer
from .source import OffsetLost, Reached, Records, Source, SourceError, Start, TopicPartition, Unreadable
from .topic_decoder import SchemaSource, TopicSettings
from .truncation import Diverged, ReadAgain, Retained, meaning_of
from .upkeep import Upkeep
from .uploads import Uploads

log = logging.getLogger("headrace.archiver")


class TopicArchive:
    """Archives one topic for one worker. Not thread-safe. `clock.pause` waits between attempts at a silent store.

    `sealing`: when its dates are complete; None: never. `on_commit` is told of each commit.
    """

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
        sealing: SealRules | None = None,
        fold_entries: int = FOLD_ENTRIES,
        on_commit: Callable[[Entry], None] = lambda _entry: None,
    ) -> None:
        self.topic = settings.topic
        self.settings = settings
        self.held: dict[int, Held] = {}
        self.topic_id: str | None = None
        self.restart_due = False
        self.oldest_s: float | None = None  # monotonic time at which the oldest uncommitted record came
        self._source = source
        self._writer = writer
        self._limits = limits
        self._clock = clock
        self._new_id = new_id
        self._failpoint = failpoint
        self._on_commit = on_commit
        self._uploads = Uploads(store, self.topic, pause=clock.pause)
        self._log = CommitLog(store, self.topic, pause=clock.pause, lean=True, fold_entries=fold_entries)
        self._buffer = FlushBuffer(settings, schemas, new_id=new_id)
        sealer = make_sealer(self._log, source, sealing, writer=writer, clock=clock, new_id=new_id, failpoint=failpoint)
        self._upkeep = Upkeep(self._log, self._uploads, sealer, failpoint=failpoint)

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
        topic_id = self._id_now()
        if topic_id != self.topic_id and self.held:
            self.restart_due = True
        self.give_up(partitions)
        if topic_id is not None:
            self.topic_id = topic_id
            self._upkeep.assigned()
            starts = self._place(partitions)
            if starts is not None:
                return starts
        # Deleted just now. The partitions are held without reading, so that a topic made again finds its reader.
        self.restart_due = True
        self.held.update({partition: Held(0, 0, 0, -1) for partition in partitions})
        return dict.fromkeys(partitions, Start(0))

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
        self.topic_id = self._id_now()
        if self.topic_id is None:
            return
        self._upkeep.assigned()
        starts = self._place(partitions)
        if starts is None:
            return
        self._source.restart_at({TopicPartition(self.topic, p): start for p, start in starts.items()})
        self.restart_due = False

    def _discard(self) -> None:
        self._buffer.clear()
        self.oldest_s = None
        for held in self.held.values():
            held.end = held.start
            held.gaps.clear()

    def _id_now(self) -> str | None:
        return self._source.topic_ids([self.topic]).get(self.topic)

    def check_topic_id(self, topic_id: str | None) -> None:
        """Compare with the topic's id of now; a topic that was made again is started over, None means deleted."""
        if self.held and not self.restart_due and topic_id != self.topic_id:
            again = "" if topic_id is None else " and made again"
            log.warning("%s: the topic was deleted%s; dropping what is not committed", self.topic, again)
            self._discard()
            self.restart_due = True

    def _place(self, partitions: Collection[int]) -> dict[int, Start] | None:
        """Place partitions where the log stands; None when the topic was made again meanwhile."""
        state = self._log.refresh()
        self._log.refuse_hole()
        refuse_other_cluster(state, self._writer.cluster_id, self._log.store.url)
        topic_id = str(self.topic_id)
        if not close_older_incarnation(self._log, topic_id, self._entry, self._id_now):
            return None
        state = self._log.state
        newest = {partition: state.newest(partition, topic_id) for partition in partitions}
        asked = [TopicPartition(self.topic, p) for p, at in newest.items() if at is None or at.blind]
        ranges = self._source.log_ranges(asked) if asked else {}
        log_starts = {partition.partition: low for partition, (low, _) in ranges.items()}
        self.held |= {p: held_at(at, log_starts.get(p, 0)) for p, at in newest.items()}
        return {p: Start(self.held[p].reads_from, self.held[p].epoch) for p in partitions}

    # -- what comes from Kafka ---------------------------------------------------------------------------------------

    def add(self, records: Records) -> None:
        """Take records in; those of partitions that are not held (any more) are passed over."""
        if self.restart_due:
            return  # it will be read again
        batch = rows_held(records.batch, self.held)
        if not batch.num_rows:
            return
        if (again := take_rows(self.held, batch, records.leader_epochs)) is not None:
            self._came_again(*again)
            return
        self._buffer.add(batch)
        log.debug("%s: took %d records", self.topic, batch.num_rows)
        self._failpoint("after-decode")
        self._note_age()

    def reached(self, event: Reached) -> None:
        """Note that all visible records before an offset were taken."""
        held = self.held.get(event.partition.partition)
        if held is None or self.restart_due:
            return
        held.at_end = True
        held.end = max(held.end, event.offset)
        if held.pending:
            self._note_age()

    def unreadable(self, event: Unreadable) -> None:
        """Record a gap of one offset for a record that the client cannot hand out: it must not hold up the others."""
        held = self.held.get(event.partition.partition)
        if held is None or self.restart_due:
            return
        log.error("%s/%d: cannot read offset %d: %s", *event.partition, event.offset, event.detail)
        if event.offset < held.start:
            if not in_gap(self._log.state.newest(event.partition.partition), event.offset):
                self._came_again(event.partition.partition, event.offset)
            return
        held.skip(event.offset, event.offset + 1, "unreadable", {"detail": event.detail})
        self._note_age()

    def offset_lost(self, event: OffsetLost) -> None:
        """Decide what it means that the next offset is not there: a gap by retention, or a truncated log."""
        partition = event.partition.partition
        held = self.held.get(partition)
        # A topic that was made again looks like a truncated one; its id tells them apart.
        self.check_topic_id(self._id_now())
        if held is None or self.restart_due:
            return
        low, end = self._source.log_ranges([event.partition])[event.partition]
        self.check_topic_id(self._id_now())  # so do the ends of one that was made again in between
        if self.restart_due:
            return
        where = f"{self.topic}/{partition}"
        identity = Identity(str(self.topic_id), partition, held.lineage)
        held.log_starts_at(low)
        meaning = meaning_of(event.detail, held, low=low, end=end, rows_end=lambda: self._log.rows_end(identity))
        if isinstance(meaning, Retained):
            log.error("%s: offsets %d to %d were deleted by retention before they were archived", where, held.end, low)
            held.skip(held.end, low, "retention", {"log_start": low, "detail": event.detail})
            self._source.restart_at({event.partition: Start(low)})
            self._note_age()
        elif isinstance(meaning, ReadAgain):
            # What is uncommitted may be what Kafka lost. Read again from where the log may still stand.
            self._buffer.drop([partition])
            held.read_again(meaning.offset)
            log.warning("%s: an offset is gone; reading again from %d", where, held.reads_from)
            self._source.restart_at({event.partition: Start(held.reads_from, held.epoch)})
        else:
            self._diverged(partition, meaning, {"log_start": low, "log_end": end, "detail": event.detail})

    def _came_again(self, partition: int, offset: int) -> None:
        """A record came that was taken already, or, where the archive knows of markers only, one of another history."""
        held = self.held[partition]
        if held.again_from is None:
            raise SourceError(f"{self.topic}/{partition}: offset {offset} came again, {held.end} was expected")
        self._diverged(partition, Diverged(held.again_from, held.epoch), {"record": offset})
        self._discard()
        self.restart_due = True

    def _diverged(self, partition: int, at: Diverged, evidence: dict[str, Any]) -> None:
        """Kafka lost records that are archived: close this lineage and begin the next where the logs part."""
        held = self.held[partition]
        log.error(
            "%s/%d: Kafka lost records that are archived (archived to %d); going on at %d as a new lineage; what is "
            "archived stays",
            *(self.topic, partition, held.start, at.begin),
        )
        self._buffer.drop([partition])
        outcome = self._log.append(self._entry(diverging_spans(partition, held, at, evidence), ()))
        if isinstance(outcome, Fenced):
            self._fenced(outcome)
            return
        self.held[partition] = held.next_lineage(at.begin, at.epoch)
        self._source.restart_at({TopicPartition(self.topic, partition): Start(at.begin, at.epoch)})

    def _note_age(self) -> None:
        """Start the flush interval with the first thing that is uncommitted."""
        if self.oldest_s is None:
            self.oldest_s = self._clock.monotonic()

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
        self.check_topic_id(self._id_now())
        if self.restart_due:
            return False
        partitions = sorted(partition for partition, held in self.held.items() if held.pending)
        if not self._commit(partitions):
            return False
        self._buffer.clear()
        self.oldest_s = None
        self._upkeep.committed(self._mine())
        return True

    def idle(self) -> None:
        """Do what is to be done while there is nothing to commit."""
        if self.held and not self.restart_due and not self.pending:
            self._upkeep.idle(self._mine())

    def seal(self, *, now: bool = False) -> None:
        """Seal the dates that are complete, when it is time to look again, or `now`."""
        if self.held and not self.restart_due:
            self._upkeep.seal(self.topic_id, now=now)

    def _mine(self) -> set[Identity]:
        return {Identity(str(self.topic_id), p, held.lineage) for p, held in self.held.items()}

    def _commit(self, partitions: Sequence[int]) -> bool:
        """Commit these partitions in one entry, or in several where one would become too large."""
        sealed = self._log.state.closed_dates
        context = file_context(self.topic, str(self.topic_id), self._writer, self.held, partitions, sealed=sealed)
        files = self._buffer.build(context, partitions)
        spans = spans_of(self.held, partitions, files, self._buffer.max_timestamps)
        entry = self._entry(spans, tuple(map(file_entry, files)))
        if len(entry.encode()) > self._limits.commit_bytes_max and len(partitions) > 1:
            half = len(partitions) // 2
            return self._commit(partitions[:half]) and self._commit(partitions[half:])
        self._failpoint("files-built")
        for file in files:
            self._uploads.put(file)
            self._failpoint("one-file-uploaded")
        self._failpoint("files-uploaded")
        self._failpoint("before-commit")
        outcome = self._log.append(entry)
        self._failpoint("after-commit")
        if isinstance(outcome, Fenced):
            self._fenced(outcome)
            self._uploads.remove_fenced(entry, self._log.state)
            return False
        self._committed(outcome, partitions)
        return True

    def _committed(self, outcome: Committed, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self.held[partition].committed()
        self._on_commit(outcome.entry)
        self._failpoint("before-offset-commit")
        self._source.commit_offsets({TopicPartition(self.topic, p): self.held[p].end for p in partitions})
        self._failpoint("after-offset-commit")

    def _fenced(self, outcome: Fenced) -> None:
        log.warning("%s: fenced, dropping what is not committed: %s", self.topic, outcome.reason)
        self._discard()
        self.restart_due = True

    def _entry(self, spans: tuple[Span, ...], files: tuple[FileEntry, ...], *, topic_id: str | None = None) -> Entry:
        identity, at, entry_id = topic_id or str(self.topic_id), self._clock.now(), self._new_id()
        return commit_entry(self.settings, self._writer, identity, spans, files, at=at, entry_id=entry_id)
