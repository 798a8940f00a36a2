"""The sink of a live run: decides what of the transitions is news, wakes people, and keeps it in the topic of alerts.

In this order: notifiers take it (at once; they tell on threads of their own), then the topic, which is waited for. A
crash between the two tells people again with the same ids, and never keeps an alert from them.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence

from .alerts_event import Told
from .alerts_memory import AlertMemory, Noticed
from .alerts_notifier import Notifier
from .alerts_numbers import MonitorNumbers
from .alerts_topic import AlertsUnusable, Record
from .transition import Transition

log = logging.getLogger("headrace.monitor")


class Teller:
    """A Sink. `send` has one caller at a time; `still_firing` may be called by any thread.

    `on_told` takes what was told, for the charts' marks. `expire_us`: see Alertmanager.
    """

    def __init__(
        self,
        record: Record,
        memory: AlertMemory,
        noticed: Noticed,
        numbers: MonitorNumbers,
        *,
        now_us: Callable[[], int],
        expire_us: int,
        on_told: Callable[[Sequence[Told]], None] = lambda _news: None,
    ) -> None:
        self._record, self._memory, self._noticed, self._numbers = record, memory, noticed, numbers
        self._now_us, self._expire_us, self._on_told = now_us, expire_us, on_told
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._notifiers: Sequence[Notifier] = ()

    def start(self, notifiers: Sequence[Notifier]) -> None:
        """Read what was told, and begin to tell. Raises AlertsUnusable."""
        self._catch_up()
        since_us = self._now_us() - self._expire_us
        with self._lock:
            firing = [
                each
                for each in self._memory.firing()
                if each.transition.at_us >= since_us and self._noticed.knows(each.fingerprint)
            ]
        self._notifiers = notifiers
        for each in notifiers:
            each.resume(firing)
            each.start()

    def send(self, transitions: Sequence[Transition]) -> None:
        """See Sink. Raises AlertsUnusable: what was not kept is sent again after a restart."""
        with self._lock:
            wanted = any(isinstance(self._memory.news(each), Told) for each in transitions)
        if wanted:
            self._catch_up()
        news: list[Told] = []
        people: list[Told] = []
        with self._lock:
            for each in transitions:
                self._decide(each, news, people)
        if people:
            for notifier in self._notifiers:
                notifier.offer(people)
        if news:
            self._record.tell(news)
            self._numbers.told(news)
            self._on_told(news)

    def still_firing(self, fingerprints: Collection[str]) -> Mapping[str, Told]:
        """Return what was told last of those of these alerts that fire, by whoever; as far as is known."""
        try:
            self._catch_up()
        except AlertsUnusable as error:
            log.warning("what others told is not known: %s", error)
        with self._lock:
            found = {each: self._memory.of(each) for each in fingerprints}
        return {fingerprint: told for fingerprint, told in found.items() if told is not None}

    def close(self) -> None:
        """See Sink."""
        for each in self._notifiers:
            each.close()
        self._record.close()

    def _decide(self, found: Transition, news: list[Told], people: list[Told]) -> None:
        told = self._memory.news(found)
        if isinstance(told, Told):
            self._memory.observe(told)
            news.append(told)
            noticed = self._noticed.for_people(told, self._now_us())
            if noticed is None:
                self._numbers.silent(found.rule, "old")
            else:
                people.append(noticed)
            return
        self._numbers.silent(found.rule, told)
        if told == "still" and not self._noticed.knows(found.fingerprint):
            # It began while the monitor caught up with the past, and goes on: now people are told.
            began = self._memory.of(found.fingerprint)
            if began is not None:
                noticed = self._noticed.for_people(Told.of(found, began.began_us), self._now_us())
                people += [] if noticed is None else [noticed]

    def _catch_up(self) -> None:
        with self._reading:  # whoever comes second decides with what the first one has read
            told = self._record.read()
            with self._lock:
                for each in told:
                    if self._memory.observe(each):
                        self._noticed.others_told(each)
            self._numbers.observed(told)
