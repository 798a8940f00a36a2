"""A worker: one member of the consumer group, and the loop that turns what it reads into commits.

The loop decides little: poll, hand records to their topic, flush what is due, start over what went wrong. All of its
state can be thrown away at any moment, since the log alone says what is archived.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping

from .clock import Clock
from .commit_log import CommitUnknown
from .failpoints import Failpoint
from .object_store import StoreDenied, StoreError, StoreMissing
from .oncall.pulse import Pulse
from .source import OffsetLost, Reached, Records, Source, SourceEvent, Start, TopicPartition
from .tally import Tally
from .topic_archive import TopicArchive

log = logging.getLogger("headrace.archiver")

POLL_RECORDS_MAX = 50_000  # decoding costs by the call: of fewer records at once each would cost more
POLL_TIMEOUT_S = 0.5
TOPIC_CHECK_S = 10.0
RETRY_PAUSE_S = 0.5
RETRY_PAUSE_S_MAX = 30.0

MakeArchive = Callable[[str, Source], TopicArchive]


class Worker:
    """Archives what the group assigns to it. `make_archive(topic, source)` builds a topic's part on first need.

    `buffer_bytes_max` bounds the uncommitted records of all topics together: the largest is flushed early.
    `flush_when_idle` commits as soon as nothing more comes, for runs that end. `name` is what heartbeats call it;
    `tally` counts for metrics. `renew_store()` has the store look for credentials again, after it refused ours.
    """

    def __init__(
        self,
        make_source: Callable[["Worker"], Source],
        make_archive: MakeArchive,
        *,
        clock: Clock,
        failpoint: Failpoint,
        buffer_bytes_max: int,
        flush_when_idle: bool = False,
        name: str = "worker",
        tally: Tally | None = None,
        renew_store: Callable[[], None] = lambda: None,
    ) -> None:
        self._make_archive = make_archive
        self._clock = clock
        self._failpoint = failpoint
        self._buffer_bytes_max = buffer_bytes_max
        self._flush_when_idle = flush_when_idle
        self._archives: dict[str, TopicArchive] = {}
        self._touched: set[TopicPartition] = set()
        self._next_topic_check_s = clock.monotonic() + TOPIC_CHECK_S
        self._retry_pause_s = self._refused_pause_s = RETRY_PAUSE_S
        self._refused = False
        self._renew_store = renew_store
        # A run that is to end says so and ends; one that lasts waits, since somebody may give the right back.
        self._ends_it: tuple[type[StoreError], ...] = (StoreDenied, StoreMissing) if flush_when_idle else ()
        self._source = make_source(self)
        self._pulse = Pulse(self._source, name, clock)
        self._tally = Tally(clock) if tally is None else tally

    def run(self, stopping: Callable[[], bool]) -> None:
        """Archive until `stopping()`; then flush, and leave the group. Raises what step() raises."""
        while not stopping():
            self.step()
        self.stop()

    def stop(self) -> None:
        """Flush what is held and leave the group."""
        for archive in self._archives.values():
            self._flush(archive)
            archive.idle()
            archive.seal(now=True)
        self._source.close()

    def step(self) -> None:
        """Poll once and act on what came.

        Raises SourceFenced and SourceError, LogCorrupt, LogTooNew, LogViolation, ArchiveRefused: what waiting cannot
        mend; and StoreDenied, StoreMissing in a run that is to end, or when a new assignment cannot be begun. A store
        that does not answer, or refuses us, is waited for.
        """
        self._touched.clear()
        events = self._source.poll(POLL_RECORDS_MAX, POLL_TIMEOUT_S)
        if events:
            self._failpoint("after-fetch")
        self._take(events)
        now = self._clock.monotonic()
        if now >= self._next_topic_check_s:
            self._next_topic_check_s = now + TOPIC_CHECK_S
            self._check_topics()
        idle = self._flush_when_idle and not any(isinstance(event, Records) for event in events)
        for archive in self._archives.values():
            if archive.flush_due() or (idle and archive.pending):
                self._flush(archive)
            elif not events:
                # A crashed writer's records may all have come back by a commit before this assignment.
                archive.idle()
            archive.seal()
        self._bound_memory()
        for archive in self._archives.values():
            if archive.restart_due:
                self._restart(archive)
        self._pulse.beat_when_due(self._archives.values())
        self._tally.tell_when_due(self._archives.values())
        if self._refused:
            self._wait_for_rights()

    # -- the group's calls (Assignee) --------------------------------------------------------------------------------

    def assigned(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Start]:
        """Read the logs of newly assigned partitions and return where to start."""
        self._touched.update(partitions)
        starts: dict[TopicPartition, Start] = {}
        for topic, numbers in _by_topic(partitions).items():
            if topic not in self._archives:
                self._archives[topic] = self._make_archive(topic, self._source)
            taken = self._archives[topic].take(numbers)
            starts.update({TopicPartition(topic, number): start for number, start in taken.items()})
            log.info("%s: reading %s", topic, ", ".join(f"{n} from {s.offset}" for n, s in sorted(taken.items())))
        return starts

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Commit what is held of the topics concerned, then give the partitions up."""
        self._touched.update(partitions)
        for topic, numbers in _by_topic(partitions).items():
            archive = self._archives.get(topic)
            if archive is not None:
                self._flush(archive)
                archive.give_up(numbers)

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """Drop partitions that belong to another worker already."""
        self._touched.update(partitions)
        for topic, numbers in _by_topic(partitions).items():
            if topic in self._archives:
                self._archives[topic].give_up(numbers)
                log.warning("%s: lost partitions %s; dropping what is not committed", topic, sorted(numbers))

    # -- steps -------------------------------------------------------------------------------------------------------

    def _take(self, events: list[SourceEvent]) -> None:
        # A rebalance can happen in the middle of a poll; then records fetched before it may stand in this batch beside
        # newer ones of the same partition. Nothing of such partitions is taken: they are read again.
        if self._touched and events:
            self._reread(self._touched)
        for event in events:
            archive = self._archives.get(event.topic if isinstance(event, Records) else event.partition.topic)
            if archive is None or (not isinstance(event, Records) and event.partition in self._touched):
                continue
            try:
                self._hand(event, archive)
            except self._ends_it:
                raise
            except StoreError as error:
                log.warning("%s: could not take in what was read, starting over from the log: %s", archive.topic, error)
                archive.restart_due = True
                self._note(error)

    def _hand(self, event: SourceEvent, archive: TopicArchive) -> None:
        """Give a topic what came of it. It may have to ask the store: for a schema, or to end a lineage."""
        if isinstance(event, Records):
            archive.add(self._untouched(event))
        elif isinstance(event, Reached):
            archive.reached(event)
        elif isinstance(event, OffsetLost):
            archive.offset_lost(event)
        else:
            archive.unreadable(event)

    def _untouched(self, records: Records) -> Records:
        touched = {partition.partition for partition in self._touched if partition.topic == records.topic}
        return records.without(touched) if touched else records

    def _reread(self, partitions: Collection[TopicPartition]) -> None:
        starts: dict[TopicPartition, Start] = {}
        for partition in partitions:
            archive = self._archives.get(partition.topic)
            held = archive.held.get(partition.partition) if archive is not None else None
            if held is not None:
                starts[partition] = Start(held.reads_from, held.epoch)
        self._source.restart_at(starts)

    def _flush(self, archive: TopicArchive) -> None:
        self._tally.flush_begun()
        failed = True
        try:
            if archive.flush():
                self._pulse.fine(archive.topic)
                self._pulse.beat([archive])
                self._refused_pause_s = RETRY_PAUSE_S
            failed = False
        except self._ends_it as error:
            self._pulse.trouble(archive.topic, str(error))
            self._pulse.beat([archive])
            raise
        except StoreError as error:
            # Unknown or failed: what is held cannot be trusted to fit the log any more.
            log.warning("%s: flush failed, starting over from the log: %s", archive.topic, error)
            self._pulse.trouble(archive.topic, str(error))
            archive.restart_due = True
            self._note(error)
            if isinstance(error, CommitUnknown):
                log.warning("%s: whether the last commit is in the log will show when it is read again", archive.topic)
        finally:
            self._tally.flush_ended(archive.topic, failed=failed)

    def _restart(self, archive: TopicArchive) -> None:
        self._tally.add("start_overs", archive.topic)
        try:
            archive.restart()
        except self._ends_it:
            raise
        except (StoreDenied, StoreMissing) as error:
            log.warning("%s: cannot read the log: %s", archive.topic, error)
            self._pulse.trouble(archive.topic, str(error))
            self._note(error)
        except StoreError as error:
            log.warning("%s: cannot read the log, waiting %.1f s: %s", archive.topic, self._retry_pause_s, error)
            self._pulse.trouble(archive.topic, str(error))
            self._pulse.beat_when_due([archive])
            self._clock.pause(self._retry_pause_s)
            self._retry_pause_s = min(self._retry_pause_s * 2, RETRY_PAUSE_S_MAX)
        else:
            self._retry_pause_s = RETRY_PAUSE_S

    def _note(self, error: StoreError) -> None:
        if isinstance(error, StoreDenied | StoreMissing):
            self._refused = True

    def _wait_for_rights(self) -> None:
        """The store refused us: wait before all is read again for nothing, and look for credentials again.

        The pause grows until something is committed, whatever can be read: a right to write may be all that is missing.
        """
        self._refused = False
        log.error(
            "the store refuses what has to be done; nothing is lost while Kafka keeps it. Waiting %.1f s for rights or "
            "credentials to come back",
            self._refused_pause_s,
        )
        self._clock.pause(self._refused_pause_s)
        self._refused_pause_s = min(self._refused_pause_s * 2, RETRY_PAUSE_S_MAX)
        self._renew_store()

    def _bound_memory(self) -> None:
        while sum(archive.bytes for archive in self._archives.values()) > self._buffer_bytes_max:
            largest = max(self._archives.values(), key=lambda archive: archive.bytes)
            self._flush(largest)
            if largest.restart_due:
                return  # a restart drops what it held

    def _check_topics(self) -> None:
        held = [archive.topic for archive in self._archives.values() if archive.held]
        ids = self._source.topic_ids(held)
        for topic in held:
            self._archives[topic].check_topic_id(ids.get(topic))


def _by_topic(partitions: Collection[TopicPartition]) -> dict[str, list[int]]:
    grouped: dict[str, list[int]] = defaultdict(list)
    for partition in partitions:
        grouped[partition.topic].append(partition.partition)
    return grouped
