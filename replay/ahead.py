"""Runs an iterator on a thread of its own, a few items ahead of whoever takes them: reading beside sending."""

import threading
from collections.abc import Iterable, Iterator
from queue import Empty, Full, Queue
from typing import Any, TypeVar

Item = TypeVar("Item")

ITEMS_AHEAD_MAX = 4
STOP_POLL_S = 0.5


def ahead(items: Iterable[Item], *, depth: int = ITEMS_AHEAD_MAX) -> Iterator[Item]:
    """Yield the items in their order, at most `depth` ahead; an error of the iterator is raised in its place.

    The thread is a daemon, and ends when the generator is closed, so that an interrupted run does not wait for it.
    """
    queue: Queue[tuple[Item | None, BaseException | None]] = Queue(depth)
    stopped = threading.Event()
    threading.Thread(target=_work, args=(items, queue, stopped), name="read-ahead", daemon=True).start()
    try:
        while True:
            try:
                # With a time-out, so that Ctrl-C is not held up by a wait without one.
                item, error = queue.get(timeout=STOP_POLL_S)
            except Empty:
                continue
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]  # an item comes without an error
    finally:
        stopped.set()


def _work(items: Iterable[Item], queue: "Queue[Any]", stopped: threading.Event) -> None:
    """Put the items into the queue, then StopIteration, or the error that the iterator raised."""

    def put(item: Item | None, error: BaseException | None) -> None:
        while not stopped.is_set():
            try:
                queue.put((item, error), timeout=STOP_POLL_S)
            except Full:
                continue
            return

    try:
        for item in items:
            put(item, None)
            if stopped.is_set():
                return
    except BaseException as error:  # noqa: BLE001 - it is raised again, on the taker's thread
        put(None, error)
    else:
        put(None, StopIteration())
