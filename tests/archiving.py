"""Runs the real command line, as a process of its own, against one archive on the session's servers.

Every run is bounded in time; one that does not end is ended with its workers and fails the test with what it said.
"""

import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from click.testing import CliRunner
from kafka_oracle import Seen
from servers import Servers

from headrace.cli.main import root

HEADRACE = (sys.executable, "-c", "from headrace.cli.main import main; main()")
RUN_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Finished:
    """How a run of the command line ended. `output` is what a person sees: standard output, then standard error."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


def plain_environment() -> dict[str, str]:
    """Return this process's environment without anything that would change what headrace or boto3 do."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "AWS_"))}


def run_headrace(
    arguments: Sequence[str], env: Mapping[str, str], *, timeout_s: float = RUN_TIMEOUT_S, stdin: str = ""
) -> Finished:
    """Run `headrace ARGUMENTS` to its end; raise AssertionError when it does not end in time."""
    started = time.monotonic()
    with _process(arguments, env, stdin=subprocess.PIPE) as process:
        try:
            out, err = process.communicate(stdin, timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"headrace {' '.join(arguments)} ran for over {timeout_s} s:\n{out}{err}") from None
    return Finished(process.returncode, out, err, time.monotonic() - started)


def _process(arguments: Sequence[str], env: Mapping[str, str], *, stdin: int) -> "subprocess.Popen[str]":
    # A session of its own, so that a run can be ended together with the workers that it started.
    return subprocess.Popen(
        [*HEADRACE, *arguments],
        env={**plain_environment(), **env},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


class Archive:
    """One archive of its own on the session's servers, and the verbs of the command line on it."""

    def __init__(self, servers: Servers, url: str | None = None) -> None:
        self.servers = servers
        self.url = url or servers.store_url
        self.group = f"g-{uuid4().hex[:12]}"
        self.env = {**servers.env, "HEADRACE_ARCHIVE": self.url}

    def run(self, *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = RUN_TIMEOUT_S) -> Finished:
        """Run a verb on this archive and return how it ended."""
        return run_headrace(arguments, {**self.env, **(env or {})}, timeout_s=timeout_s)

    def call(self, *arguments: str) -> Finished:
        """Run a verb in this process: the same code without the second that a process takes to start."""
        unset = dict.fromkeys(name for name in os.environ if name.startswith(("HEADRACE_", "AWS_")))
        started = time.monotonic()
        result = CliRunner().invoke(root, list(arguments), env={**unset, **self.env})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Finished(result.exit_code, result.stdout, result.stderr, time.monotonic() - started)

    def objects(self) -> dict[str, str]:
        """Return the keys of all objects of this archive, below its prefix, with their entity tags."""
        bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        pages = self.servers.s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
        found = (each for page in pages for each in page.get("Contents", []))
        return {each["Key"].removeprefix(f"{prefix}/"): each["ETag"] for each in found}

    def must(self, *arguments: str) -> Finished:
        """Run a verb that must succeed."""
        finished = self.run(*arguments)
        assert finished.code == 0, f"headrace {' '.join(arguments)}: exit code {finished.code}\n{finished.output}"
        return finished

    def archive(
        self, topics: Sequence[str] = (), raw: Sequence[str] = (), *, workers: int = 1, more: Sequence[str] = ()
    ) -> Finished:
        """Archive all that is in the topics now; it must succeed."""
        return self.must(*self._archive_arguments(topics, raw), "--until-idle", "--workers", str(workers), *more)

    @contextmanager
    def archiving(
        self, topics: Sequence[str] = (), raw: Sequence[str] = (), *, more: Sequence[str] = ()
    ) -> Iterator["subprocess.Popen[str]"]:
        """Archive for as long as the block lasts, then stop with SIGTERM; the archiver must leave cleanly."""
        arguments = [*self._archive_arguments(topics, raw), *more]
        with _process(arguments, self.env, stdin=subprocess.DEVNULL) as process:
            try:
                yield process
            finally:
                process.terminate()
                try:
                    out, err = process.communicate(timeout=STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    out, err = process.communicate()
                print(out + err)  # pytest shows it with a failure
        assert process.returncode == 0, f"the archiver ended with {process.returncode}:\n{err}"

    def _archive_arguments(self, topics: Sequence[str], raw: Sequence[str]) -> list[str]:
        named = [text for topic in topics for text in ("--topic", topic)]
        named += [text for topic in raw for text in ("--raw", topic)]
        return ["archive", *named, "--group", self.group]

    def replay(self, topic: str, path: Path, *more: str) -> list[Seen]:
        """Replay into a file, exactly, and return the records in the order of partition and offset."""
        self.must("replay", topic, "--into", f"jsonl:{path}", "--format", "raw", *more)
        return read_replayed(path)


def read_replayed(path: Path) -> list[Seen]:
    """Return the records of a file that `headrace replay --format raw` wrote, in the order of partition and offset."""
    with path.open(encoding="utf-8") as lines:
        return sorted((_seen(json.loads(line)) for line in lines), key=lambda record: record[:2])


def _seen(line: dict[str, Any]) -> Seen:
    return Seen(
        partition=line["partition"],
        offset=line["offset"],
        timestamp=line["timestamp"],
        timestamp_type=line["timestamp_type"],
        key=_bytes(line["key"]),
        value=_bytes(line["value"]),
        headers=tuple((name, _bytes(value)) for name, value in line["headers"]),
    )


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text, validate=True)
