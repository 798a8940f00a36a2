"""What a long run shows: a bar with rate and time left on a terminal, plain lines elsewhere."""

import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest
from worker_slots import WAIT_S

from headrace.cli.progress import RecordProgress

# Goes on until it is told to stop, so that nothing depends on how fast it is.
PROGRAM = """
import select, sys
from headrace.cli.progress import RecordProgress
with RecordProgress("replay pin", 1_000_000) as progress:
    done = 0
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        done += 1
        progress.update(done)
"""
BAR = re.compile(r"replay pin .*[\d,]+/1000000 [\d,]+/s \d+:\d\d:\d\d")


def test_a_terminal_has_a_bar_with_rate_and_time_left() -> None:
    """Both are there while it runs; at the end the bar is gone, so that what follows stands alone."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "COLUMNS": "120", "TERM": "xterm", "NO_COLOR": "1"}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stderr=theirs, env=env) as process:
        os.close(theirs)
        said, until = "", time.monotonic() + WAIT_S
        while not BAR.search(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said)):
            assert time.monotonic() < until, said
            if select.select([ours], [], [], 1)[0]:
                said += os.read(ours, 4096).decode()
        assert process.stdin is not None
        process.stdin.close()
        while process.poll() is None:  # nobody may wait for a reader
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    os.read(ours, 4096)
                except OSError:
                    break  # the other side is closed
        assert process.wait(WAIT_S) == 0
    os.close(ours)


def test_elsewhere_there_are_plain_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Now and then a line with count, rate and time left; none for a run that is over before."""
    with RecordProgress("replay pin", 1_000_000) as progress:
        progress.update(5000)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("headrace.cli.progress.PLAIN_INTERVAL_S", 0)
    with RecordProgress("replay pin", 1_000_000) as progress:
        progress.update(5000)
    line = capsys.readouterr().err
    assert re.fullmatch(r"replay pin: 5,000 of 1,000,000 records, [\d,]+/s, [\d,]+ s left\n", line)
