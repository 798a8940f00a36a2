"""Where the shipper keeps records of topics that do not exist, or may not be written, until they are tried again."""

from collections.abc import Callable, Mapping

from .in_flight import Place

_BYTES_MAX = 128 << 20


class Parking:
    """Records by topic, each topic with the moment of its next try. What is parked is not acknowledged."""

    def __init__(self, *, retry_s: float, monotonic: Callable[[], float]) -> None:
        self._retry_s = retry_s
        self._monotonic = monotonic
        self._parked: dict[str, list[Place]] = {}
        self._bytes = 0
        self.until: dict[str, float] = {}
        """By topic, when it is tried again. Records of these topics are to be parked."""

    def __bool__(self) -> bool:
        return bool(self._parked)

    @property
    def full(self) -> bool:
        """Whether what waits for missing topics fills the memory that there is for it."""
        return self._bytes > _BYTES_MAX

    def shut(self, topic: str) -> None:
        """Begin to park a topic's records, or go on doing so for a while."""
        self.until[topic] = self._monotonic() + self._retry_s

    def park(self, place: Place) -> None:
        """Keep a record."""
        record = place[1]
        self._parked.setdefault(record.topic, []).append(place)
        self._bytes += record.queued_bytes

    def due(self, in_flight: Mapping[str, int]) -> list[Place]:
        """Give back the records of a topic that is to be tried again, in order, and park no more of them.

        Only when all of the topic's records have come back: else a later one could overtake an earlier one.
        """
        if not self.until:
            return []
        now = self._monotonic()
        for topic, at in self.until.items():
            if at <= now and not in_flight.get(topic) and self._parked.get(topic):
                del self.until[topic]
                back = sorted(self._parked.pop(topic))
                self._bytes -= sum(record.queued_bytes for _, record in back)
                return back
        return []

    def forget(self) -> None:
        """Let go of the records: the queue gives them again. Their topics stay shut for as long as they would."""
        self._parked, self._bytes = {}, 0
