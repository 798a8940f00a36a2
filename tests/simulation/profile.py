"""What one seed is: how large, which faults, how often. Each seed has some faults and lacks others, at its own rates.

A schedule in which everything fails at once explores little: nothing gets far. So each kind is in about half of them.
"""

from dataclasses import dataclass, field
from random import Random

from headrace.archiver.limits import Limits
from headrace.archiver.sealing import SealRules

FULL_CODEC_EVERY = 25

STORE_FAULTS = {
    "put lost": 0.06,
    "put applied, unanswered": 0.08,
    "put late": 0.06,
    "put 503": 0.06,
    "put 500 applied": 0.05,
    "put 409": 0.06,
    "get 503": 0.04,
    "get timeout": 0.03,
    "get cut": 0.04,
    "list 503": 0.05,
    "delete lost": 0.1,
    "delete late": 0.1,
    "delete unanswered": 0.1,
}

EVENTS = {
    "produce": 30.0,
    "transaction": 4.0,
    "end transaction": 6.0,
    "leader": 1.5,
    "truncate": 1.0,
    "retention": 2.0,
    "compact": 1.5,
    "recreate": 0.6,
    "delete": 0.4,
    "create": 3.0,
    "grow": 0.5,
    "kafka down": 0.6,
    "store down": 0.8,
    "crash": 2.5,
    "stop": 0.7,
    "start": 6.0,
    "freeze": 2.0,
    "thaw": 4.0,
    "give up on": 2.0,
    "balance": 1.5,
    "jump": 1.0,
    "read": 0.8,
    "fold": 1.0,
    "compaction": 1.5,
    "cleaning": 0.8,
    "end of an operator": 1.5,
    "erasure": 1.5,
    "expiry": 0.4,
}
ALWAYS = {"produce", "end transaction", "start", "thaw", "create"}


@dataclass(frozen=True)
class Profile:
    """The choices of one seed. `steps`: how often the hub acts before everything heals."""

    full_codec: bool
    topics: int
    partitions: int
    workers: int
    static: bool
    idle_flush: bool
    limits: Limits
    steps: int
    stale: float
    fold_entries: int
    sealing: SealRules | None
    wall_days: float  # where the wall clocks stand: the two dates of the records end at 1 and 2
    world: float  # how often the hub does something to the world instead of running a worker
    faults: dict[str, float] = field(default_factory=dict)
    events: dict[str, float] = field(default_factory=dict)


def profile_of(seed: int, random: Random) -> Profile:
    """Choose what a seed is like."""
    chaos = random.choice((0.0, 0.5, 1.0, 1.0, 2.0))
    return Profile(
        full_codec=seed % FULL_CODEC_EVERY == 0,
        topics=1 if random.random() < 0.85 else 2,
        partitions=random.choice((1, 1, 2, 2, 3)),
        workers=random.choice((1, 2, 2, 3)),
        static=random.random() < 0.5,
        idle_flush=random.random() < 0.5,
        limits=Limits(
            flush_rows_max=random.choice((4, 8, 15)),
            flush_bytes_max=1 << 20,
            flush_interval_s=random.choice((2.0, 5.0, 20.0)),
            commit_bytes_max=random.choice((1200, 4 << 20, 4 << 20)),
        ),
        steps=random.randint(80, 260),
        stale=random.choice((0.0, 0.2, 0.6)),
        fold_entries=random.choice((1000, 1000, 4)),
        sealing=SealRules(lateness_s=600.0, interval_s=random.choice((1.0, 10.0))) if random.random() < 0.4 else None,
        wall_days=random.choice((0.9, 1.5, 3.0)),
        world=random.choice((0.1, 0.2, 0.3)),
        faults={kind: rate * chaos for kind, rate in STORE_FAULTS.items() if random.random() < 0.6},
        events={kind: weight for kind, weight in EVENTS.items() if kind in ALWAYS or random.random() < 0.6},
    )
