"""Where the shipper keeps records of topics that do not exist, or may not be written, until they are tried again."""

from collections.abc import Callable

from .window import Place

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

    def close(self, topic: str) -> None:
        """Begin to park a topic's records, or go on doing so."""
        self.until[topic] = self._monotonic() + self._retry_s

    def park(self, place: Place) -> None:
        """Keep a record."""
        self._parked.setdefault(place[1].topic, []).append(place)
        self._bytes += place[1].queued_bytes

    def due(self) -> str | None:
        """Return a topic whose records are to be tried again now."""
        if not self.until:
            return None
        now = self._monotonic()
        return next((topic for topic, at in self.until.items() if at <= now and self._parked.get(topic)), None)

    def take(self, topic: str) -> list[Place]:
        """Give a topic's records back, in order, and park no more of them."""
        del self.until[topic]
        back = sorted(self._parked.pop(topic))
        self._bytes -= sum(record.queued_bytes for _, record in back)
        return back

    def forget(self) -> None:
        """Let go of the records: the queue gives them again. Their topics stay as they are."""
        self._parked, self._bytes = {}, 0
