"""Runs the simulated processes one at a time, each in a greenlet, switching at their calls into the simulated world.

A process is ordinary synchronous code. Whenever it calls Kafka, the store or the clock it comes back to the hub, and
the hub decides who goes on and when. So a worker may stand for an hour between any two of its calls, and be killed
there. There is no thread, no real clock, and one source of randomness.
"""

from collections import Counter, deque
from collections.abc import Callable
from random import Random

from greenlet import GreenletExit, getcurrent, greenlet

TRACE_LINES = 400


class Task:
    """One simulated process. `wake_s`: it is not run before; `held`: it is not run at all (a stopped process)."""

    def __init__(self, name: str, body: Callable[[], None]) -> None:
        self.name = name
        self.wake_s = 0.0
        self.held = False
        self.killed = False
        self.greenlet = greenlet(body)

    @property
    def dead(self) -> bool:
        return self.killed or self.greenlet.dead


class Scheduler:
    """Time, chance and the tasks. `trace` keeps the last things that happened, for a failing seed."""

    def __init__(self, seed: int, *, trace_lines: int = TRACE_LINES) -> None:
        self.random = Random(seed)
        self.now_s = 1000.0
        self.tasks: list[Task] = []
        self.counts: Counter[str] = Counter()
        self.trace: deque[str] = deque(maxlen=trace_lines)
        self._running: Task | None = None
        self._hub = getcurrent()

    def note(self, text: str) -> None:
        """Add a line to the trace."""
        task = self._running
        self.trace.append(f"{self.now_s:9.2f} {task.name if task else 'world':8} {text}")

    def count(self, what: str, detail: object = "") -> None:
        """Count something that happened, and trace it."""
        self.counts[what] += 1
        self.note(f"{what} {detail}")

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def spawn(self, name: str, body: Callable[[], None]) -> Task:
        """Add a process; it first runs when the hub says so."""
        task = Task(name, body)
        self.tasks.append(task)
        return task

    def run(self, task: Task) -> None:
        """Let a task go on until its next call into the world. Raises what ended it, if it ended with an error."""
        self._running = task
        try:
            task.greenlet.switch()
        finally:
            self._running = None
        if task.dead:
            self.tasks.remove(task)

    def kill(self, task: Task) -> None:
        """End a task where it stands; like a SIGKILL, nothing of it runs any more that reaches the world."""
        task.killed = True
        if task in self.tasks:
            self.tasks.remove(task)
        if task.greenlet:
            before, self._running = self._running, task  # its clean-up is refused the world, too
            try:
                task.greenlet.throw(GreenletExit)
            finally:
                self._running = before

    def die(self) -> None:
        """Called by a task: end here, as kill() would end it."""
        if self._running is not None:
            self._running.killed = True
            raise GreenletExit

    def ready(self) -> list[Task]:
        """Return the tasks that could run now."""
        now = self.now_s
        return [task for task in self.tasks if not task.held and task.wake_s <= now]

    def advance(self, seconds: float) -> None:
        self.now_s += seconds

    def advance_to_next(self) -> bool:
        """Move time to when the next sleeping task wakes; return whether there is one."""
        wakes = [task.wake_s for task in self.tasks if not task.held]
        if not wakes:
            return False
        self.now_s = max(self.now_s, min(wakes))
        return True

    # -- called by tasks -----------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Come back to the hub. Every call into the world begins and ends with this."""
        task = self._running
        if task is None:
            return  # the hub itself looks at something
        if task.killed:
            raise GreenletExit
        self._hub.switch()
        if task.killed:
            raise GreenletExit

    def sleep(self, seconds: float) -> None:
        """Come back to the hub, and run again after some time."""
        task = self._running
        if task is not None:
            task.wake_s = self.now_s + seconds
        self.step()

    def stand_still(self) -> None:
        """Called by a task: stop here until somebody wakes it."""
        if self._running is not None:
            self._running.held = True
            self.step()
