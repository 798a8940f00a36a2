"""What a soak calls flat, and that it reads a process as it is."""

import os

import pytest

from chaos.plan import LONG, plan_round
from chaos.soak import Sample, growth_of, sample_of
from headrace.archiver.failpoints import FAILPOINTS


def lived(per_minute: Sample, *, noise: float = 0.0) -> list[Sample]:
    """Half an hour, sampled each 10 s, that changes by so much a minute; the first minutes are a jump of their own."""
    samples = []
    for at_s in range(0, 1800, 10):
        minutes, odd = at_s / 60, (at_s // 10) % 2
        warm = min(1.0, minutes / 5)
        samples.append(
            Sample(
                at_s,
                100 + 100 * warm + per_minute.memory_mib * minutes + noise * odd,
                int(26 + per_minute.files * minutes / 10) + odd,
                int(21 + per_minute.threads * minutes / 10),
            )
        )
    return samples


@pytest.mark.parametrize(
    ("per_minute", "flat"),
    [
        (Sample(0, 0.0, 0, 0), True),
        (Sample(0, 0.3, 0, 0), True),  # the state of a log that grows
        (Sample(0, 2.0, 0, 0), False),
        (Sample(0, 0.0, 5, 0), False),
        (Sample(0, 0.0, 0, 2), False),
    ],
    ids=["steady", "a little", "memory", "files", "threads"],
)
def test_a_slope_is_told_from_noise(per_minute: Sample, flat: bool) -> None:
    """What rises through the whole time is growth; a warm-up, and what goes up and down, are not."""
    growth = growth_of(1, lived(per_minute, noise=15.0), warm_up_s=300)
    assert growth is not None
    assert growth.flat is flat, str(growth)


def test_a_process_is_read_from_proc() -> None:
    """This very process has memory, files and threads; one that does not exist has none."""
    found = sample_of(os.getpid(), 1.0)
    assert found is not None
    assert found.memory_mib > 10
    assert found.files > 2
    assert found.threads >= 1
    assert sample_of(2**22 + 1, 1.0) is None


def test_a_plan_is_a_function_of_its_seed() -> None:
    """The same for the same seed, another for another; and in some rounds each failpoint comes up."""
    assert plan_round(7, 1, 3, LONG, tmp_full=True) == plan_round(7, 1, 3, LONG, tmp_full=True)
    assert plan_round(7, 1, 3, LONG, tmp_full=True) != plan_round(8, 1, 3, LONG, tmp_full=True)
    rounds = [plan_round(7, lane, n, LONG, tmp_full=False) for lane in range(4) for n in range(3)]
    points = {point for each in rounds for step in each.steps if step.kind == "kill-at" for point, _ in step.points}
    assert points == set(FAILPOINTS)
