"""Puts aside what a process cannot deliver: at once what was accepted, the rest when the upkeep comes round."""

import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path

from ..letter import Letter
from .dead_letters import DeadLetterFile

_PENDING_MAX = 1000
_QUIET_S = 30.0
_log = logging.getLogger("headrace.producer")


class PuttingAside:
    """The dead letters of one queue. put() is for any thread and costs no system call; the rest is the shipper's."""

    def __init__(
        self,
        folder: Path,
        *,
        bytes_max: int,
        clock_ns: Callable[[], int],
        monotonic: Callable[[], float],
        log: bool = True,
    ) -> None:
        """`folder` is the process's: its letters lie beside it. `log`: not where a thread may not wait for a lock."""
        self._file = DeadLetterFile(folder.parent, folder.name, bytes_max=bytes_max, clock_ns=clock_ns)
        self._monotonic = monotonic
        self._logs = log
        self._pending: deque[Letter] = deque(maxlen=_PENDING_MAX)
        self._quiet_until = float("-inf")

    def put(self, letter: Letter) -> None:
        """Keep a letter soon: of an event that was not accepted."""
        self._pending.append(letter)

    def put_now(self, letter: Letter) -> None:
        """Keep a letter before anything else happens: of an event that was accepted."""
        self._write([letter])

    def flush(self) -> None:
        """Keep what was put since the last time."""
        if not self._pending:
            return
        letters: list[Letter] = []
        while self._pending:
            letters.append(self._pending.popleft())
        self._write(letters)

    def _write(self, letters: list[Letter]) -> None:
        kept, now = self._file.write(letters), self._monotonic()
        if self._logs and now >= self._quiet_until:
            self._quiet_until = now + _QUIET_S
            what = "put aside (`headrace spool DIR --dead-letters`)" if kept else "not kept: no room for dead letters"
            first = letters[0]
            _log.warning(
                "headrace: %d events %s, the first of type %s: %s: %s",
                len(letters), what, first.event_type, first.reason, first.error,
            )  # fmt: skip
