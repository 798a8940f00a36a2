"""The same world as a Hypothesis state machine: it finds few things that seeds don't, and shows them in few steps.

Each rule is one thing that happens to the world, or one process going on for some calls; faults of the store are asked
for one by one. When a rule sequence breaks an invariant, Hypothesis cuts it down to the steps that are needed.
"""

import logging
import os
from contextlib import ExitStack

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headrace.archiver.limits import Limits
from headrace.archiver.sealing import SealRules
from simulation.codec import light
from simulation.drain import Drain
from simulation.profile import STORE_FAULTS, Profile
from simulation.world import World

EXAMPLES = int(os.environ.get("HEADRACE_EXAMPLES", "40"))
CALLS = st.sampled_from([1, 2, 4, 8, 16])
HAPPENINGS = st.sampled_from(
    [
        *("produce", "transaction", "end transaction", "leader", "truncate", "retention", "compact", "recreate"),
        *("grow", "crash", "stop", "start", "freeze", "thaw", "give up on", "balance", "jump", "read", "fold"),
        *("compaction", "cleaning", "end of an operator"),
    ]
)


class ArchiverMachine(RuleBasedStateMachine):
    """A world whose scheduler is Hypothesis. What a rule draws inside comes from the world's own seed."""

    world: World
    stack: ExitStack

    @initialize(
        seed=st.integers(0, 1 << 16),
        partitions=st.integers(1, 2),
        workers=st.integers(1, 2),
        rows=st.sampled_from([3, 10]),
        static=st.booleans(),
    )
    def begin(self, seed: int, partitions: int, workers: int, rows: int, static: bool) -> None:
        """Make a calm world."""
        self.before = logging.getLogger("headrace").level
        logging.getLogger("headrace").setLevel("CRITICAL")
        self.stack = ExitStack()
        self.stack.enter_context(light())
        self.world = World(seed, profile(partitions, workers, rows, static))

    @rule(calls=CALLS)
    def process_goes_on(self, calls: int) -> None:
        """One process that can run makes some calls."""
        self.world.run_one(calls)

    @rule(what=HAPPENINGS)
    def something_happens(self, what: str) -> None:
        """A producer, a broker, an operator or a machine does something."""
        self.world.events.do(what)

    @rule(kind=st.sampled_from(sorted(STORE_FAULTS)), calls=CALLS)
    def store_fails(self, kind: str, calls: int) -> None:
        """The requests of the next calls of a process fail in one way."""
        self.world.bucket.faults = {kind: 1.0}
        self.world.run_one(calls)
        self.world.bucket.faults = {}

    @precondition(lambda self: self.world.bucket.late)
    @rule()
    def late_requests_arrive(self) -> None:
        """What was on its way gets there."""
        self.world.bucket.apply_late(everything=True)

    @invariant()
    def holds(self) -> None:
        """I1-I11, as far as they are about what happened so far."""
        if hasattr(self, "world"):
            self.world.checker.raise_found()

    def teardown(self) -> None:
        """Heal, drain, compare."""
        if not hasattr(self, "world"):
            return
        try:
            if self.world.checker.found is None:
                Drain(self.world).run()
        finally:
            self.world.end()
            self.stack.close()
            logging.getLogger("headrace").setLevel(self.before)


def profile(partitions: int, workers: int, rows: int, static: bool) -> Profile:
    """A profile without faults of its own."""
    return Profile(
        full_codec=False,
        topics=1,
        partitions=partitions,
        workers=workers,
        static=static,
        idle_flush=True,
        limits=Limits(flush_rows_max=rows, flush_interval_s=2.0),
        steps=0,
        stale=0.3,
        fold_entries=4,
        sealing=SealRules(lateness_s=600.0, interval_s=1.0),
        wall_days=1.5,
        world=0.0,
        faults={},
        events={"produce": 1.0},
    )


ArchiverMachine.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestArchiverMachine = ArchiverMachine.TestCase
