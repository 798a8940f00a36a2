"""Has the disk take what a living process appended: for power loss, which the page cache does not outlive."""

import contextlib
import os

from .segment_files import Segment
from .segment_format import HEADER_BYTES


class Syncing:
    """Goes along a chain that grows. For the thread that looks after the queue."""

    def __init__(self, first: Segment) -> None:
        """Begin at the chain's first segment, of which the header counts as taken."""
        self.at = first
        """The last segment that was looked at: all before it are synced, and closed."""
        self._to = HEADER_BYTES

    def sync(self, head: Segment) -> None:
        """Sync from where it stands, or from `head` when that is further, to the chain's present end."""
        segment: Segment | None = self.at if self.at.number >= head.number else head
        while segment is not None:
            sealed, (end, _) = segment.sealed, segment.tail
            if segment.fd is not None and (segment is not self.at or end > self._to):
                with contextlib.suppress(OSError):
                    _sync_file(segment.fd)
            self.at, self._to = segment, end
            if sealed:
                segment.let_go()
            segment = segment.after if sealed else None


def _sync_file(fd: int) -> None:
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(fd)
