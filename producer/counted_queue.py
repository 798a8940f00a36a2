"""A queue as the shipper reads it, with the books kept by topic: what was read, acknowledged, and left out.

The queue on disk knows positions, which have no holes, and numbers (`seq`), which have one wherever emit() refused an
event. So a jump in the numbers of a topic means: never accepted, as long as no position was passed over since the
topic's last event; otherwise lost for the reason that the queue gives. Everything is called by the reading thread.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from .queues import Queue
from .record import Record

OnLost = Callable[[str, int, int, str], None]
NOT_ACCEPTED = "not_accepted"


def _nobody(_topic: str, _first: int, _last: int, _reason: str) -> None:
    pass


class CountedQueue:
    """Wraps a Queue. What it does not have itself is the wrapped queue's."""

    def __init__(
        self,
        queue: Queue,
        on_lost: OnLost = _nobody,
        *,
        before: Mapping[str, int] | None = None,
        next_position: int = 0,
    ) -> None:
        """`on_lost(topic, first, last, reason)` is told of numbers that will not come.

        `before`: the last number of each topic that was read earlier, as far as is known; None for a process's own
        queue, which begins at number 1 and whose owner knows what it never accepted. Then only losses are told of.
        """
        self._queue = queue
        self.on_lost = on_lost
        self._own = before is None
        self._next = next_position
        self._jumped_at = -1
        self._reason = "damaged"
        self._known_losses: dict[str, int] = {}
        self._expired: list[tuple[int, str, int]] = []
        self._at: dict[str, int] = {}
        self.last_seqs: dict[str, int] = dict(before or {})
        self.seen: dict[str, int] = {}
        self.acked: dict[str, int] = {}
        self.waiting: dict[int, tuple[str, int]] = {}  # by position: topic and number
        watch = getattr(queue, "watch_expired", None)
        if watch is not None:
            watch(lambda position, topic, seq: self._expired.append((position, topic, seq)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    def as_queue(self) -> Queue:
        """Return it as what it stands for."""
        return cast("Queue", self)

    def read(self, records_max: int) -> list[tuple[int, Record]]:
        """Return the next records with their positions."""
        batch = self._queue.read(records_max)
        for reason, count in self._queue.losses.items():
            if count > self._known_losses.get(reason, 0):
                self._known_losses[reason] = count
                self._reason = reason if reason != "expired" else self._reason
        if self._expired:
            self._with_expired(batch)
            return batch
        for position, record in batch:
            self._saw(position, record.topic, record.seq)
            self.waiting[position] = record.topic, record.seq
        return batch

    def _with_expired(self, batch: list[tuple[int, Record]]) -> None:
        """Keep the books of a batch out of which expired records were left, in the order of the queue."""
        expired, self._expired = self._expired, []
        kept = [(position, record.topic, record.seq) for position, record in batch]
        gone = {position for position, _, _ in expired}
        for position, topic, seq in sorted([*kept, *expired]):
            self._saw(position, topic, seq)
            if position in gone:
                self.waiting.pop(position, None)
                self.on_lost(topic, seq, seq, "expired")
            else:
                self.waiting[position] = topic, seq

    def _saw(self, position: int, topic: str, seq: int) -> None:
        if position < self._next:
            return  # read again
        if position > self._next:
            self._jumped_at = position
        self._next = position + 1
        self.seen[topic] = self.seen.get(topic, 0) + 1
        last = self.last_seqs.get(topic, 0 if self._own else None)
        if last is not None and seq > last + 1:
            if self._jumped_at > self._at.get(topic, -1):
                self.on_lost(topic, last + 1, seq - 1, self._reason)
            elif not self._own:
                self.on_lost(topic, last + 1, seq - 1, NOT_ACCEPTED)
        self.last_seqs[topic] = seq
        self._at[topic] = position

    def ack(self, position: int) -> None:
        """Forget a record that was read."""
        waiting = self.waiting.pop(position, None)
        if waiting is not None:
            self.acked[waiting[0]] = self.acked.get(waiting[0], 0) + 1
        self._queue.ack(position)

    def ack_all(self, positions: Iterable[int]) -> None:
        """Forget many records that were read."""
        for position in positions:
            self.ack(position)

    def refuse(self, record: Record) -> None:
        """Take note that a record was acknowledged to the queue without having been delivered."""
        self.acked[record.topic] = self.acked.get(record.topic, 0) - 1
        self.on_lost(record.topic, record.seq, record.seq, "refused")
