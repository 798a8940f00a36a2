"""Runs a verb that lasts as a process of its own, and listens to what it says."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from archiving import HEADRACE, Archive, plain_environment
from worker_slots import WAIT_S, wait_until


class Said:
    """What a process writes on standard error, line by line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.lines: list[str] = []
        self._process = process
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._process.stderr or ():
            self.lines.append(line)

    def close(self) -> None:
        self._thread.join(30)
        if self._process.stderr is not None:
            self._process.stderr.close()

    def find(self, pattern: str) -> str | None:
        return next((found[1] for line in list(self.lines) if (found := re.search(pattern, line))), None)

    def urls(self) -> list[str]:
        """The addresses that were told, in order."""
        return [found[1] for line in list(self.lines) if (found := re.search(r"(http://[^\s\"]+)", line))]

    def url(self) -> str:
        """Wait for the first address."""
        wait_until(lambda: bool(self.urls()), "the address is told")
        return self.urls()[0]


@contextmanager
def started(archive: Archive, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", Said]]:
    """Run a verb for as long as the block lasts; it must leave cleanly on SIGTERM."""
    process = subprocess.Popen(
        [*HEADRACE, *arguments], env={**plain_environment(), **archive.env}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    said = Said(process)
    try:
        yield process, said
    finally:
        process.terminate()
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        said.close()
        print("".join(said.lines))
    assert process.returncode == 0, said.lines
