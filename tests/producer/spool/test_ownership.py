"""Ownership of folders, with real processes: who lives keeps its own, who is dead is adopted by exactly one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from spool_kit import die, drain, orphan, queue, record

from headrace.producer.spool import ownership

TESTS = str(Path(__file__).parents[2])

PRELUDE = f"""
import os, sys, time
from pathlib import Path
sys.path.insert(0, {TESTS!r})
from spool_kit import die, drain, orphan, queue, record
from headrace.producer.spool import ownership
spool = Path(sys.argv[1])

def say(text):
    os.write(1, (text + "\\n").encode())
"""


def start(program: str, spool: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PRELUDE + program, str(spool)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture
def owner(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that has appended ten records and lives until it is killed."""
    program = """
made = queue(spool)
for number in range(10):
    made.append(record(number))
say(str(made.folder))
time.sleep(600)
"""
    with start(program, tmp_path) as process:
        yield process
        process.kill()


def test_only_the_dead_are_adopted(owner: "subprocess.Popen[str]") -> None:
    """A living process's folder cannot be adopted; the moment it is killed, it can."""
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    assert ownership.adopt(folder) is None
    assert ownership.is_alive(folder) is True
    owner.kill()
    owner.wait()
    assert ownership.is_alive(folder) is False
    assert [position for position, _ in drain(orphan(folder))] == list(range(10))


def test_one_adopter_wins(owner: "subprocess.Popen[str]", tmp_path: Path) -> None:
    """Of many processes that want an orphan at the same moment one gets it, and the others leave it whole."""
    assert owner.stdout is not None
    folder = owner.stdout.readline().strip()
    owner.kill()
    owner.wait()
    program = f"""
sys.stdin.readline()
say("got" if ownership.adopt(Path({folder!r})) else "none")
sys.stdin.readline()
"""
    racers = [start(program, tmp_path) for _ in range(8)]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.stdout.readline().strip() for racer in racers if racer.stdout is not None]
    for racer in racers:
        racer.communicate("end\n")
    assert sorted(said) == ["got"] + ["none"] * 7


def test_a_process_cannot_lose_its_own_lock(tmp_path: Path) -> None:
    """Looking for orphans in one's own service never frees one's own lock, though closing a file would."""
    program = """
made = queue(spool)
other = queue(spool)
for folder in ownership.processes(made.folder.parent):
    assert ownership.adopt(folder) is None
say(str(made.folder))
sys.stdin.readline()
"""
    with start(program, tmp_path) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert ownership.adopt(folder) is None
        process.communicate("end\n")


def test_a_forked_child_holds_nothing_of_its_parent(tmp_path: Path) -> None:
    """The child never writes its parent's files; a dead parent's folder is free although the child lives."""
    program = """
made = queue(spool)
made.append(record(0))
pid = os.fork()
if pid == 0:
    assert not made.append(record(1)) and made.refusal == "forked"
    assert ownership.adopt(made.folder) is None
    own = queue(spool)
    own.append(record(7))
    say(f"{made.folder} {own.folder} {os.getpid()}")
    time.sleep(600)
time.sleep(600)
"""
    with start(program, tmp_path) as process:
        assert process.stdout is not None
        parent, child, pid = process.stdout.readline().split()
        try:
            process.kill()
            process.wait()
            assert [position for position, _ in drain(orphan(Path(parent)))] == [0]
            assert ownership.adopt(Path(child)) is None
        finally:
            os.kill(int(pid), signal.SIGKILL)


def test_many_start_at_once(tmp_path: Path) -> None:
    """Processes that start, look for orphans and end at the same time never take a folder that is being made."""
    program = """
sys.stdin.readline()
for _ in range(30):
    made = queue(spool)
    assert made.append(record(0))
    for folder in ownership.processes(made.folder.parent):
        owned = ownership.adopt(folder)
        if owned is not None:
            owned.remove()
    assert made.folder.is_dir() and len(list(made.folder.glob("*.seg"))) == 1
    made._own.owned.release()
say("fine")
"""
    racers = [start(program, tmp_path) for _ in range(4)]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    assert [racer.communicate()[0] for racer in racers] == ["fine\n"] * 4


def test_what_was_never_finished_is_swept(tmp_path: Path) -> None:
    """A folder whose process died while making it is removed after an hour, and never taken for a process's."""
    made = queue(tmp_path)
    made.append(record(0))
    folder = die(made)
    probe = folder.with_name(".probe-1")
    probe.touch()
    unfinished = folder.rename(folder.with_name(".new-" + folder.name))
    assert list(ownership.processes(unfinished.parent)) == []
    ownership.sweep(unfinished.parent, unfinished.stat().st_mtime + 3000)
    assert unfinished.is_dir()
    assert probe.exists()
    ownership.sweep(unfinished.parent, unfinished.stat().st_mtime + 4000)
    assert list(unfinished.parent.iterdir()) == []


def test_a_removal_that_was_cut_short_is_finished(tmp_path: Path) -> None:
    """A process killed between the last two steps of a removal leaves an empty folder without a lock, which nobody
    could adopt: whoever sweeps removes it. One that is not empty, or that has its lock, stays as it is."""
    names = [f"host-{number}-{number:032x}" for number in (1, 2, 3)]
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / names[1] / "000000000000.seg").touch()
    (tmp_path / names[2] / ownership.LOCK).touch()
    assert ownership.adopt(tmp_path / names[0]) is None
    ownership.sweep(tmp_path, 0.0)
    assert sorted(each.name for each in tmp_path.iterdir()) == names[1:]


@pytest.mark.parametrize("name", ["web", "a/b", "..", ".hidden", "tür"])
def test_a_service_is_one_folder_below_the_spool(tmp_path: Path, name: str) -> None:
    """Whatever a service is called, its folder lies directly in the spool, and is not hidden."""
    folder = ownership.service_folder(tmp_path, name)
    assert folder.parent == tmp_path
    assert folder.resolve().parent == tmp_path.resolve()
    assert not folder.name.startswith(".")
