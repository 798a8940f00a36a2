"""After the faults: all heals, and within a bounded number of steps everything is archived, clean and replayable."""

from typing import TYPE_CHECKING

from headrace.archiver.commit_log import read_state
from headrace.replay.findings import VerifyReport
from headrace.replay.verify_removals import check_removals

from .codec import topic_id_of
from .history import uncovered
from .kafka import Partition
from .readers import replay_problem
from .store import SimStore
from .topic_log import TopicLog, Violation

if TYPE_CHECKING:
    from .world import World

STEPS_MAX = 4_000
LOOK_EVERY = 12
STEPS_MIN = 24  # each worker is assigned, and looks at what it is to go on from
REPLAY_EVERY = 3  # each commit was held against Kafka already: what is left to show is the reader


class Drain:
    """Heals a world and holds its end against its history."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def run(self) -> None:
        """Heal, run until all is drained, and compare. Raises Violation."""
        self._heal()
        world = self._world
        for step in range(STEPS_MAX):
            if step >= STEPS_MIN and step % LOOK_EVERY == 0 and not self.left():
                break
            for slot in world.slots:
                if not slot.running:
                    slot.start()
            world.run_one(16)
            world.checker.raise_found()
        else:
            raise Violation("drain", f"not drained after {STEPS_MAX} steps: {self.left()}")
        self._complete()
        if world.profile.full_codec or world.seed % REPLAY_EVERY == 0:
            self._replay()
        world.checker.raise_found()

    def _heal(self) -> None:
        world = self._world
        scheduler = world.scheduler
        scheduler.note("---- heal ----")
        world.kafka.down = world.bucket.down = False
        world.bucket.faults = {}
        world.outages.clear()
        world.bucket.apply_late(everything=True)
        world.checker.raise_found()
        # Zombies wake up and find themselves overtaken; then every process is a new one.
        for task in scheduler.tasks:
            task.held = False
        for _ in range(30):
            world.run_one(8)
            world.checker.raise_found()
        for task in list(scheduler.tasks):
            scheduler.kill(task)
        for member in list(world.group.members):
            world.group.leave(member)
        for name in list(world.events.forgotten):
            world.events.create_again(name)
        for topic in world.kafka.topics.values():
            for partition in topic.partitions:
                for txn in list(partition.log.open_txns):
                    partition.decide(txn, commit=txn % 2 == 0)
                world.events.last_records(partition)
        for slot in world.slots:
            slot.start()
        world.operators.at_peace()

    def left(self) -> list[str]:
        """Return what is not drained yet: offsets that are not in the log, files that no entry names."""
        world = self._world
        left: list[str] = []
        for name, topic in world.kafka.topics.items():
            for number, partition in enumerate(topic.partitions):
                at = world.checker.logs[name].newest.get((topic.topic_id, number))
                if at is None or at.closed or at.next != partition.log.last_stable:
                    left.append(f"{name}/{number} is at {at.next if at else None} of {partition.log.last_stable}")
        if world.operators.busy:
            left.append(f"{world.operators.busy} is not done")
        for name, log in world.checker.logs.items():
            left += [f"intent {intent} of {name} is open" for intent in log.intents]
        stray = [key for key in world.bucket.objects if key.startswith(("data/", "quarantine/")) and self._stray(key)]
        return left + [f"{key} is there and no entry names it" for key in stray]

    def _stray(self, key: str) -> bool:
        """Whether no entry names a file. One of an incarnation that never came into the log is left where it is."""
        log = self._world.checker.logs[key.split("/")[1].removeprefix("topic=")]
        if key in log.files or key.endswith("_SUCCESS"):
            return False
        topic_id = topic_id_of(self._world.bucket.objects[key])
        return any(known == topic_id for known, _, _ in log.identities)

    def _complete(self) -> None:
        """Hold all visible records of Kafka as it is now against what is archived or recorded as a gap."""
        world = self._world
        for name, topic in world.kafka.topics.items():
            for number, partition in enumerate(topic.partitions):
                self._partition_complete(world.checker.logs[name], topic.topic_id, number, partition)

    @staticmethod
    def _partition_complete(log: TopicLog, topic_id: str, number: int, partition: Partition) -> None:
        known = log.of_partition(topic_id, number)
        if missing := uncovered(partition, partition.log, partition.log.last_stable, known):
            raise Violation("drain", f"{topic_id}/{number}: offsets {missing} are archived nowhere, and in no gap")

    def _replay(self) -> None:
        world = self._world
        for topic, log in world.checker.logs.items():
            store = SimStore(world.bucket)
            state = read_state(store, topic, fold_entries=world.profile.fold_entries)
            for of, identity in log.identities.items():
                problem = replay_problem(world, store, state, log, of, end=identity.next)
                if problem is not None:
                    raise Violation("replay", problem)
            report = VerifyReport(topic, store.url)
            check_removals(store, state, report)
            if report.findings:
                raise Violation("replay", f"what is left and what went do not add up: {report.findings}")
