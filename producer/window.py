"""What a producer was given and has not come back from: the shipper's account of what is on its way.

Only failures are reported record by record. A report of every success would hold the interpreter for longer than all
the rest of shipping takes; instead, all that did not fail is known to be delivered whenever the producer is empty. So
the shipper lets it run empty now and then, which takes it no longer than its slowest batch.
"""

from .record import Record

Place = tuple[int, Record]
"""A record with its position in the queue."""


class Window:
    """The records given to one producer since it was last empty, in order."""

    def __init__(self) -> None:
        self.records: list[Place] = []
        self.since = 0.0
        """When the first of them was given."""
        self._failed: set[int] = set()
        self._unreported: dict[tuple[str, bytes], list[Place]] = {}
        self._indexed = 0

    def __len__(self) -> int:
        return len(self.records)

    def fail(self, topic: str, value: bytes) -> Place | None:
        """Take note that a record did not arrive, and return it; None when there is no such record (any more).

        A report has the record's content, which the event's id makes unique; of equal ones the first comes first.
        """
        for place in self.records[self._indexed :]:
            self._unreported.setdefault((place[1].topic, place[1].value), []).append(place)
        self._indexed = len(self.records)
        places = self._unreported.get((topic, value))
        if not places:
            return None
        place = places.pop(0)
        self._failed.add(place[0])
        return place

    def empty(self) -> list[int]:
        """Return the positions of what was delivered, now that the producer is empty, and begin anew."""
        failed, records = self._failed, self.records
        delivered = [position for position, _ in records if position not in failed]
        self.records = []
        if self._indexed:
            self._failed, self._unreported, self._indexed = set(), {}, 0
        return delivered
