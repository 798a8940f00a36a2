"""What happens to the simulated world: producers, brokers, operators, machines; one thing at a time, by weight."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .days import DAY_MS, FIRST_MS
from .kafka import Partition, Slot
from .pins import pin_value
from .readers import start_reader

if TYPE_CHECKING:
    from .world import World

PARTITIONS_MAX = 5
OUTAGE_S = 20.0


class Events:
    """Chooses and does what happens. Everything is drawn from the schedule's own randomness."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._scheduler = world.scheduler
        self._random = world.scheduler.random
        self._kafka = world.kafka
        self._written = 0
        self._txns = 0
        self._where = ("", 0)
        self.forgotten: dict[str, int] = {}  # deleted topics, with their number of partitions
        weights = world.profile.events
        self._names = list(weights)
        self._weights = [weights[name] for name in self._names]

    def one(self) -> None:
        """Do one thing."""
        (name,) = self._random.choices(self._names, self._weights)
        self.do(name)

    def do(self, name: str) -> None:
        """Do one named thing."""
        call: Callable[[], None] = getattr(self, "_" + name.replace(" ", "_"))
        call()

    # -- producers -----------------------------------------------------------------------------------------------------

    def _any_partition(self) -> Partition | None:
        everything = list(self._kafka.all_partitions())
        if not everything:
            return None
        self._where = self._random.choice(everything)
        return self._kafka.partition(*self._where)

    def record(self, txn: int | None = None) -> Slot:
        """Make a record that is like no other."""
        self._written += 1
        number, random = self._written, self._random
        timestamp = FIRST_MS + random.choice((0, DAY_MS)) + number
        shape = random.random()
        key = f"k{number % 5}".encode() if shape < 0.7 else None
        headers = (("n", b"%d" % number),) if shape < 0.3 else ()
        value: bytes | None = b"%d" % number
        if shape > 0.95:
            value = None
        elif shape > 0.88:
            value = b"!%d" % number
        elif self._world.profile.full_codec:
            value = pin_value(number, timestamp)
        return Slot(key, value, headers, timestamp, txn, unreadable=0.5 < shape < 0.512)

    def _produce(self) -> None:
        partition = self._any_partition()
        if partition is not None:
            for _ in range(self._random.choice((1, 2, 3, 6))):
                partition.append(self.record())
                self._scheduler.counts["records"] += 1

    def _transaction(self) -> None:
        partition = self._any_partition()
        if partition is not None:
            self._txns += 1
            self._scheduler.counts["kafka: transaction"] += 1
            for _ in range(self._random.choice((1, 2))):
                partition.append(self.record(self._txns))

    def last_records(self, partition: Partition) -> None:
        """Write what makes everything before it move on; half of the time it ends with a transaction's marker."""
        if self._random.random() < 0.5:
            partition.append(self.record())
        else:
            self._txns += 1
            partition.append(self.record(self._txns))
            partition.decide(self._txns, commit=True)

    def _end_transaction(self) -> None:
        partition = self._any_partition()
        if partition is not None and partition.log.open_txns:
            partition.decide(self._random.choice(list(partition.log.open_txns)), self._random.random() < 0.6)

    # -- brokers and operators -----------------------------------------------------------------------------------------

    def _leader(self) -> None:
        partition = self._any_partition()
        if partition is not None:
            partition.new_epoch()
            self._scheduler.count("kafka: new leader", (*self._where, partition.log.epochs))

    def _truncate(self) -> None:
        partition = self._any_partition()
        if partition is not None and partition.log.end > partition.log_start:
            cut = self._random.randint(partition.log_start, partition.log.end - 1)
            self._scheduler.count("kafka: truncated", (*self._where, cut, partition.log.end))
            partition.truncate(cut)
            for _ in range(self._random.choice((0, 1, 4, 8))):
                partition.append(self.record())

    def _retention(self) -> None:
        partition = self._any_partition()
        if partition is not None:
            partition.retain(self._random.randint(partition.log_start, partition.log.last_stable))
            self._scheduler.count("kafka: retention", (*self._where, partition.log_start))

    def _compact(self) -> None:
        partition = self._any_partition()
        if partition is not None:
            self._scheduler.count("kafka: compacted")
            log = partition.log
            for offset in range(partition.log_start, log.last_stable - 1):
                if self._random.random() < 0.3:
                    log.compacted.add(offset)

    def _recreate(self) -> None:
        name = self._delete()
        if name is not None:
            self.create_again(name)

    def _delete(self) -> str | None:
        names = list(self._kafka.topics)
        if not names:
            return None
        name = self._random.choice(names)
        self._scheduler.count("kafka: topic deleted")
        self.forgotten[name] = len(self._kafka.topics[name].partitions)
        self._kafka.delete(name)
        if self._random.random() < 0.5:
            self._world.group.balance()
        return name

    def _create(self) -> None:
        if self.forgotten:
            self.create_again(self._random.choice(list(self.forgotten)))

    def create_again(self, name: str) -> None:
        """Make a deleted topic again, with records in it already."""
        self._scheduler.count("kafka: topic made again")
        topic = self._kafka.create(name, max(1, self.forgotten.pop(name) + self._random.choice((-1, 0, 0, 1))))
        for partition in topic.partitions:
            for _ in range(self._random.choice((0, 2, 6, 12))):
                partition.append(self.record())
        if self._random.random() < 0.5:
            self._world.group.balance()

    def _grow(self) -> None:
        names = [name for name, topic in self._kafka.topics.items() if len(topic.partitions) < PARTITIONS_MAX]
        if names:
            self._scheduler.count("kafka: partition added")
            self._kafka.topics[self._random.choice(names)].partitions.append(Partition())
            self._world.group.balance()

    def _kafka_down(self) -> None:
        self._scheduler.count("kafka: outage")
        self._kafka.down = True
        self._world.outages.append((self._scheduler.now_s + self._random.random() * OUTAGE_S, "kafka"))

    def _store_down(self) -> None:
        self._scheduler.count("s3: outage")
        self._world.bucket.down = True
        self._world.outages.append((self._scheduler.now_s + self._random.random() * OUTAGE_S, "store"))

    # -- machines ------------------------------------------------------------------------------------------------------

    def _crash(self) -> None:
        running = [slot for slot in self._world.slots if slot.running]
        if running:
            slot = self._random.choice(running)
            self._scheduler.count("worker: killed")
            if slot.task is not None:
                self._scheduler.kill(slot.task)
            if slot.source is not None and self._random.random() < 0.5:
                self._world.group.leave(slot.source.member)

    def _stop(self) -> None:
        running = [slot for slot in self._world.slots if slot.running]
        if running:
            self._scheduler.count("worker: asked to leave")
            self._random.choice(running).stopping = True

    def _start(self) -> None:
        """Start what does not run; a frozen process may be given up and started anew beside the old one."""
        slot = self._random.choice(self._world.slots)
        if not slot.running:
            slot.start()
        elif slot.task is not None and slot.task.held:
            self._scheduler.count("worker: started beside a zombie")
            slot.start()

    def _freeze(self) -> None:
        live = [task for task in self._scheduler.tasks if not task.held]
        if live:
            self._scheduler.count("worker: frozen")
            self._random.choice(live).held = True

    def _thaw(self) -> None:
        frozen = [task for task in self._scheduler.tasks if task.held]
        if frozen:
            self._random.choice(frozen).held = False

    def _give_up_on(self) -> None:
        """The coordinator gives up on a member: a zombie that is frozen, or one that was only slow."""
        members = self._world.group.members
        if members:
            self._scheduler.count("group: gave up on a member")
            self._world.group.leave(self._random.choice(members))

    def _balance(self) -> None:
        self._scheduler.count("group: balanced")
        self._world.group.balance()

    def _jump(self) -> None:
        clock = self._random.choice(self._world.slots).clock
        self._scheduler.count("clock: jumped")
        if self._random.random() < 0.5:
            clock.skew_s += self._random.uniform(-1e6, 1e6)
        else:
            clock.ahead_s += self._random.uniform(0, 100)

    def _fold(self) -> None:
        """A fold is lost, or damaged: it is derived, and nobody may rely on it."""
        folds = [key for key in self._world.bucket.objects if key.startswith("fold/")]
        if folds:
            key = self._random.choice(folds)
            if self._random.random() < 0.5:
                self._scheduler.count("s3: a fold is lost", key)
                self._world.bucket.delete(key)
            else:
                self._scheduler.count("s3: a fold is damaged", key)
                body = bytearray(self._world.bucket.objects[key])
                body[self._random.randrange(len(body))] ^= 1 << self._random.randrange(8)
                self._world.bucket.put(key, bytes(body), only_new=False)

    def _read(self) -> None:
        start_reader(self._world)

    # -- people --------------------------------------------------------------------------------------------------------

    def _compaction(self) -> None:
        self._world.operators.compact()

    def _cleaning(self) -> None:
        self._world.operators.clean()

    def _erasure(self) -> None:
        self._world.operators.erase()

    def _expiry(self) -> None:
        self._world.operators.expire()

    def _end_of_an_operator(self) -> None:
        self._world.operators.end_one()
