"""A queue as the shipper reads it, with the books kept by topic: what was read, acknowledged, and left out.

The queue on disk knows positions, which have no holes, and numbers (`seq`), which have one wherever emit() refused an
event. So a jump in the numbers of a topic means: never accepted, as long as no position was passed over since the
topic's last event; otherwise lost for the reason that the queue gives. Everything goes by position, so that reading
again changes nothing, in this process or in one that goes on with these books. One thread, the reading one, calls it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from .queues import Queue
from .record import Record

OnLost = Callable[[str, int, int, str], None]
NOT_ACCEPTED = "not_accepted"
REFUSED = "refused"
TORN = "torn"
_ENDED_MAX = 10_000


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
        self._next = self._read_to = next_position
        self._whole = self._own
        self._done = 0  # what comes again from before here was settled already
        self._jumped_at = -1
        self._reason = "damaged"
        self._known_losses: dict[str, int] = {}
        self._expired: list[tuple[int, str, int]] = []
        self._at: dict[str, int] = {}
        self._ended: dict[tuple[str, int], int] = {}  # what was read and was no delivery in the end: its position
        self.last_seqs: dict[str, int] = dict(before or {})
        self.passed: dict[str, int] = {}
        """How many positions hold no event that can be delivered, by reason."""
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
        if self._next < 0 and (batch or self._expired):
            self._next = min([position for position, _ in batch[:1]] + [each[0] for each in self._expired[:1]])
        if self._expired:
            self._with_expired(batch)
        else:
            for position, record in batch:
                self._saw(position, record.topic, record.seq)
                self.waiting[position] = record.topic, record.seq
        if batch:
            self._read_to = max(self._read_to, batch[-1][0] + 1)
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
                self._read_to = max(self._read_to, position + 1)
                self._end(topic, seq, position, "expired")
            else:
                self.waiting[position] = topic, seq

    def _end(self, topic: str, seq: int, position: int, reason: str) -> None:
        """Tell of an event that was read and will not be delivered, unless that was told before."""
        if position < self._done or (topic, seq) in self._ended:
            return
        if not self._own and len(self._ended) < _ENDED_MAX:
            self._ended[topic, seq] = position
        if reason != REFUSED:
            self.passed[reason] = self.passed.get(reason, 0) + 1
        self.on_lost(topic, seq, seq, reason)

    def _saw(self, position: int, topic: str, seq: int) -> None:
        if position < self._next:
            return  # read again
        if position > self._next:
            self._jumped_at = position
            self.passed[self._reason] = self.passed.get(self._reason, 0) + position - self._next
        self._next = position + 1
        self.seen[topic] = self.seen.get(topic, 0) + 1
        last = self.last_seqs.get(topic, 0 if self._whole else None)
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
        """Take note that a record is acknowledged to the queue without having been delivered: right before that."""
        self.acked[record.topic] = self.acked.get(record.topic, 0) - 1
        place, position = (record.topic, record.seq), self._next
        if next(iter(self.waiting), position) < self._done:
            position = next((at for at, each in self.waiting.items() if each == place), position)
        self._end(*place, position, REFUSED)

    def torn(self, events: Iterable[tuple[str, int]]) -> bool:
        """Take note of the events that the damaged end holds, by their heads; return whether those can be believed.

        Nothing vouches for a damaged record's head. It is believed where it carries on what was read: a topic that is
        known, and its next number.
        """
        last = dict(self.last_seqs)
        found = [event for event in events if event not in self._ended]
        for topic, seq in found:
            if last.get(topic) != seq - 1:
                return False
            last[topic] = seq
        for topic, seq in found:
            self._ended[topic, seq] = self._next
            self.on_lost(topic, seq, seq, TORN)
        self.last_seqs = last
        return True

    # --- for books that are kept longer than a process lives: folder_books.py ---

    @property
    def behind(self) -> bool:
        """Whether what these books hold already is not yet read again: what waits is then not known."""
        return self._read_to < self._next

    def end(self, position: int) -> None:
        """Take note that all before a position is done, and that nothing is left to read."""
        for topic, seq in self.waiting.values():  # they were damaged when they were read again
            self.seen[topic] -= 1
            self._end(topic, seq, self._next, self._reason)
        self.waiting.clear()
        if position > self._next:
            self.passed[self._reason] = self.passed.get(self._reason, 0) + position - self._next
            self._next = position

    def begin(self, position: int | None, before: Mapping[str, int]) -> None:
        """Begin at a position (None: wherever reading does); `before`: the last numbers, of the topics that are known,
        before it."""
        self._next = self._read_to = -1 if position is None else position
        self._whole = position == 0
        self.last_seqs = dict(before)

    def go_on(self, position: int, state: Mapping[str, Any]) -> None:
        """Go on with what state() returned; reading begins at a position, which may come again."""
        self._next, self._done, self._read_to = state["next"], state["done"], position
        self._whole, self._jumped_at, self._reason = state["whole"], state["jumped_at"], state["reason"]
        self._at, self.last_seqs, self.seen = dict(state["at"]), dict(state["last"]), dict(state["seen"])
        self.passed = dict(state["passed"])
        self._ended = {(topic, seq): at for topic, seq, at in state["ended"]}

    def state(self, position: int) -> dict[str, Any]:
        """Return the books, as JSON holds them; all before `position` is done."""
        self._done = max(self._done, position)  # a cursor that was lost may have begun before it
        self._ended = {place: at for place, at in self._ended.items() if at >= self._done}
        return {
            "done": self._done,
            "next": self._next,
            "whole": self._whole,
            "jumped_at": self._jumped_at,
            "reason": self._reason,
            "at": dict(self._at),
            "last": dict(self.last_seqs),
            "seen": dict(self.seen),
            "passed": dict(self.passed),
            "ended": [[*place, at] for place, at in self._ended.items()],
        }
