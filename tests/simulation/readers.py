"""Replays in the simulation: the production reader on a snapshot while workers go on, and on everything at the end."""

import re
from typing import TYPE_CHECKING

from headrace.archiver.commit_log import read_state
from headrace.archiver.log_state import LogState
from headrace.archiver.object_store import ObjectStore, StoreError
from headrace.replay.errors import ArchiveDamaged, NothingChecked, RangeMissing
from headrace.replay.plan import make_plan
from headrace.replay.reader import Reading
from headrace.replay.selection import Selection

from .history import same_at
from .store import SimStore
from .topic_log import TopicLog

if TYPE_CHECKING:
    from .world import World

NEWEST = 0.7
REMOVED = re.compile(r"entry (\d+) \((?:rewrite|erase|expire), [^)]*\) removed (\S+);")


def start_reader(world: "World", topic: str | None = None) -> None:
    """Start a reader of a snapshot of a topic that has a log, mostly of the newest one. `topic` None: of any."""
    topics = [each for each, log in world.checker.logs.items() if log.seq and topic in (None, each)]
    if not topics:
        return
    topic = world.scheduler.random.choice(topics)
    world.scheduler.count("reader: started")
    log = world.checker.logs[topic]
    log_seq = log.seq if world.scheduler.random.random() < NEWEST else world.scheduler.random.randint(1, log.seq)

    def life() -> None:
        store = SimStore(world.bucket)
        try:
            state = read_state(store, topic, at=log_seq, fold_entries=world.profile.fold_entries)
            for of, end in log.ends[log_seq - 1].items():
                problem = replay_problem(world, store, state, log, of, end=end)
                if problem is not None:
                    world.checker.fail("I9", f"{topic} at {log_seq}: {problem}")
        except RangeMissing as error:
            _hold_to_its_word(world, log, log_seq, str(error))
        except StoreError as error:
            world.scheduler.count(f"reader: ended by {type(error).__name__}")
        except Exception as error:  # noqa: BLE001 - whatever else ends a reader is a bug, with its seed
            world.checker.fail("replay", f"the reader of {topic} ended with {type(error).__name__}: {error}")

    world.scheduler.spawn("reader", life)


def _hold_to_its_word(world: "World", log: TopicLog, snapshot: int, said: str) -> None:
    """A reader gave up on a snapshot: it must name the later entry that took one of its files out (I9)."""
    named = REMOVED.search(said)
    if named is None or log.removed.get(named[2]) != int(named[1]) or int(named[1]) <= snapshot:
        world.checker.fail("I9", f"the snapshot at {snapshot} cannot be read: {said}")
    world.scheduler.count("reader: met a rewrite", said)


def replay_problem(
    world: "World", store: ObjectStore, state: LogState, log: TopicLog, of: tuple[str, int, int], *, end: int
) -> str | None:
    """Replay one identity up to `end`, and say how that differs from what Kafka had, or None. Raises RangeMissing.

    What was erased or expired by then is missing, and the plan says how many records that are.
    """
    identity, gone = log.identities[of], {o for o, seq in log.gone.get(of, {}).items() if seq <= state.seq}
    kafka = world.kafka.incarnations[identity.topic_id].partitions[identity.partition]
    expected = sorted(offset for offset in identity.rows.keys() - gone if offset < end)
    where = f"{identity.topic_id}/{identity.partition} lineage {identity.lineage}"
    selection = Selection(topic_id=identity.topic_id, lineage=identity.lineage, partitions=(identity.partition,))
    found: list[int] = []
    plan = make_plan(state, selection)
    told = sum(each.rows for covered in plan.ranges for each in covered.removals)
    if told != len(gone):
        return f"{where}: says that {told} rows went, and {len(gone)} did"
    try:
        for chunk in Reading(store, plan, fetch_threads=0).chunks():
            columns = [
                chunk.records.column(name).to_pylist() for name in ("offset", "timestamp", "key", "value", "headers")
            ]
            for offset, timestamp, key, value, headers in zip(*columns, strict=True):
                found.append(offset)
                pairs = tuple((each["name"], each["value"]) for each in headers)
                row = (identity.partition, offset, timestamp, key, value, pairs)
                if row != identity.rows.get(offset) and not (
                    offset in identity.rows and any(same_at(branch, offset, row) for branch in kafka.branches)
                ):
                    return f"{where}: replays {row}, which Kafka never had there"
    except NothingChecked:
        pass
    except ArchiveDamaged as error:
        return f"{where}: {error}"
    return None if found == expected else f"{where}: replays offsets {found}, archived are {expected}"
