"""What people run beside archivers: `headrace compact`, `erase`, `expire` and `gc`, as often and carelessly as they do.

Each is a task with the production code in it, which may be killed at any call or named step, stand still, meet another
one, and leave its intent open for others to end.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from headrace.archiver.commit_log import CommitLog
from headrace.archiver.compaction_plan import CompactLimits
from headrace.archiver.compactor import Compactor
from headrace.archiver.eraser import Eraser, Order
from headrace.archiver.expirer import Expirer
from headrace.archiver.failpoints import no_failpoint
from headrace.archiver.intents import IntentUnknown, abandon
from headrace.archiver.log_entries import LogCorrupt, LogTooNew
from headrace.archiver.log_state import LogViolation
from headrace.archiver.object_store import StoreError
from headrace.cli import gc

from .codec import Every
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
ORDER = Order("an erasure", "a ticket", "somebody", "0" * 64)
EXPIRED_BEFORE = ("2026-11-24", "2026-11-24", "2026-11-25")
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

    def erase(self) -> None:
        """Start an erasure of some rows of a topic that has files, sometimes two of the same."""
        topics = [topic for topic, log in self._world.checker.logs.items() if log.files]
        if topics:
            topic = self._random.choice(topics)
            every = self._random.choice((1, 2, 5, 9))
            judge = Every(every, self._random.randrange(every))
            for _ in range(2 if self._random.random() < RACE else 1):
                self._start("erase", partial(self._erasure, topic=topic, judge=judge))
            if self._random.random() < READ_MEANWHILE:
                start_reader(self._world, topic)

    def expire(self) -> None:
        """Start an expiry of a topic that has files: of the first of the two dates, or of both."""
        topics = [topic for topic, log in self._world.checker.logs.items() if log.files]
        if topics:
            topic = self._random.choice(topics)
            self._start("expire", partial(self._expiry, topic=topic, before=self._random.choice(EXPIRED_BEFORE)))
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

    def _passed(self, name: str, step: str) -> None:
        """Die or stand still at a named step, now and then."""
        chance = self._random.random()
        if chance < DIES_AT_A_STEP:
            self._scheduler.count(f"operator: killed at {step}", name)
            self._scheduler.die()
        elif chance < DIES_AT_A_STEP + STANDS_STILL_AT_A_STEP:
            self._scheduler.count(f"operator: frozen at {step}", name)
            self._scheduler.stand_still()

    def _rewriter(self, name: str, *, in_peace: bool = False) -> dict[str, Any]:
        """Return what every rewriter takes beside a store and a topic."""
        world = self._world
        return {
            "writer": name,
            "clock": SimClock(world.scheduler, world.profile.wall_days),
            "new_id": world.new_id,
            "failpoint": no_failpoint if in_peace else partial(self._passed, name),
            "is_gone": self._is_gone,
            "fold_entries": world.profile.fold_entries,
        }

    def _erasure(self, name: str, topic: str, judge: Every) -> None:
        options = self._rewriter(name)
        done = Eraser(SimStore(self._world.bucket), topic, judge=judge, order=ORDER, **options).run()
        self._hold_to_its_word(name, topic, judge, done.snapshot)
        self._scheduler.counts["run: erasures done"] += 1
        self._scheduler.counts["run: rows erased"] += done.rows
        self._scheduler.counts["operator: fenced"] += done.fenced

    def _hold_to_its_word(self, name: str, topic: str, judge: Every, snapshot: int) -> None:
        """An erasure says that it is done: no row that was archived up to the entry that it names is left."""
        log = self._world.checker.logs[topic]
        for of, end in log.ends[snapshot - 1].items():
            gone = log.gone.get(of, {})
            left = [o for o, row in log.identities[of].rows.items() if o < end and judge.takes(row) and o not in gone]
            if left:
                self._world.checker.fail("I4", f"{name} of {topic} up to {snapshot} is done, and left {of} {left}")

    def _expiry(self, name: str, topic: str, before: str) -> None:
        Expirer(SimStore(self._world.bucket), topic, before=before, **self._rewriter(name)).run()
        self._scheduler.counts["run: expiries done"] += 1

    def _compaction(self, name: str, topic: str, date: str, limits: CompactLimits, *, in_peace: bool = False) -> None:
        options = self._rewriter(name, in_peace=in_peace)
        done = Compactor(SimStore(self._world.bucket), topic, limits=limits, **options).run(date)
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
