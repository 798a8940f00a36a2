"""`headrace replay` as typed: what goes where, messages, exit codes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from small_archive import SmallArchive
from worker_slots import WAIT_S, wait_until

from headrace.archiver.log_entries import log_key
from headrace.archiver.object_store import StoreDenied, StoreMissing, StoreUnreachable

Run = Callable[..., Result]
pytestmark = pytest.mark.usefixtures("archive")


def test_stdout_holds_lines_and_nothing_else(run: Run) -> None:
    """Messages go to standard error, so that the output can be piped."""
    result = run("replay", "pin", "--into", "stdout", "--format", "raw")
    assert result.exit_code == 0
    assert [json.loads(line)["offset"] for line in result.stdout.splitlines()] == [0, 1, 2, 3, 4, 5, 6, 9, 10]
    assert "replayed 9 records (1 quarantined) of pin, all 4 parts checked" in result.stderr


def test_the_gap_in_the_range_is_told(run: Run) -> None:
    """Who replays sees what is not there, and why."""
    result = run("replay", "pin", "--into", "stdout")
    assert "gap: pin/0: offsets [7, 9) not archived: retention" in result.stderr


def test_events_are_decoded_by_default(run: Run) -> None:
    """People see fields."""
    result = run("replay", "pin", "--into", "stdout", "--from", "6", "--to", "7")
    assert json.loads(result.stdout)["value"]["user_id"] == 6


def test_a_file_is_written_whole(run: Run, tmp_path: Path) -> None:
    """jsonl:PATH holds the same lines as standard output."""
    target = tmp_path / "pins.jsonl"
    result = run("replay", "pin", "--into", f"jsonl:{target}", "--format", "raw", "--partition", "0")
    assert result.exit_code == 0
    assert target.read_text() == run("replay", "pin", "--into", "stdout", "--format", "raw").stdout
    assert list(tmp_path.iterdir()) == [target]


def test_a_damaged_archive_leaves_no_file(run: Run, archive: SmallArchive, tmp_path: Path) -> None:
    """Exit 1, a message that names the object, and nothing half-written."""
    key = max(key for key in archive.memory.objects if key.startswith("data/"))
    archive.memory.objects[key] = archive.memory.objects[key][:-4] + b"?AR1"
    result = run("replay", "pin", "--into", f"jsonl:{tmp_path / 'out'}")
    assert result.exit_code == 1
    assert f"memory://archive/{key}" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["nope", "--into", "stdout"], "it has pin"),
        (["pin", "--into", "stdout", "--to", "12"], "[0, 11)"),
        (["pin", "--into", "stdout", "--partition", "3"], "partitions 0"),
        (["pin", "--into", "stdout", "--at", "9"], "ends at 3"),
        (["pin", "--into", "stdout", "--from", "2026-11-23T00:00"], "no time zone"),
        (["pin", "--into", "orc:x"], "parquet:PATH"),
        (["pin", "--into", "jsonl:"], "jsonl:PATH"),
        (["pin"], "--into"),
        (["pin", "--into", "jsonl:/nonexistent/folder/x"], "cannot write"),
    ],
)
def test_a_request_that_cannot_be_met_exits_2(run: Run, args: list[str], hint: str) -> None:
    """The message says what would be possible."""
    result = run("replay", *args)
    assert result.exit_code == 2
    assert hint in result.stderr


def test_a_date_without_records_is_no_success(run: Run) -> None:
    """Nothing was read, so exit 1 and a message, not an empty output that looks fine."""
    result = run("replay", "pin", "--into", "stdout", "--dt", "1999-01-01")
    assert result.exit_code == 1
    assert "nothing was checked" in result.stderr


@pytest.mark.parametrize("error", [StoreUnreachable, StoreDenied, StoreMissing])
def test_a_store_that_cannot_be_used_exits_3(run: Run, archive: SmallArchive, error: type[Exception]) -> None:
    """Wrong address, credentials or bucket: the store's own message."""

    def fault(_operation: str, _key: str) -> None:
        raise error("what the store said")

    archive.memory.fault = fault
    result = run("replay", "pin", "--into", "stdout")
    assert result.exit_code == 3
    assert "what the store said" in result.stderr


def test_a_corrupt_commit_exits_1(run: Run, archive: SmallArchive) -> None:
    """The message names the commit object."""
    archive.memory.objects[log_key("pin", 2)] = b"{"
    result = run("replay", "pin", "--into", "stdout")
    assert result.exit_code == 1
    assert log_key("pin", 2) in result.stderr


# -- as a process ------------------------------------------------------------------------------------------------------

# The second object never arrives, so that what interrupts the replay finds it in the middle.
STALLED = """
import sys, threading
from small_archive import Rec, SmallArchive, pin_value
from headrace.cli import main, replay
small = SmallArchive()
for start in range(0, 20_000, 10_000):
    small.commit([Rec(0, o, pin_value(o)) for o in range(start, start + 10_000)])
last = max(key for key in small.memory.objects if key.startswith("data/"))
def stall(operation, key):
    if operation == "get" and key == last:
        threading.Event().wait()
small.memory.fault = stall
replay.open_store = lambda _url: small.store
main.main(sys.argv[1:])
"""


def start(*args: str, stdout: int) -> subprocess.Popen[bytes]:
    env = {**os.environ, "HEADRACE_ARCHIVE": "s3://b/p", "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", STALLED, "replay", "pin", *args]
    return subprocess.Popen(command, env=env, stdout=stdout, stderr=subprocess.PIPE)


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    """`| head -1` ends the replay quietly: no traceback, exit 0, and the message says that it is not complete."""
    with start("--into", "stdout", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        message = process.stderr.read().decode()
        assert process.wait(WAIT_S) == 0
    assert "not complete" in message
    assert "Traceback" not in message


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_replay_leaves_no_file(tmp_path: Path, number: int, code: int) -> None:
    """Ctrl-C exits 130, SIGTERM 143; in both cases the folder is empty afterwards."""
    target = tmp_path / "out.jsonl"
    with start("--into", f"jsonl:{target}", stdout=subprocess.DEVNULL) as process:
        # The temporary file appears when the replay begins to write.
        wait_until(lambda: any(tmp_path.iterdir()), "the replay begins to write")
        process.send_signal(number)
        assert process.wait(WAIT_S) == code
    assert list(tmp_path.iterdir()) == []
