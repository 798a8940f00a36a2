"""One schedule: a world with production workers in it, faults for a while, then peace, in which all must drain."""

import itertools
import json
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from random import Random

from .checker import Checker
from .codec import light
from .drain import Drain
from .events import Events
from .group import Group
from .kafka import SimKafka
from .operators import Operators
from .profile import Profile, profile_of
from .scheduler import Scheduler
from .store import Bucket
from .topic_log import Violation
from .workers import Slot

TOPICS = ("pin", "follow")


@dataclass
class Outcome:
    """What became of a seed."""

    seed: int
    violation: Violation | None
    counts: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)
    commits: int = 0
    rows: int = 0


class World:
    """Everything that one seed makes. step() acts once; heal() ends all faults."""

    def __init__(self, seed: int, profile: Profile | None = None) -> None:
        self.seed = seed
        random = Random(seed ^ 0x5EED)
        self.profile = profile if profile is not None else profile_of(seed, random)
        self.scheduler = Scheduler(seed)
        self.kafka = SimKafka()
        self.group = Group(self.kafka, self.scheduler.random)
        self.bucket = Bucket(self.scheduler)
        self.bucket.faults = self.profile.faults
        self.checker = Checker(self.kafka, self.bucket)
        self.bucket.watcher = self.checker
        ids = itertools.count(1)
        self.new_id: Callable[[], str] = lambda: f"{next(ids):012}"
        for name in TOPICS[: self.profile.topics]:
            self.kafka.create(name, self.profile.partitions)
        self.slots = [
            Slot(
                number,
                self.scheduler,
                self.kafka,
                self.group,
                self.bucket,
                self.checker,
                self.profile,
                self.new_id,
            )
            for number in range(self.profile.workers)
        ]
        for slot in self.slots:
            slot.start()
        self.outages: list[tuple[float, str]] = []
        self.operators = Operators(self)
        self.events = Events(self)

    def step(self) -> None:
        """Run a worker for a while, or do something to the world. Raises Violation."""
        scheduler = self.scheduler
        if self.bucket.late:
            self.bucket.apply_late()
        if self.outages:
            self._end_outages()
        if scheduler.random.random() < self.profile.world:
            self.events.one()
        else:
            self.run_one(scheduler.random.choice((1, 2, 4, 8, 16)))
        self.checker.raise_found()

    def _end_outages(self) -> None:
        now = self.scheduler.now_s
        self.outages = [each for each in self.outages if each[0] > now]
        lasting = {what for _, what in self.outages}
        self.kafka.down = "kafka" in lasting
        self.bucket.down = "store" in lasting

    def run_one(self, calls: int) -> None:
        """Let one process that can run make some calls; when all sleep, time goes on."""
        scheduler = self.scheduler
        ready = scheduler.ready()
        if not ready:
            scheduler.advance_to_next() or scheduler.advance(1.0)  # type: ignore[func-returns-value]
            return
        task = ready[0] if len(ready) == 1 else scheduler.random.choice(ready)
        for _ in range(calls):
            scheduler.run(task)
            scheduler.now_s += 0.005
            if self.checker.found is not None or task.dead or task.wake_s > scheduler.now_s:
                return

    def end(self) -> None:
        """End every process, so that nothing of this seed stays."""
        for task in list(self.scheduler.tasks):
            self.scheduler.kill(task)


def simulate(seed: int, profile: Profile | None = None) -> Outcome:
    """Run one seed to its end."""
    world = World(seed, profile)
    violation: Violation | None = None
    with nullcontext() if world.profile.full_codec else light():
        try:
            for _ in range(world.profile.steps):
                world.step()
            Drain(world).run()
        except Violation as found:
            violation = found
        except Exception as error:  # noqa: BLE001 - a bug too, and its seed is what is wanted
            violation = Violation("crash", f"{type(error).__name__}: {error}")
        finally:
            world.end()
    commits = sum(log.commits for log in world.checker.logs.values())
    trace = list(world.scheduler.trace) if violation else []
    return Outcome(seed, violation, world.scheduler.counts, trace, commits, world.checker.rows)


def describe(profile: Profile) -> str:
    """Return a profile in a few lines."""
    return json.dumps(profile.__dict__, default=str, indent=1)
