"""Fetches objects before they are needed, on threads that never keep the process alive.

concurrent.futures joins its threads at exit, so that Ctrl-C during a slow GET would wait for the GET's time-out.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

Key = TypeVar("Key")
Body = TypeVar("Body")


class FetchAhead(Generic[Key, Body]):
    """Runs `fetch(key)` on `threads` daemon threads for lists of keys, one list ahead of the reader."""

    def __init__(self, fetch: Callable[[Key], Body], threads: int) -> None:
        self._fetch = fetch
        self._jobs: SimpleQueue[tuple[Key, Future[Body]] | None] = SimpleQueue()
        self._threads = threads
        for number in range(threads):
            threading.Thread(target=self._work, name=f"fetch-ahead-{number}", daemon=True).start()

    def lists(self, keys: Iterable[list[Key]]) -> Iterator[list[Body]]:
        """Yield each list's bodies in order; an error of fetch() is raised where its body would have come."""
        waiting: deque[list[Future[Body]]] = deque()
        try:
            for each in keys:
                waiting.append([self._submit(key) for key in each])
                if len(waiting) > 1:
                    yield [future.result() for future in waiting.popleft()]
            while waiting:
                yield [future.result() for future in waiting.popleft()]
        finally:
            for future in (future for futures in waiting for future in futures):
                future.cancel()
            for _ in range(self._threads):
                self._jobs.put(None)

    def _submit(self, key: Key) -> Future[Body]:
        future: Future[Body] = Future()
        self._jobs.put((key, future))
        return future

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            key, future = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self._fetch(key))
            except BaseException as error:  # noqa: BLE001 - it is raised again by result(), on the reader's thread
                future.set_exception(error)
