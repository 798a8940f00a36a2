"""What becomes of an event that is too large to be accepted: numbered and encoded like any other, then put aside."""

from .letter import ERROR_CHARS_MAX, Letter
from .queues import MemoryQueue, Queue
from .record import Record


class Aside(MemoryQueue):
    """A queue that accepts nothing, and has another one put aside what it is given: for events that are too large."""

    refusal = "oversize"

    def __init__(self, queue: Queue, error: str) -> None:
        super().__init__(queue_records_max=1, queue_bytes_max=1)
        self._queue = queue
        self._error = error

    def append(self, record: Record, *, force: bool = False) -> bool:  # noqa: ARG002 - the contract's
        """Put a record aside."""
        self._queue.put_aside(Letter("oversize", self._error[:ERROR_CHARS_MAX], record.event_type, record))
        return False
