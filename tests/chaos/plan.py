"""What is broken, in which order and for how long: a pure function of the seed.

A run is made of rounds, several at once; a round has a topic, a group and an archiver of its own, a list of steps that
are done one after the other, and S3 faults that come meanwhile. Broker and disk faults hit all rounds. The plan is the
same for the same seed. When exactly a fault meets the archiver, and so what it interrupts, is up to the machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from chaos.s3_proxy import FAULTS, S3Fault
from headrace.archiver.failpoints import FAILPOINTS

SESSION_TIMEOUT_S = 15.0  # the archiver's; a pause is counted when it was longer
WORKERS = 2


@dataclass(frozen=True)
class Step:
    """One thing done to an archiver or its topic; what `kind` means says lane.py, method by method."""

    kind: str
    worker: int = 0
    points: tuple[tuple[str, int], ...] = ()  # of worker 0, 1, ...: failpoint and hit
    deaths: int = 0  # at these points, one right after the other, before something else is done
    seconds: float = 0.0
    stopped: bool = False


@dataclass(frozen=True)
class Round:
    number: int
    partitions: int
    steps: tuple[Step, ...]
    s3: tuple[S3Fault, ...]  # one after the other, and begun anew at the end


@dataclass(frozen=True)
class Intensity:
    """How much a round holds. `s3_between`: how many requests to S3 are left whole between two faults, on average."""

    failpoints: int
    deaths: int
    kills: int
    crashes: int
    pauses: int
    structural: int  # re-creations, and as many overtakes
    s3_between: int


LONG = Intensity(failpoints=5, deaths=10, kills=2, crashes=1, pauses=6, structural=2, s3_between=12)
SHORT = Intensity(failpoints=2, deaths=4, kills=1, crashes=1, pauses=1, structural=1, s3_between=8)


def plan_round(seed: int, lane: int, number: int, intensity: Intensity, *, tmp_full: bool) -> Round:
    """Return a lane's round. `tmp_full`: this lane's archiver writes temporary files, so its disk can be full."""
    rng = Random(f"{seed}/{lane}/{number}")
    steps: list[Step] = []
    # Each point comes up in turn, whatever the seed.
    first = (number * intensity.failpoints * WORKERS + lane * 4) % len(FAILPOINTS)
    for at in range(intensity.failpoints):
        points = [FAILPOINTS[(first + at * WORKERS + worker) % len(FAILPOINTS)] for worker in range(WORKERS)]
        # Cleaning follows an assignment only.
        hits = [(point, 1 if point == "after-cleaning" else rng.randint(1, 3)) for point in points]
        steps.append(Step("kill-at", points=tuple(hits), deaths=intensity.deaths))
    steps += [Step("kill", seconds=rng.uniform(0, 3), stopped=rng.random() < 0.4) for _ in range(intensity.kills)]
    for at in range(intensity.crashes):
        kind = ("crash", "kill-supervisor")[(at + lane + number) % 2]
        steps.append(Step(kind, seconds=rng.uniform(0.5, 4)))
    for at in range(intensity.pauses):
        if (at + lane + number) % 2:
            point = rng.choice(("files-uploaded", "before-commit", "after-decode", "one-file-uploaded"))
            stops = (("after-fetch", 1_000_000), (point, 1))  # the first never
            steps.append(Step("pause-at", 1, stops, seconds=SESSION_TIMEOUT_S + rng.uniform(1, 3)))
        else:
            seconds = SESSION_TIMEOUT_S + rng.uniform(1, 4)
            steps.append(Step("pause", seconds=seconds))
    for at in range(intensity.structural):
        stopped = bool((at + lane + number) % 2)
        steps.append(Step("recreate", stopped=stopped, seconds=rng.uniform(0.5, 2)))
        steps.append(Step("overtake", stopped=not stopped, seconds=rng.uniform(0.5, 2)))
    if tmp_full:
        steps.append(Step("tmp-full", seconds=rng.uniform(1, 4)))
    rng.shuffle(steps)
    return Round(number, rng.randint(2, 3), tuple(steps), tuple(_s3_faults(rng, intensity.s3_between)))


def _s3_faults(rng: Random, between: int) -> Iterator[S3Fault]:
    """Every fault for every method that it fits, writes twice as often as reads, in a random order."""
    kinds = [(name, method) for name, (methods, _) in FAULTS.items() for method in methods.split()]
    kinds += [(name, method) for name, method in kinds if method == "PUT"]
    rng.shuffle(kinds)
    for name, method in kinds:
        times = rng.randint(1, 7) if name == "503" else 1
        yield S3Fault(name, method, rng.randint(1, 2 * between), round(rng.uniform(0.5, 6.0), 2), times)


def broker_faults(seed: int, pause_s: Sequence[float]) -> Iterator[tuple[float, str]]:
    """Yield for ever how long to wait, and whether the broker is killed or stopped in the proper way."""
    rng = Random(f"{seed}/broker")
    while True:
        yield rng.uniform(*pause_s), rng.choice(("kill", "restart"))


def disk_faults(seed: int, pause_s: Sequence[float]) -> Iterator[tuple[float, float]]:
    """Yield for ever how long to wait, and for how long the store's disk is full then."""
    rng = Random(f"{seed}/disk")
    while True:
        yield rng.uniform(*pause_s), rng.uniform(0.5, 4)
