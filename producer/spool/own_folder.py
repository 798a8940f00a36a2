"""A living process's own folder: made and locked, and made anew under the same name when somebody removes it."""

import contextlib
from collections.abc import Callable

from .ownership import Owned
from .segment_files import Segment


class OwnFolder:
    """Holds the folder's lock. look() is for the thread that looks after the queue."""

    def __init__(self, make: Callable[[], Owned]) -> None:
        """`make` makes the folder, or raises OSError."""
        self._make = make
        self.owned = make()
        self.there = True
        self._cut: Segment | None = None

    def look(self, newest: Callable[[], Segment]) -> Segment | None:
        """Return the last segment that was removed: until there is one behind it, and then once more, for its end.

        Nobody but its process may remove the newest segment. `newest` may change at any moment: an append that makes
        the next one in the folder that is just being removed is found out at the next look.
        """
        segment = newest()
        self.there = self.owned.still_there
        if not self.there:
            with contextlib.suppress(OSError):  # an append finds out for itself, and is refused
                owned = self._make()
                self.owned.release()
                self.owned, self.there = owned, True
            self._cut = segment
        elif not segment.path.exists() and newest() is segment:
            self._cut = segment
        cut = self._cut
        if cut is not None and cut.after is not None:
            self._cut = None
        return cut
