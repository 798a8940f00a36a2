"""The archiver as people run it: its CPU, time and peak memory, what it archived, and whether that is all right."""

import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from headrace.archiver.commit_log import read_state
from headrace.archiver.s3 import S3Store

HEADRACE = [sys.executable, "-c", "from headrace.cli.main import main; main()"]
SAMPLE_S = 0.05


@dataclass(frozen=True)
class Run:
    """What one `headrace archive --until-idle` took. `peak_mb`: of the largest worker, where the system tells it."""

    cpu_s: float
    wall_s: float
    peak_mb: float | None


@dataclass(frozen=True)
class Archived:
    """What came of it."""

    rows: int
    bytes: int
    files: int
    commits: int


def archive(url: str, topic: str, *more: str, raw: bool = False) -> Run:
    """Run `headrace archive --until-idle`, workers included. Everything is in S3 when it ends."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [
            *HEADRACE,
            "archive",
            "--raw" if raw else "--topic",
            topic,
            "--until-idle",
            "--group",
            f"bench-{os.urandom(4).hex()}",
        ]
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        with log.open("wb") as output:
            process = subprocess.Popen([*command, "--archive", url, *more], stdout=output, stderr=output)
        peaks: dict[str, float] = {}
        watching = threading.Thread(target=_watch, args=(process, log, peaks))
        watching.start()
        process.wait()
        wall = time.perf_counter() - begun
        watching.join()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode:
            raise RuntimeError(f"headrace archive ended with {process.returncode}: {log.read_text()[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(cpu, wall, max(peaks.values(), default=None))


def _watch(process: "subprocess.Popen[bytes]", log: Path, peaks: dict[str, float]) -> None:
    """Note the high-water marks of the workers' memory until the end."""
    while process.poll() is None:
        for pid in re.findall(r"worker \d+ started, pid (\d+)", log.read_text()):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            if found := re.search(r"VmHWM:\s+(\d+)", status):
                peaks[pid] = int(found[1]) / 1024
        time.sleep(SAMPLE_S)


def checked(url: str, topic: str, events: int) -> Archived:
    """Read what is in the log, and have each digest compared. Raises RuntimeError when anything is off."""
    state = read_state(S3Store(url), topic)
    files = list(state.files.values())
    rows = sum(at.rows for at in state.partitions())
    if rows != events:
        raise RuntimeError(f"archived {rows} of {events} events; the figures would mean nothing")
    verified = subprocess.run(
        [*HEADRACE, "verify", topic, "--archive", url], capture_output=True, text=True, check=False
    )
    if verified.returncode:
        raise RuntimeError(f"headrace verify {topic}: {verified.stdout}{verified.stderr}")
    return Archived(rows, sum(each.file.bytes for each in files), len(files), state.seq)
