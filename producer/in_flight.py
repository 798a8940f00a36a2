"""What a producer was given and has not reported on: groups of records, and since when each of them is on its way.

A report of each success would cost the interpreter more than all the rest of shipping. So only failures call us, and
successes are seen from this: the client keeps a reference to what it would call until it has reported, one for each
record. All records of a group share one such object. Once that is gone, librdkafka has reported on each of them, and
those that did not fail are delivered. What somebody still refers to is never gone, so this errs on one side only.

librdkafka is never left to give up a record for its age. It does so message by message, and goes on with what is
younger: Kafka back at that moment would get later events before earlier ones. The shipper gives up all at once instead,
and begins again with the oldest; this is where it learns when.
"""

import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

from .record import Record

Place = tuple[int, Record]
"""A record with its position in the queue."""

_MOMENT_S = 0.25


class _Moment:
    """The records that were handed over at about the same time."""

    __slots__ = ("left", "since_s")

    def __init__(self, since_s: float) -> None:
        self.since_s = since_s
        self.left = 0


class Group:
    """Records of one topic that were handed over together, in order."""

    __slots__ = ("_moment", "_undelivered", "places", "topic")

    def __init__(self, topic: str, moment: _Moment) -> None:
        self.topic = topic
        self.places: list[Place] = []
        self._moment = moment
        self._undelivered: set[int] = set()

    def fail(self, key: bytes | None, value: bytes | None) -> Place | None:
        """Take note that a record was not delivered, and return it; None: it is not of this group.

        A report tells what the record held, and an event's id makes that unique; of equal ones the first comes first.
        """
        for place in self.places:
            position, record = place
            if record.value == value and record.key == key and position not in self._undelivered:
                self._undelivered.add(position)
                return place
        return None

    def fail_all(self) -> None:
        """Take note that nothing is known of any record."""
        self._undelivered.update(position for position, _ in self.places)

    def delivered(self) -> list[int]:
        """Return the positions of what did not fail, once all is reported."""
        if not self._undelivered:
            return [position for position, _ in self.places]
        return [position for position, _ in self.places if position not in self._undelivered]

    def count(self, topics: dict[str, int], sign: int) -> None:
        """Enter the group as on its way (1), or as reported on (-1)."""
        change = sign * len(self.places)
        topics[self.topic] = topics.get(self.topic, 0) + change
        self._moment.left += change


Failure = tuple[Group, Any, Any]
"""The group, the error and the message of a failed record, as the client gave them."""


class Report:
    """What the client calls for each record of a group that failed, and lets go of with each one that is reported."""

    __slots__ = ("__weakref__", "_failures", "group")

    def __init__(self, group: Group, failures: deque[Failure]) -> None:
        self.group = group
        self._failures = failures

    def __call__(self, error: Any, message: Any) -> None:
        """Keep a failure. No more than that: what would be raised here would be lost with the report."""
        if error is not None:
            self._failures.append((self.group, error, message))


class _Watch(weakref.ref[Report]):
    __slots__ = ("group",)
    group: Group


class InFlight:
    """One producer's. A new producer has a new one: reports of an earlier producer change nothing but its own."""

    def __init__(self) -> None:
        self.topics: dict[str, int] = {}
        """How many records of each topic are on their way."""
        self.failures: deque[Failure] = deque()
        """Failures that were reported and not looked at; they come before the end of their group."""
        self._moments: deque[_Moment] = deque()
        self._open: list[Report] = []
        self._watches: set[_Watch] = set()
        self._reported: deque[_Watch] = deque()

    def open(self, topic: str, now_s: float) -> Report:
        """Begin a group; whoever hands a record over with its report adds it to the group's places."""
        if not self._moments or now_s - self._moments[-1].since_s >= _MOMENT_S:
            self._moments.append(_Moment(now_s))
        report = Report(Group(topic, self._moments[-1]), self.failures)
        watch = _Watch(report, self._reported.append)
        watch.group = report.group
        self._watches.add(watch)
        self._open.append(report)
        return report

    def close(self) -> None:
        """End the groups that are open, before any report is served: from now on only the client refers to theirs."""
        for report in self._open:
            report.group.count(self.topics, 1)
        self._open.clear()

    def settled(self) -> Iterator[Group]:
        """Return the groups that are reported on in full, each once. Look at `failures` first."""
        while self._reported:
            watch = self._reported.popleft()
            self._watches.discard(watch)
            watch.group.count(self.topics, -1)
            yield watch.group

    def distrust(self) -> None:
        """Take note that a report may have been lost: nothing that is on its way counts as delivered any more."""
        for watch in self._watches:
            watch.group.fail_all()

    def waited_s(self, now_s: float) -> float:
        """Return for how long the oldest record has been on its way, less a moment; 0 when none is."""
        moments = self._moments
        while moments and not moments[0].left:
            moments.popleft()
        return now_s - moments[0].since_s if moments else 0.0
