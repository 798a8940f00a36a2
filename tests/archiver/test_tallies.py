"""What workers tell of themselves, and how the supervisor adds it up."""

import json
import os
from collections.abc import Iterator

import pytest
from lag_facts import FixedClock

from headrace.archiver.log_entries import Entry, FileEntry, Gap, Span
from headrace.archiver.metric import Metric
from headrace.archiver.tallies import ARCHIVER_METRICS, Tallies
from headrace.archiver.tally import Tally
from headrace.archiver.tally_pipe import TallyPipe


def value(tallies: Tallies, name: str) -> dict[tuple[str, ...], float]:
    return next(metric for metric in ARCHIVER_METRICS if metric.name == f"headrace_archiver_{name}").read(tallies)


def line(**counters: float) -> bytes:
    told = {"at": "2026-11-23T00:00:00Z", "counters": [[n, ["t"], v] for n, v in counters.items()], "gauges": []}
    return json.dumps(told).encode() + b"\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            continue  # the code under test closed it


def commit(topic: str = "t") -> Entry:
    spans = (
        Span(0, 0, 0, 10, 7, 1, -1, -1, (Gap(8, 10, "retention", {}),)),
        Span(1, 0, 0, 5, 5, 0, -1, -1, ()),
    )
    files = (
        FileEntry("data", "k", "2026-11-23", 100, "", 12, 2, ()),
        FileEntry("quarantine", "q", "", 50, "", 1, 0, ()),
    )
    return Entry("commit", topic, "c", "e", "w", "2026-11-23T00:00:00Z", topic_id="i", spans=spans, files=files)


def test_a_commit_is_counted() -> None:
    """Rows, quarantined, late, files, bytes, and offsets of gaps by reason."""
    tally = Tally(FixedClock())
    tally.committed(commit())
    tally.committed(commit())
    assert {name: number for (name, _), number in tally.counters.items()} == {
        "commits": 2, "records": 24, "quarantined": 2, "late": 4, "files": 4, "bytes": 300, "gap_offsets": 4,
    }  # fmt: skip
    assert ("gap_offsets", ("t", "retention")) in tally.counters


def test_workers_add_up_over_their_processes(pipe: tuple[int, int]) -> None:
    """A worker that was killed and started again keeps what it had counted; two workers are one sum."""
    tallies = Tallies()
    tallies.opened(0, pipe[0])
    os.write(pipe[1], line(records=10) + line(records=30))
    tallies.read()
    second_r, second_w = os.pipe()
    os.write(pipe[1], line(records=35) + b'{"at": "2026-11-2')  # its last words, and half a line at its death
    tallies.opened(0, second_r)
    other_r, other_w = os.pipe()
    tallies.opened(1, other_r)
    os.write(second_w, line(records=5))
    os.write(other_w, line(records=100))
    tallies.read()
    assert value(tallies, "records") == {("t",): 140.0}
    assert value(tallies, "worker_restarts") == {("0",): 1.0, ("1",): 0.0}
    assert value(tallies, "worker_up") == {("0",): 1.0, ("1",): 1.0}
    tallies.close()
    assert value(tallies, "worker_up") == {("0",): 0.0, ("1",): 0.0}
    assert value(tallies, "records") == {("t",): 140.0}
    for descriptor in (second_w, other_w):
        os.close(descriptor)


def test_a_worker_never_waits_for_who_reads(pipe: tuple[int, int]) -> None:
    """Nobody reads: the pipe fills, and writing returns all the same; when somebody reads, whole lines come."""
    told = TallyPipe(pipe[1])
    long = line(**{f"records{n}": n for n in range(3000)})
    for _ in range(50):
        told.write(long)
    tallies = Tallies()
    tallies.opened(0, pipe[0])
    for _ in range(20):
        tallies.read()
        told.write(line(records=9))
    tallies.read()
    assert value(tallies, "records") == {("t",): 9.0}


def test_a_reader_that_is_gone_is_no_error(pipe: tuple[int, int]) -> None:
    """The supervisor died: the worker archives on until it notices."""
    os.close(pipe[0])
    told = TallyPipe(pipe[1])
    told.write(line(records=1))
    told.write(line(records=1))


def test_nothing_is_nan() -> None:
    """Before anybody has told anything each metric has a number or no sample; a NaN would be refused."""
    tallies = Tallies()
    assert value(tallies, "records") == {}
    assert value(tallies, "oldest_uncommitted_seconds") == {(): 0.0}
    broken: Metric[int] = Metric("m", "gauge", (), "", lambda _: {(): float("nan")})
    with pytest.raises(ValueError, match="NaN"):
        broken.read(1)
