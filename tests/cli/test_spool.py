"""`headrace spool`: what it shows of living and dead processes' folders, and that it changes nothing."""

import json
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner
from spool_kit import die, queue, record

from headrace.cli.main import root

TESTS = str(Path(__file__).parents[1])


def run(*args: str) -> tuple[int, str]:
    done = CliRunner().invoke(root, ["spool", *args])
    return done.exit_code, done.output


def state_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_orphans_are_shown_and_left_alone(tmp_path: Path) -> None:
    """Counts, bytes and age of what a dead process left; the folder stays as it was, byte for byte."""
    made = queue(tmp_path)
    for number in range(1500):
        made.append(record(number))
    folder = die(made)
    before = state_of(folder)
    code, output = run(str(tmp_path), "--json")
    assert code == 0
    told = json.loads(output)
    assert (told["version"], told["waiting"]) == (1, 1500)
    (each,) = told["folders"]
    assert (each["service"], each["name"], each["alive"], each["damaged"]) == ("web", folder.name, False, 0)
    assert each["bytes"] == told["bytes"] == sum(len(data) for data, _ in before.values())
    assert each["segments"] == len(list(folder.glob("*.seg"))) > 1
    assert each["age_s"] > 0
    assert state_of(folder) == before
    code, output = run(str(tmp_path))
    assert code == 0
    assert f"web/{folder.name}  orphan  1,500 waiting, oldest " in output
    assert "1,500 events waiting in 1 folders (1 orphans)" in output


def test_damage_is_shown(tmp_path: Path) -> None:
    """Holes and torn tails are told, and holes end the command with 1."""
    made = queue(tmp_path)
    for number in range(100):
        made.append(record(number))
    made._map[made._segment.tail[0] : made._segment.tail[0] + 8] = b"torn off"
    folder = die(made)
    assert run(str(tmp_path))[0] == 0
    assert "0 events damaged, 0 holes, 1 torn tails" in run(str(tmp_path))[1]
    made._map[4000:4300] = bytes(300)
    code, output = run(str(tmp_path), "--json")
    assert code == 1
    (each,) = json.loads(output)["folders"]
    assert (each["name"], each["holes"], each["torn_tails"]) == (folder.name, 1, 1)
    assert each["waiting"] + each["damaged"] == 100
    assert each["damaged"] > 0


def test_the_living_are_shown_as_alive(tmp_path: Path) -> None:
    """A folder whose process lives is not called an orphan, and stays locked while it is looked at."""
    program = f"""
import sys
from pathlib import Path
sys.path.insert(0, {TESTS!r})
from spool_kit import queue, record
made = queue(Path(sys.argv[1]))
made.append(record(0))
print("up", flush=True)
sys.stdin.readline()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        for _ in range(2):
            code, output = run(str(tmp_path))
            assert code == 0
            assert "  alive  1 waiting" in output
        process.communicate("end\n")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A wrong path ends with 2 and says which folder is meant."""
    code, output = run(str(tmp_path / "nothing"))
    assert code == 2
    assert "EventLog(spool=...)" in output


def test_an_empty_spool(tmp_path: Path) -> None:
    """Nothing waiting is fine."""
    assert run(str(tmp_path)) == (0, "0 events waiting in 0 folders (0 orphans), 0 bytes\n")
