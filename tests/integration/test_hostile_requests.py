"""10,000 hostile requests to a process that serves: it neither grows nor falls silent, and says nothing back."""

import random
import socket
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from archiving import Archive
from scraping import get
from verb_running import started
from worker_slots import wait_until

from headrace.cli.serving import REQUESTS_AT_ONCE_MAX, WAITING_MAX

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts a process's files by Linux's /proc")

REQUESTS = 10_000
THREADS = 8
SLOW = 300
MARK = b"canary<script>\x1b]0;t\x07"
GROWTH_KIB_MAX = 64 << 10


def _kinds() -> dict[str, bytes]:
    good = b"Host: 127.0.0.1\r\n"
    many = b"".join(b"X-%d: y\r\n" % number for number in range(200))
    return {
        "traversal": b"GET /../../../../etc/passwd HTTP/1.1\r\n" + good + b"\r\n",
        "encoded traversal": b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n" + good + b"\r\n",
        "nul in the path": b"GET /page.css\x00.js HTTP/1.1\r\n" + good + b"\r\n",
        "absolute": b"GET http://evil.example/metrics HTTP/1.1\r\n" + good + b"\r\n",
        "proxying": b"CONNECT evil.example:443 HTTP/1.1\r\n" + good + b"\r\n",
        "bad host": b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "two hosts": b"GET /metrics HTTP/1.1\r\n" + good + b"Host: evil.example\r\n\r\n",
        "no host": b"GET /metrics HTTP/1.1\r\n\r\n",
        "marked host": b"GET /metrics HTTP/1.1\r\nHost: " + MARK + b"\r\n\r\n",
        "marked path": b"GET /" + MARK + b" HTTP/1.1\r\n" + good + b"\r\n",
        "marked method": MARK + b" /metrics HTTP/1.1\r\n" + good + b"\r\n",
        "marked version": b"GET /metrics HTTP/" + MARK + b"\r\n" + good + b"\r\n",
        "post": b"POST /metrics HTTP/1.1\r\n" + good + b"Content-Length: 9999999999\r\n\r\n" + b"x" * 2000,
        "delete": b"DELETE / HTTP/1.1\r\n" + good + b"\r\n",
        "dunder": b"__class__ / HTTP/1.1\r\n" + good + b"\r\n",
        "old": b"GET /metrics\r\n",
        "version 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        "nothing": b"",
        "line ends": b"\r\n" * 50,
        "long line": b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n" + good + b"\r\n",
        "long header": b"GET /metrics HTTP/1.1\r\n" + good + b"X: " + b"a" * 40_000 + b"\r\n\r\n",
        "many headers": b"GET /metrics HTTP/1.1\r\n" + good + many + b"\r\n",
        "folded": b"GET /metrics HTTP/1.1\r\nHost:\r\n evil.example\r\n\r\n",
        "smuggled": b"GET / HTTP/1.1\r\n"
        + good
        + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /",
        "half": b"GET /metrics HT",
    }


def _send(at: tuple[str, int], request: bytes) -> bytes:
    """Send bytes and no more; return what comes back."""
    with socket.create_connection(at, timeout=60) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := connection.recv(65_536):
                answer += piece
        except (ConnectionResetError, BrokenPipeError):
            return b"(reset)"
        return answer


def _holdings(pid: int) -> SimpleNamespace:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return SimpleNamespace(
        kib=int(status["VmRSS"].split()[0]),
        threads=int(status["Threads"]),
        files=len(list(Path(f"/proc/{pid}/fd").iterdir())),
    )


@pytest.fixture
def nowhere() -> Archive:
    """An exporter's environment in which neither Kafka nor S3 answers: it serves all the same."""
    env = {
        "HEADRACE_KAFKA": "127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1", "AWS_DEFAULT_REGION": "x",
        "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "HEADRACE_ARCHIVE": "s3://nowhere/archive",
    }  # fmt: skip
    return cast("Archive", SimpleNamespace(env=env))


def test_ten_thousand_hostile_requests_do_no_harm(nowhere: Archive) -> None:
    """Broken, huge, slow, misaddressed: refused; memory, threads and files stay bounded; a good request is answered.

    Nothing that was sent comes back in an answer, so no page and no terminal can be reached through one.
    """
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    kinds = _kinds()
    choose = random.Random(seed)
    with started(nowhere, "exporter", "--listen", "127.0.0.1:0", "--every", "3600") as (process, said):
        url = said.url()
        parts = urlsplit(url)
        at = (parts.hostname or "", parts.port or 0)
        assert at[0] == "127.0.0.1"
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda name: _send(at, kinds[name]), [*kinds, *kinds]))
            before = _holdings(process.pid)
            slow = _hold_open(at)
            # As many as are bounded wait; all others were closed, and none has kept a thread or a file.
            wait_until(
                lambda: _holdings(process.pid).threads <= before.threads + WAITING_MAX + 2, "the oldest are closed"
            )
            assert get(url).status == 200
            began = time.monotonic()
            names = choose.choices(list(kinds), k=REQUESTS)
            answers = list(pool.map(lambda name: _send(at, kinds[name]), names))
            took_s = time.monotonic() - began
            peak = _holdings(process.pid)
            assert get(url).status == 200
        for connection in slow:
            connection.close()
        wait_until(lambda: _holdings(process.pid).threads <= before.threads, "no thread is left")
        wait_until(lambda: _holdings(process.pid).files <= before.files, "no file is left")
        after = _holdings(process.pid)
        assert process.poll() is None
    print(f"{REQUESTS:,} in {took_s:.1f} s; before {before}, peak {peak}, after {after}", file=sys.stderr)
    statuses: dict[str, Counter[bytes]] = {name: Counter() for name in kinds}
    for name, answer in zip(names, answers, strict=True):
        statuses[name][answer.split(b"\r\n", 1)[0]] += 1
    for name, counted in statuses.items():
        assert not any(b" 200 " in line for line in counted), (name, counted)
    assert not any(
        piece in answer for answer in answers for piece in (b"canary", b"evil", b"\x1b", b"root:", b"passwd")
    )
    assert all(len(answer) < 2_000 for answer in answers)
    assert peak.threads <= before.threads + WAITING_MAX + REQUESTS_AT_ONCE_MAX + THREADS
    assert peak.files <= before.files + WAITING_MAX + REQUESTS_AT_ONCE_MAX + THREADS
    assert after.kib <= before.kib + GROWTH_KIB_MAX


def _hold_open(at: tuple[str, int]) -> list[Any]:
    """Open more connections than are let wait, and send each the first half of a request."""
    held = []
    for _ in range(SLOW):
        connection = socket.create_connection(at, timeout=60)
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0")
        held.append(connection)
    return held
