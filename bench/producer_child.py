"""A process of its own for each thing that is measured, as apps are; producer.py starts it and reads what it prints."""

import itertools
import json
import resource
import sys
import time
from pathlib import Path

from producer_subjects import EmitAlone, Headrace, Subject, make

BURST = 10  # events one after the other, as a request makes them; then the app does something else
PAUSE_S = 0.001
_STEPS = {"encoding alone": "encoding alone", "bare loop": "bare loop", "logging to a file": "logging to a file"}


def main() -> None:
    """Do what the command line says."""
    what, kafka, folder, *more = sys.argv[1:]
    if what == "steps":
        steps(kafka, Path(folder), int(more[0]), int(more[1]))
    elif what == "latency":
        latency(make(more[0], kafka, Path(folder)))
    else:
        throughput(make(more[0], kafka, Path(folder)), int(more[1]))


def steps(kafka: str, folder: Path, rounds: int, count: int) -> None:
    """Print the call times of all subjects (ns, sorted), round by round, one after the other in one process."""
    subjects: dict[str, Subject] = {name: make(name, kafka, folder) for name in _STEPS}
    for name, spool in (("on disk", folder / "spool"), ("in memory", None)):
        made = Headrace(kafka, spool)
        subjects[f"event made and emitted, {name}"] = made
        subjects[f"emit() alone, {name}"] = EmitAlone(made)
    numbers = itertools.count()
    for subject in subjects.values():
        times(subject, 500, numbers)  # connections, first segments, caches
        subject.done()
    names = list(subjects)
    for turn in range(rounds):
        order = names[turn % len(names) :] + names[: turn % len(names)]
        found = {}
        for name in order:
            found[name] = times(subjects[name], count, numbers)
            subjects[name].done()
        print(json.dumps(found), flush=True)
    for subject in subjects.values():
        subject.close()


def times(subject: Subject, count: int, numbers: "itertools.count[int]") -> list[int]:
    """Return the nanoseconds of each of `count` calls, sorted. Called in bursts with pauses between."""
    found = []
    log, clock = subject.log, time.perf_counter_ns
    for index in range(count):
        number = next(numbers)
        begun = clock()
        log(number)
        found.append(clock() - begun)
        if index % BURST == 0:
            time.sleep(PAUSE_S)
    return sorted(found)


def latency(subject: Subject) -> None:
    """Take orders from stdin: `measure COUNT`, `done`; answer each with a line."""
    numbers = itertools.count()
    times(subject, 500, numbers)
    for line in sys.stdin:
        order, _, count = line.strip().partition(" ")
        if order == "done":
            subject.done()
            print("{}", flush=True)
        else:
            print(json.dumps(times(subject, int(count), numbers)), flush=True)
    subject.close()


def throughput(subject: Subject, count: int) -> None:
    """Log as fast as it goes; the clock stops when all is delivered. CPU is of all threads of this process."""
    for number in range(200):
        subject.log(number)
    subject.done()
    log = subject.log
    begun, used = time.perf_counter(), _cpu_s()
    for number in range(count):
        log(number)
    taken, taken_cpu = time.perf_counter() - begun, _cpu_s() - used
    subject.done()
    whole = {"seconds": time.perf_counter() - begun, "cpu_s": _cpu_s() - used}
    print(json.dumps(whole | {"app_seconds": taken, "app_cpu_s": taken_cpu}), flush=True)
    subject.close()


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
