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

AHEAD_MAX = 8
AHEAD_BYTES_MAX = 32 << 20


class FetchAhead(Generic[Key, Body]):
    """Runs `fetch(key)` on `threads` daemon threads, some keys ahead of the reader."""

    def __init__(self, fetch: Callable[[Key], Body], threads: int) -> None:
        self._fetch = fetch
        self._jobs: SimpleQueue[tuple[Key, Future[Body]] | None] = SimpleQueue()
        self._threads = threads
        for number in range(threads):
            threading.Thread(target=self._work, name=f"fetch-ahead-{number}", daemon=True).start()

    def each(self, keys: Iterable[Key], *, size: Callable[[Key], int]) -> Iterator[Body]:
        """Yield each key's body in order; an error of fetch() is raised where its body would have come.

        `size(key)`: how many bytes it has. While a body is worked on, those behind it that were asked for have at most
        AHEAD_BYTES_MAX together and are at most AHEAD_MAX; but one always is.
        """
        waiting: deque[tuple[Future[Body], int]] = deque()
        held = 0
        try:
            for key in keys:
                bytes_ = size(key)
                # All but one are taken before this key is asked for, so that it adds to no more than there may be.
                while len(waiting) > 1 and (len(waiting) >= AHEAD_MAX or held + bytes_ > AHEAD_BYTES_MAX):
                    future, taken = waiting.popleft()
                    held -= taken
                    yield future.result()
                waiting.append((self._submit(key), bytes_))
                held += bytes_
                if len(waiting) > 1 and held > AHEAD_BYTES_MAX:
                    future, taken = waiting.popleft()
                    held -= taken
                    yield future.result()
            while waiting:
                yield waiting.popleft()[0].result()
        finally:
            for future, _ in waiting:
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
