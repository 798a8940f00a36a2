"""A worker that goes on where another was killed: nothing counted twice, nothing forgotten."""

import random
from typing import Any

import pytest
from monitor_kit import DAY, T0, S, event, every, rule

from headrace.monitor.evaluator import Evaluator
from headrace.monitor.kept_state import PartitionKeeper, RuleKeeper
from headrace.monitor.partial import Partial
from headrace.monitor.partition_panes import PartitionPanes
from headrace.monitor.rules import Rule

RULES = [
    rule("count", window="20s", hop="5s", grace="3s", above=60, for_="5s", clear_for="10s"),
    rule("groups", window="10s", grace="1s", group_by=["method"], above=12, repeat="10s"),
    rule("gone", window="10s", hop="5s", drop={"from_at_least": 5, "before": "30s"}, group_by=["method"]),
    rule("new", window="10s", group_by=["method"], first_seen={"remember": "1h", "hold": "30s"}, learn="20s"),
]


class Kept(dict[str, bytes]):
    """Pieces in memory; `commit` makes what was written last, or a kill takes it back."""

    def __init__(self) -> None:
        super().__init__()
        self.committed: dict[str, bytes] = {}

    def get_bytes(self, key: str) -> bytes | None:
        return self.get(key)

    def set_bytes(self, key: str, value: bytes) -> None:
        assert len(value) < 1_000_000
        self[key] = value

    def delete(self, key: str) -> None:
        del self[key]

    def commit(self) -> None:
        self.committed = dict(self)

    def kill(self) -> None:
        self.clear()
        self.update(self.committed)


class Worker:
    """Reads one partition and decides for one rule, with a checkpoint now and then; may be killed at any moment."""

    def __init__(self, checked: Rule, stream: list[dict[str, Any]]) -> None:
        self.rule, self.stream = checked, stream
        self.source, self.decided = Kept(), Kept()
        self.committed = 0
        self.transitions: list[Any] = []
        self.points: list[Any] = []
        self.start()

    def start(self) -> None:
        self.source.kill()
        self.decided.kill()
        self.place = self.committed
        self.reading = PartitionKeeper(PartitionPanes([self.rule], 0, 1))
        self.reading.load(self.source)
        self.deciding = RuleKeeper(Evaluator(self.rule, origin_us=T0))
        self.deciding.load(self.decided)

    def read(self, count: int) -> None:
        for each in self.stream[self.place : self.place + count]:
            self.reading.panes.add(each, each["occurred_at"] + each.get("lateness", 0))
        self.place = min(len(self.stream), self.place + count)

    def checkpoint(self, *, killed: bool = False) -> None:
        for partial in self.reading.panes.take():
            for body in partial.messages():
                self.deciding.evaluator.merge(Partial.of(body))
        self.reading.save(self.source)
        closed = self.deciding.evaluator.close()
        self.deciding.save(self.decided)
        if killed:
            return self.start()
        self.source.commit()
        self.decided.commit()
        self.committed = self.place
        self.transitions += closed.transitions
        self.points += closed.points
        return None

    def finish(self) -> tuple[list[Any], list[Any]]:
        while self.place < len(self.stream):
            self.read(100)
            self.checkpoint()
        self.deciding.evaluator.idle({0: T0 + 400 * S}, 1)
        self.checkpoint()
        return self.transitions, self.points


@pytest.mark.parametrize("checked", RULES, ids=lambda each: each.name)
def test_kills_at_any_moment_change_nothing(checked: Rule) -> None:
    """Between checkpoints, and in one that was written and not committed: the points and alerts of a quiet run."""
    chosen = random.Random(7)
    times = sorted(chosen.randrange(300 * S) for _ in range(1_500))
    stream = []
    for n, at in enumerate(times):
        if 150 * S < at < 190 * S:
            continue
        lateness = chosen.choice([0, 0, 0, 2 * S, 30 * S])
        kind = "new" if at > 200 * S and n % 7 == 0 else "AB"[n % 2]
        made = event(T0 + max(0, at - lateness), n, method=kind) | {"lateness": lateness}
        stream += [made] * chosen.choice([1, 1, 1, 2])
    quiet = Worker(checked, stream).finish()
    assert all(quiet)
    for seed in range(5):
        order = random.Random(seed)
        worker = Worker(checked, stream)
        for _ in range(60):
            worker.read(order.randrange(40))
            if order.random() < 0.3:
                worker.start()
            else:
                worker.checkpoint(killed=order.random() < 0.3)
        assert worker.finish() == quiet, f"seed {seed}"


def test_pieces_do_not_pile_up() -> None:
    """What is kept is bounded by windows and grace, not by how long the worker runs."""
    worker = Worker(RULES[2], [event(T0 + n * S, n, method="A") for n in range(4_000)])
    sizes = []
    while worker.place < 4_000:
        worker.read(50)
        worker.checkpoint()
        sizes.append((len(worker.source), len(worker.decided)))
    assert max(sizes[20:]) <= max(sizes[:20])


def test_another_definition_begins_anew() -> None:
    """Kept hops of other windows are not mixed with the new ones."""
    pieces = Kept()
    keeper = RuleKeeper(Evaluator(RULES[0], origin_us=T0))
    keeper.save(pieces)
    assert RuleKeeper(Evaluator(RULES[0])).load(pieces)
    assert not RuleKeeper(Evaluator(rule("count", window="40s", hop="5s", above=60))).load(pieces)


def test_what_was_learned_from_the_archive_is_kept() -> None:
    """A baseline that another evaluator made is there after a restart, to the digit."""
    checked = rule("usual", type="pin", window="5m", change={"days_min": 2})
    teacher = Evaluator(checked, origin_us=T0)
    panes = PartitionPanes([checked], 0, 1)
    for each in every(60, 0, 3 * 86_400):
        panes.add(each, each["occurred_at"])
    for partial in panes.take():
        teacher.merge(partial)
    teacher.idle({0: T0 + 3 * DAY}, 1)
    teacher.close()
    pupil = Evaluator(checked)
    pupil.know(teacher)
    pieces = Kept()
    RuleKeeper(pupil).save(pieces)
    later = Evaluator(checked)
    assert RuleKeeper(later).load(pieces)
    ends = [T0 + 3 * DAY + hour * 3600 * S + 300 * S for hour in range(24)]
    bands = [teacher.baselines[()].expected(end) for end in ends]
    assert [later.baselines[()].expected(end) for end in ends] == bands
    assert all(bands)
