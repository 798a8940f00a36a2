"""What the verbs that rewrite an archive's files share: their names in the log, their ids, and who of them has died."""

import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Collection

from headrace.archiver.failpoints import Failpoint, no_failpoint, signal_at
from headrace.schemas.uuid7 import Uuid7

VERBS = ("compact", "retry", "erase", "expire")


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
    if verb not in VERBS or host != socket.gethostname() or not process.isdecimal():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
