"""What a producer was given and has not reported on: how many records of each topic, and since when.

librdkafka is never left to give up a record for its age. It does so message by message, and goes on with what is
younger: Kafka back at that moment would get later events before earlier ones. The shipper gives up all at once instead,
and begins again with the oldest; this is where it learns when.
"""

from collections import deque

_MOMENT_S = 0.25


class Moment:
    """The records that were handed over at about the same time."""

    __slots__ = ("left", "since_s", "topics")

    def __init__(self, since_s: float, topics: dict[str, int]) -> None:
        self.since_s = since_s
        self.topics = topics
        self.left = 0


class InFlight:
    """One producer's. A new producer has a new one: reports of an earlier producer change nothing but its own."""

    def __init__(self) -> None:
        self.topics: dict[str, int] = {}
        """How many records of each topic are on their way."""
        self._moments: deque[Moment] = deque()

    def now(self, now_s: float) -> Moment:
        """Return where to count the records that are handed over now, and their reports."""
        if not self._moments or now_s - self._moments[-1].since_s >= _MOMENT_S:
            self._moments.append(Moment(now_s, self.topics))
        return self._moments[-1]

    def waited_s(self, now_s: float) -> float:
        """Return for how long the oldest record has been on its way, less a moment; 0 when none is."""
        moments = self._moments
        while moments and not moments[0].left:
            moments.popleft()
        return now_s - moments[0].since_s if moments else 0.0
