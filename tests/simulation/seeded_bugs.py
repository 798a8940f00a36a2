"""The list of seeded bugs, and how one is put into the production code for as long as a block runs."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol
from unittest.mock import patch

from headrace.archiver.commit_log import CommitLog, Committed
from headrace.archiver.log_entries import Entry, log_key, sha256_of

Change = tuple[Any, str, Any]


class Break(Protocol):
    """Returns the patches of one bug."""

    def __call__(self) -> list[Change]: ...


BUGS: dict[str, Callable[[], list[Change]]] = {}
ABOUT: dict[str, str] = {}


def bug(make: Break) -> Break:
    """Register a bug under its function's name; the docstring says what it is."""
    name = getattr(make, "__name__", "").replace("_", "-")
    BUGS[name] = make
    ABOUT[name] = (make.__doc__ or "").strip()
    return make


@contextmanager
def broken(name: str) -> Iterator[None]:
    """Run the block with a bug in the production code."""
    with ExitStack() as stack:
        for target, attribute, new in BUGS[name]():
            changed: AbstractContextManager[Any] = patch.object(target, attribute, new)
            stack.enter_context(changed)
        yield


def appended_unfenced(log: CommitLog, entry: Entry) -> Committed:
    """Put an entry at the log's end without holding it against what others put there meanwhile."""
    while True:
        placed = entry.at_slot(log.state.seq + 1, log.state.head_sha256)
        body = placed.encode()
        if log._take_slot(log_key(log.topic, placed.seq), body):
            log.state.apply(placed, sha256_of(body), log_key(log.topic, placed.seq))
            return Committed(placed)
        log.refresh()
