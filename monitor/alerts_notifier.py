"""What a notifier is: tells one server of alerts, on a thread of its own, and never makes the evaluation wait."""

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence

from .alerts_event import Told

log = logging.getLogger("headrace.monitor")

CLOSE_S = 5.0
"""So long the last alerts have at the end to get out."""


class Notifier(ABC):
    """The thread, and how it is woken and ended. `offer` is called by the evaluation, `_round` by the thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._wake = threading.Condition()
        self._woken = False
        self._ending = False
        self._thread = threading.Thread(target=self._run, name=f"headrace-{name}", daemon=True)

    @abstractmethod
    def offer(self, news: Sequence[Told]) -> None:
        """Take what is to be told; return at once."""

    @abstractmethod
    def _round(self) -> float | None:
        """Do what there is to do; return how long to wait for the next round, None: until something is offered."""

    @abstractmethod
    def _empty(self) -> bool:
        """Whether everything was told."""

    @abstractmethod
    def _let_go(self) -> None:
        """Close what is held; the thread has ended, or is not waited for any longer."""

    def resume(self, firing: Sequence[Told]) -> None:
        """Take what fired already when this process began, and was told. A notifier of events does nothing."""
        del firing

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def close(self) -> None:
        """Tell what waits, for at most CLOSE_S seconds; what is left is said."""
        with self._wake:
            self._ending = self._woken = True
            self._wake.notify_all()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            log.warning("%s still waits for an answer: it is left alone", self.name)
            return
        if not self._empty():
            log.warning("%s was not told everything: the topic of alerts has it", self.name)
        self._let_go()

    def _nudge(self) -> None:
        with self._wake:
            self._woken = True
            self._wake.notify_all()

    def _run(self) -> None:
        wait_s: float | None = 0.0
        while True:
            with self._wake:
                if not self._woken and wait_s != 0:
                    self._wake.wait(wait_s)
                self._woken, ending = False, self._ending
            try:
                wait_s = self._round()
            except Exception:
                # A bug, or a disk that fails: it is said, and the next round tries again. Ending would be silence.
                log.exception("%s: an alert could not be handled", self.name)
                wait_s = 30.0
            if ending:
                return
