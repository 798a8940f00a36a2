"""Drives headrace's own command line in the demo: kills a worker of the archiver, watches lag, replays."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .load import Load
from .screen import Screen, bar
from .stage import BIN, POLL_S, READY_S, Failed, Program, children, wait_for

DRAIN_S = 120.0
COMMAND_S = 120.0


def replayed(topic: str) -> str:
    """Return the name of the topic that `topic` is replayed into."""
    return f"{topic}_replayed"


def headrace(env: Mapping[str, str], *words: str, fine: Sequence[int] = (0,)) -> str:
    """Run `headrace WORDS...` and return what it printed. Raises Failed with its complaint for another exit code."""
    done = subprocess.run(
        [str(BIN / "headrace"), *words], env=dict(env), capture_output=True, text=True, timeout=COMMAND_S, check=False
    )
    if done.returncode not in fine:
        raise Failed(f"`headrace {' '.join(words)}` ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def workers(program: Program, count: int) -> list[int]:
    """Return the process ids of a program's workers once there are `count` of them."""

    def complete() -> bool:
        program.check()
        return len(children(program.pid)) == count

    wait_for(complete, READY_S, f"{count} workers of {program.name}; see {program.log}")
    return children(program.pid)


def wait_until_reading(archiver: Program, count: int) -> None:
    """Return once each of the archiver's `count` workers has been given partitions and reads them."""

    def reading() -> bool:
        archiver.check()
        return all(re.search(rf"worker {worker} .*: reading ", archiver.text()) for worker in range(count))

    wait_for(reading, READY_S, f"partitions for each of {count} archiver workers; see {archiver.log}")


class Victim:
    """Kills one worker of the archiver with SIGKILL when the time has come, and sees that another takes its place."""

    def __init__(self, archiver: Program, count: int) -> None:
        self.killed: int | None = None
        self.successor: int | None = None
        self._archiver = archiver
        self._count = count
        self._killed_at = 0.0
        self._away_s = 0.0
        self._others: set[int] = set()

    def tend(self, share: float) -> None:
        """Do what is due when `share` (0 to 1) of the load is through. It kills in the middle, after first commits."""
        self._archiver.check()
        if self.killed is None:
            if (share >= 0.5 and ": commit " in self._archiver.text()) or share >= 1.0:
                self._kill()
        elif self.successor is None:
            new = set(children(self._archiver.pid)) - self._others - {self.killed}
            if new:
                self.successor = new.pop()
                self._away_s = time.monotonic() - self._killed_at

    def settle(self, screen: Screen) -> None:
        """Wait for the successor, and say so if that is news. Raises Failed when there is none."""
        known = self.successor
        wait_for(self._arrived, READY_S, f"a worker in place of the killed one; see {self._archiver.log}")
        if known is None:
            screen.say(self.story())

    def story(self) -> str:
        """Return what happened so far, for people."""
        if self.killed is None:
            return "both archiver workers are at work"
        if self.successor is None:
            return f"kill -9 {self.killed}: one archiver worker is gone"
        return f"kill -9 {self.killed}: the supervisor started {self.successor} in its place after {self._away_s:.1f} s"

    def _arrived(self) -> bool:
        self.tend(1.0)
        return self.successor is not None

    def _kill(self) -> None:
        first, *others = workers(self._archiver, self._count)
        self._others = set(others)
        os.kill(first, signal.SIGKILL)
        self.killed = first
        self._killed_at = time.monotonic()


def load_lines(driven: Load, victim: Victim) -> list[str]:
    """Describe the load as it is now, in a few lines."""
    answers = ", ".join(f"{status}: {count}" for status, count in sorted(driven.answers.items()))
    events = ", ".join(f"{topic} {count}" for topic, count in sorted(driven.emitted.items()))
    return [
        f"{bar(driven.sent, driven.total)} {driven.sent} of {driven.total} requests ({answers})",
        f"events: {events}",
        victim.story(),
    ]


@dataclass(frozen=True, slots=True)
class TopicLag:
    """One topic in `headrace lag --json`, added up over its partitions: records in Kafka, and records behind."""

    logged: int
    behind: int


def lag(env: Mapping[str, str], topics: Iterable[str]) -> dict[str, TopicLag]:
    """Ask `headrace lag --json`."""
    chosen = [word for topic in topics for word in ("--topic", topic)]
    report = json.loads(headrace(env, "lag", "--json", *chosen))
    found: dict[str, TopicLag] = {}
    for one in report["partitions"]:
        before = found.get(one["topic"], TopicLag(0, 0))
        logged = int(one["log_end"]) - int(one["log_start"])
        found[one["topic"]] = TopicLag(before.logged + logged, before.behind + int(one["records_behind"]))
    return found


def wait_for_no_lag(screen: Screen, env: Mapping[str, str], topics: Sequence[str], emitted: Mapping[str, int]) -> None:
    """Show the lag of each topic until Kafka has all that was emitted and S3 has all that Kafka has."""
    deadline = time.monotonic() + DRAIN_S
    with screen.moving() as moving:
        while True:
            now = lag(env, topics)
            moving.update(_lag_lines(now, topics), f"{sum(each.behind for each in now.values())} records behind")
            if all(topic in now and now[topic].logged >= emitted.get(topic, 0) for topic in topics) and not any(
                each.behind for each in now.values()
            ):
                return
            if time.monotonic() > deadline:
                raise Failed(f"the archive is still behind after {DRAIN_S:.0f} s: {now}")
            time.sleep(POLL_S)


def _lag_lines(now: Mapping[str, TopicLag], topics: Iterable[str]) -> list[str]:
    lines = []
    for topic in topics:
        each = now.get(topic, TopicLag(0, 0))
        share = bar(each.logged - each.behind, each.logged)
        lines.append(f"{topic:<10} {share} {each.behind:>7} of {each.logged} records behind")
    return lines


def replay(screen: Screen, env: Mapping[str, str], topic: str) -> None:
    """Replay a whole topic into its copy, and say how it went."""
    began = time.monotonic()
    headrace(env, "replay", topic, "--into", f"kafka:{replayed(topic)}")
    screen.say(f"headrace replay {topic} --into kafka:{replayed(topic)}   {time.monotonic() - began:.1f} s")
