"""What the verbs that rewrite an archive's files share: their names in the log, their ids, and who of them has died."""

import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any

from headrace.archiver.clock import SystemClock
from headrace.archiver.failpoints import (
    COMPACT_FAILPOINTS,
    ERASE_FAILPOINTS,
    EXPIRE_FAILPOINTS,
    RETRY_FAILPOINTS,
    Failpoint,
    no_failpoint,
    signal_at,
)
from headrace.schemas.uuid7 import Uuid7

FAILPOINTS: Mapping[str, Collection[str]] = {
    "compact": COMPACT_FAILPOINTS,
    "retry": RETRY_FAILPOINTS,
    "erase": ERASE_FAILPOINTS,
    "expire": EXPIRE_FAILPOINTS,
}
"""By verb, as the verb is called in the log."""


def rewriting(verb: str) -> dict[str, Any]:
    """Return what a Rewriter is given beside the store, the topic and its own."""
    return {
        "writer": writer_name(verb),
        "clock": SystemClock(threading.Event()),
        "new_id": new_ids(),
        "failpoint": failpoint_of(FAILPOINTS[verb]),
        "is_gone": is_gone,
    }


def writer_name(verb: str) -> str:
    """Return how this process is called in the log."""
    return f"{socket.gethostname()}:{os.getpid()}:{verb}"


def new_ids() -> Callable[[], str]:
    """Return a source of new UUIDv7 texts."""
    ids = Uuid7(os.urandom)
    return lambda: str(uuid.UUID(bytes=ids.next(time.time_ns() // 1_000_000)))


def failpoint_of(known: Collection[str]) -> Failpoint:
    """Read HEADRACE_FAILPOINT, for tests: `name:hit` kills this process there."""
    name, _, hit = os.environ.get("HEADRACE_FAILPOINT", "").partition(":")
    return signal_at(name, int(hit), signal.SIGKILL) if name in known else no_failpoint


def is_gone(writer: str) -> bool:
    """Whether the writer of an intent was such a verb on this host whose process has ended."""
    place, _, verb = writer.rpartition(":")
    host, _, process = place.rpartition(":")
    if verb not in FAILPOINTS or host != socket.gethostname() or not process.isdecimal():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
