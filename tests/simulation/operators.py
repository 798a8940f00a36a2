"""What people run beside the archivers: `headrace compact` and `headrace gc`, as often and as carelessly as they like.

Each is a task with the production code in it, which may be killed at any call or named step, stand still, meet another
one, and leave its intent open for others to end.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from headrace.archiver.commit_log import CommitLog
from headrace.archiver.compaction_plan import CompactLimits
from headrace.archiver.compactor import Compactor
from headrace.archiver.intents import IntentUnknown, abandon
from headrace.archiver.log_entries import LogCorrupt, LogTooNew
from headrace.archiver.log_state import LogViolation
from headrace.archiver.object_store import StoreError
from headrace.cli import gc

from .readers import start_reader
from .scheduler import Task
from .store import SimStore
from .workers import SimClock

if TYPE_CHECKING:
    from .world import World

LIMITS = (
    CompactLimits(6, 1 << 20),
    CompactLimits(30, 1 << 20),
    CompactLimits(1000, 1 << 20),
    CompactLimits(1000, 1500),
)
RACE = 0.3  # how often two begin with the same date at once
DIES_AT_A_STEP = 0.08
STANDS_STILL_AT_A_STEP = 0.05
READ_MEANWHILE = 0.4  # how often somebody reads what is being replaced
WRONGLY_GIVEN_UP_ON = 0.5  # how often one that only stands still is taken for dead


class Operators:
    """Starts and ends them. `busy`: those of at_peace() that are not done yet."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._scheduler = world.scheduler
        self._random = world.scheduler.random
        self._tasks: dict[str, Task] = {}
        self.busy: list[str] = []

    # -- in the schedule -----------------------------------------------------------------------------------------------

    def compact(self) -> None:
        """Start a compaction of a date that has files, sometimes two of the same."""
        topics = [topic for topic, log in self._world.checker.logs.items() if log.files]
        if topics:
            topic = self._random.choice(topics)
            date = self._random.choice(self._world.checker.logs[topic].dates())
            for _ in range(2 if self._random.random() < RACE else 1):
                limits = self._random.choice(LIMITS)
                self._start("compact", partial(self._compaction, topic=topic, date=date, limits=limits))
            if self._random.random() < READ_MEANWHILE:
                start_reader(self._world, topic)

    def clean(self) -> None:
        """Start a `gc --delete`, which ends the intents of those that seem to be dead."""
        topics = list(self._world.checker.logs)
        if topics:
            topic = self._random.choice(topics)
            self._start("gc", partial(self._cleaning, topic=topic))

    def end_one(self) -> None:
        """Kill one of them, wherever it is."""
        living = [name for name, task in self._tasks.items() if not task.dead]
        if living:
            name = self._random.choice(living)
            self._scheduler.count("operator: killed", name)
            self._scheduler.kill(self._tasks[name])

    # -- at the end ----------------------------------------------------------------------------------------------------

    def at_peace(self) -> None:
        """End what dead ones left open, by one more compaction; with every other seed compact all that there is.

        It goes on beside the archivers. Of what was removed or uploaded for nothing, nothing may stay behind.
        """
        if not self._tasks:
            return
        for topic, log in self._world.checker.logs.items():
            left = {day for adds in log.intents.values() for day in map(_date_of, adds)}
            for date in sorted({*log.dates(), *left} if self._world.seed % 2 == 0 else left):
                self._start("last compact", partial(self._in_peace, topic=topic, date=date))

    def _in_peace(self, name: str, topic: str, date: str) -> None:
        self.busy.append(name)
        self._compaction(name, topic, date, LIMITS[2], in_peace=True)
        self.busy.remove(name)

    # -- processes -----------------------------------------------------------------------------------------------------

    def _start(self, what: str, body: Callable[[str], None]) -> None:
        name = f"{what}.{len(self._tasks) + 1}"
        self._scheduler.count(f"run: {what}", name)

        def life() -> None:
            try:
                body(name)
            except StoreError as error:
                self._scheduler.count(f"operator: ended by {type(error).__name__}", f"{name}: {error}")
            except (LogCorrupt, LogViolation, LogTooNew) as error:
                self._world.checker.fail(getattr(error, "invariant", "I1"), f"{name} refuses the log: {error}")
            except Exception as error:  # noqa: BLE001 - whatever else ends one is a bug, with its seed
                self._world.checker.fail("crash", f"{name} ended with {type(error).__name__}: {error}")

        self._tasks[name] = self._scheduler.spawn(name, life)

    def _compaction(self, name: str, topic: str, date: str, limits: CompactLimits, *, in_peace: bool = False) -> None:
        def failpoint(step: str) -> None:
            if in_peace:
                return
            chance = self._random.random()
            if chance < DIES_AT_A_STEP:
                self._scheduler.count(f"operator: killed at {step}", name)
                self._scheduler.die()
            elif chance < DIES_AT_A_STEP + STANDS_STILL_AT_A_STEP:
                self._scheduler.count(f"operator: frozen at {step}", name)
                self._scheduler.stand_still()

        world = self._world
        done = Compactor(
            SimStore(world.bucket),
            topic,
            writer=name,
            clock=SimClock(world.scheduler, world.profile.wall_days),
            new_id=world.new_id,
            limits=limits,
            failpoint=failpoint,
            is_gone=self._is_gone,
            fold_entries=world.profile.fold_entries,
        ).run(date)
        self._scheduler.counts["run: compactions done"] += 1
        self._scheduler.counts["operator: fenced"] += done.fenced

    def _cleaning(self, name: str, topic: str) -> None:
        """Do what cli/gc.py does."""
        world = self._world
        store = SimStore(world.bucket)
        clock = SimClock(world.scheduler, world.profile.wall_days)
        log = CommitLog(store, topic, pause=clock.pause, lean=True, fold_entries=world.profile.fold_entries)
        for intent in list(log.refresh().intents.values()):
            if self._is_gone(intent.writer):
                try:
                    abandon(log, intent.entry_id, writer=name, at=clock.now(), entry_id=world.new_id())
                except IntentUnknown:
                    self._scheduler.counts["run: intents that others ended first"] += 1
        found = gc._survey(store, log)
        store.delete([each.info.key for each in found if each.verdict == "dead"])

    def _is_gone(self, writer: str) -> bool:
        task = self._tasks[writer]
        return task.dead or (task.held and self._random.random() < WRONGLY_GIVEN_UP_ON)


def _date_of(key: str) -> str:
    return key.split("/")[2].removeprefix("dt=")
