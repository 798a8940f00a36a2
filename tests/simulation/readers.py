"""Replays in the simulation: the production reader on a snapshot while workers go on, and on everything at the end."""

from typing import TYPE_CHECKING

from headrace.archiver.commit_log import read_state
from headrace.archiver.log_state import LogState
from headrace.archiver.object_store import ObjectStore, StoreError
from headrace.replay.errors import ArchiveDamaged, NothingChecked, RangeMissing
from headrace.replay.plan import make_plan
from headrace.replay.reader import Reading
from headrace.replay.selection import Selection

from .history import Identity, same_at
from .store import SimStore

if TYPE_CHECKING:
    from .world import World


def start_reader(world: "World") -> None:
    """Start a reader of the newest snapshot of a topic that has a log."""
    topics = [topic for topic, log in world.checker.logs.items() if log.seq]
    if not topics:
        return
    topic = world.scheduler.random.choice(topics)
    world.scheduler.count("reader: started")
    log = world.checker.logs[topic]
    known = {key: (each.next, dict(each.rows)) for key, each in log.identities.items()}

    def life() -> None:
        store = SimStore(world.bucket)
        try:
            state = read_state(store, topic, at=log_seq, fold_entries=world.profile.fold_entries)
            for (topic_id, partition, lineage), (end, _) in known.items():
                identity = log.identities[topic_id, partition, lineage]
                problem = replay_problem(world, store, state, identity, end)
                if problem is not None:
                    world.checker.fail("I9", f"{topic} at {log_seq}: {problem}")
        except StoreError as error:
            world.scheduler.count(f"reader: ended by {type(error).__name__}")
        except Exception as error:  # noqa: BLE001 - whatever else ends a reader is a bug, with its seed
            world.checker.fail("replay", f"the reader of {topic} ended with {type(error).__name__}: {error}")

    log_seq = log.seq
    world.scheduler.spawn("reader", life)


def replay_problem(world: "World", store: ObjectStore, state: LogState, identity: Identity, end: int) -> str | None:
    """Replay one identity up to `end`, and say how that differs from what Kafka had, or None."""
    kafka = world.kafka.incarnations[identity.topic_id].partitions[identity.partition]
    expected = sorted(offset for offset in identity.rows if offset < end)
    where = f"{identity.topic_id}/{identity.partition} lineage {identity.lineage}"
    selection = Selection(topic_id=identity.topic_id, lineage=identity.lineage, partitions=(identity.partition,))
    found: list[int] = []
    try:
        for chunk in Reading(store, make_plan(state, selection), fetch_threads=0).chunks():
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
    except (ArchiveDamaged, RangeMissing) as error:
        return f"{where}: {error}"
    return None if found == expected else f"{where}: replays offsets {found}, archived are {expected}"
