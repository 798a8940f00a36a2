"""The queue on disk of a process that ships nothing itself: it appends, and `headrace ship` delivers and removes.

What becomes of the records is learnt from the cursor, which the ship process writes: once a second, on the thread that
looks after the queue. docs/spool-format.md says who may do what in such a folder.
"""

from collections.abc import Mapping
from typing import Any

from ..record import Record
from .cursor import Cursor, read_cursor
from .segment_files import SUFFIX, Segment
from .segment_format import FRAME_BYTES, HEADER_BYTES, appended_ms_of
from .spool_queue import SpoolQueue


class SeparateQueue(SpoolQueue):
    """A SpoolQueue whose reading side is another process's."""

    logs = False
    ship_apart = True

    def __init__(self, *args: Any, **more: Any) -> None:
        """Take what SpoolQueue takes; raise OSError when the folder cannot be made."""
        super().__init__(*args, **more)
        self._done = 0  # records before this position are done, by the last cursor that was seen
        self._done_bytes = 0
        self._lost = 0  # of those, records that lay in a folder when it was removed
        self._first = 0  # the number of the present folder's first segment

    @property
    def losses(self) -> Mapping[str, int]:
        """Records lost after they were appended that this process knows of: the rest is the ship process's to count."""
        return {"unreadable": self._lost} if self._lost else {}

    @property
    def delivered(self) -> int:
        """How many records are done, and not for being lost."""
        return self._done - self._lost

    def read(self, records_max: int) -> list[tuple[int, Record]]:  # noqa: ARG002 - the contract's
        """Return nothing: another process reads."""
        return []

    def ack(self, position: int) -> None:
        """Do nothing: another process acknowledges."""

    def rewind(self) -> None:
        """Do nothing."""

    def lowest_unacked(self) -> int:
        """Return the lowest position that is not done."""
        return self._done

    def depth(self) -> tuple[int, int]:
        """Return how many records are not done, and their bytes as far as is known."""
        return self._segment.tail[1] - self._done, max(self._appended_bytes - self._done_bytes, 0)

    def close(self) -> None:
        """Leave the folder: the ship process delivers the rest, and removes it."""
        if self._closed:
            return
        self._closed = True
        if not self._own.owned.still_there:
            self._removed(self._segment)
        self._aside.flush()
        self._retired.clear()
        self._map.close()
        for segment in self._chain():
            segment.let_go()
        self._drop_spare()
        self._own.owned.release()

    def _removed(self, last: Segment) -> None:
        """Count what was not done when the folder was removed, by the last cursor that was seen: nobody can read it."""
        end = last.tail[1]
        if end > self._done:
            self._lost += end - self._done
            self._done, self._done_bytes = end, self._appended_bytes
        self._first = last.number + 1

    def _follow(self) -> None:
        """Learn from the cursor what is done, and forget the segments before it."""
        cursor = read_cursor(self._folder)
        if cursor is not None and cursor.position > self._done:
            tail = self._segment.tail[1]
            done = min(cursor.position, tail)
            waiting = max(tail - self._done, 1)
            # The bytes of what was done since: in proportion, for a gauge.
            self._done_bytes += (self._appended_bytes - self._done_bytes) * (done - self._done) // waiting
            self._done = done
        self._oldest_ms = None if self.depth()[0] == 0 else self._appended_ms_at(cursor)
        while self._head is not self._syncing.at and self._head.after is not None:
            self._head.let_go()
            self._head = self._head.after

    def _appended_ms_at(self, cursor: Cursor | None) -> int | None:
        """Return when the record was appended that the cursor stands at; the oldest one, when there is no cursor."""
        number, offset = (cursor.number, cursor.offset) if cursor is not None else (self._first, HEADER_BYTES)
        try:
            with (self._folder / f"{number:012d}{SUFFIX}").open("rb") as file:
                file.seek(offset)
                return appended_ms_of(file.read(FRAME_BYTES))
        except OSError:
            return None
