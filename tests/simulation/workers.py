"""The simulated machines: production workers, wired as worker_process.py wires them, each a task of the scheduler."""

from collections.abc import Callable

from headrace.archiver.commit_log import Committed, Fenced
from headrace.archiver.failpoints import no_failpoint
from headrace.archiver.held import Writer
from headrace.archiver.histories import ArchiveRefused
from headrace.archiver.log_entries import Entry, LogCorrupt, LogTooNew
from headrace.archiver.log_state import LogViolation
from headrace.archiver.object_store import StoreError
from headrace.archiver.source import Source, SourceError
from headrace.archiver.topic_archive import TopicArchive
from headrace.archiver.topic_decoder import TopicSettings
from headrace.archiver.worker import Worker
from headrace.schemas.catalog import builtin

from .checker import Checker
from .days import FIRST_MS, wall_clock
from .group import Group
from .kafka import SimKafka
from .profile import Profile
from .scheduler import Scheduler, Task
from .source import SimSource
from .store import Bucket, SimStore

BUFFER_BYTES_MAX = 2_000


class SimClock:
    """A machine's clock. `skew_s` is how far its wall clock is off; `ahead_s` what its monotonic clock jumped by."""

    def __init__(self, scheduler: Scheduler, wall_days: float) -> None:
        self._scheduler = scheduler
        self.skew_s = FIRST_MS / 1000 + wall_days * 86_400
        self.ahead_s = 0.0

    def now(self) -> str:
        return wall_clock(int(self._scheduler.now_s + self.skew_s))

    def monotonic(self) -> float:
        return self._scheduler.now_s + self.ahead_s

    def pause(self, seconds: float) -> None:
        self._scheduler.sleep(seconds)


class Schemas:
    """The built-in events' schemas, without a store."""

    def text_by_fingerprint(self, fingerprint: bytes) -> str | None:
        return builtin().text_by_fingerprint(fingerprint)

    def text_by_registry_id(self, schema_id: int) -> str | None:
        del schema_id
        return None


class Slot:
    """One place for a worker process: it may run, be stopped in an orderly way, crash, and be started again.

    When it is started again while the old process is only frozen, that one becomes a zombie.
    """

    def __init__(  # noqa: PLR0917 - the parts of a world, in its order
        self,
        number: int,
        scheduler: Scheduler,
        kafka: SimKafka,
        group: Group,
        bucket: Bucket,
        checker: Checker,
        profile: Profile,
        new_id: Callable[[], str],
    ) -> None:
        self.number = number
        self._scheduler = scheduler
        self._kafka = kafka
        self._group = group
        self._store = SimStore(bucket)
        self._checker = checker
        self._profile = profile
        self._new_id = new_id
        self.starts = 0
        self.task: Task | None = None
        self.source: SimSource | None = None
        self.stopping = False
        self.clock = SimClock(scheduler, profile.wall_days)

    @property
    def running(self) -> bool:
        return self.task is not None and not self.task.dead

    def start(self) -> None:
        """Start a process; an old one that still lives goes on beside it."""
        self.starts += 1
        self.stopping = False
        self.task = self._scheduler.spawn(f"w{self.number}.{self.starts}", self._life(f"w{self.number}.{self.starts}"))

    def _life(self, name: str) -> Callable[[], None]:
        profile, scheduler, generation = self._profile, self._scheduler, self.starts
        clock = self.clock = SimClock(scheduler, profile.wall_days)
        settings = {"format": "avro" if profile.full_codec else "raw"}

        def make_source(worker: Worker) -> Source:
            source = SimSource(
                scheduler,
                self._kafka,
                self._group,
                worker,
                instance=f"i{self.number}" if profile.static else None,
                on_commit=self._checker.committed_offsets,
            )
            source.stale = profile.stale
            if generation == self.starts:
                self.source = source
            return source

        def make_archive(topic: str, source: Source) -> TopicArchive:
            archive = TopicArchive(
                TopicSettings.from_json({"topic": topic, **settings}),
                source=source,
                store=self._store,
                schemas=Schemas(),
                writer=Writer(name, source.cluster_id()),
                limits=profile.limits,
                clock=clock,
                new_id=self._new_id,
                failpoint=no_failpoint,
                sealing=profile.sealing,
                fold_entries=profile.fold_entries,
            )
            append = archive._log.append

            def counted(entry: Entry) -> Committed | Fenced:
                outcome = append(entry)
                if isinstance(outcome, Fenced):
                    scheduler.count("log: fenced", outcome.reason)
                return outcome

            setattr(archive._log, "append", counted)  # noqa: B010 - only to count; mypy forbids it as an assignment
            return archive

        def life() -> None:
            try:
                worker = Worker(
                    make_source,
                    make_archive,
                    clock=clock,
                    failpoint=no_failpoint,
                    buffer_bytes_max=BUFFER_BYTES_MAX,
                    flush_when_idle=profile.idle_flush,
                )
                worker.run(lambda: self.stopping and generation == self.starts)
            except (SourceError, StoreError) as error:
                scheduler.count(f"worker: ended by {type(error).__name__}")
                scheduler.note(str(error))
            except (LogCorrupt, LogViolation, LogTooNew, ArchiveRefused) as error:
                self._checker.fail(getattr(error, "invariant", "I1"), f"{name} refuses the log: {error}")
            except Exception as error:  # noqa: BLE001 - whatever else ends a worker is a bug, with its seed
                self._checker.fail("crash", f"{name} ended with {type(error).__name__}: {error}")
            else:
                scheduler.count("worker: left")

        return life
