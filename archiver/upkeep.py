"""What a worker does for a topic's archive beside archiving: it cleans, folds the log, and seals dates.

None of it is needed for exactness, and none of it may hold archiving up: what a store refuses is logged, and tried
again at the next occasion.
"""

from collections.abc import Collection

from .commit_log import CommitLog
from .failpoints import Failpoint
from .folds import store_due_folds
from .log_state import Identity
from .sealing import Sealer
from .uploads import Uploads


class Upkeep:
    """The upkeep of one topic by one worker. `sealer` None: no dates are sealed."""

    def __init__(self, log: CommitLog, uploads: Uploads, sealer: Sealer | None, *, failpoint: Failpoint) -> None:
        self._log = log
        self._uploads = uploads
        self._sealer = sealer
        self._failpoint = failpoint
        self._cleaning_due = self._idle_cleaning_due = False

    def assigned(self) -> None:
        """Note an assignment: somebody may have died and left objects."""
        self._cleaning_due = self._idle_cleaning_due = True

    def committed(self, mine: Collection[Identity]) -> None:
        """After a commit: clean as long as it is due, and store the folds that became due."""
        self._clean(mine)
        self._fold()

    def idle(self, mine: Collection[Identity]) -> None:
        """Once an assignment, when there is nothing to commit: remove what crashed writers left, for plain readers."""
        if self._idle_cleaning_due:
            self._idle_cleaning_due = False
            self._clean(mine)
        self._fold()

    def seal(self, topic_id: str | None, *, now: bool = False) -> None:
        """Seal the dates that are complete, when it is time to look again, or `now`."""
        if self._sealer is not None and topic_id is not None:
            self._sealer.seal(topic_id, now=now)

    def _clean(self, mine: Collection[Identity]) -> None:
        if self._cleaning_due:
            self._cleaning_due = self._uploads.clean(self._log.state, self._log.refresh, mine)
            self._failpoint("after-cleaning")

    def _fold(self) -> None:
        if self._log.folds:
            self._failpoint("before-fold")
            store_due_folds(self._log)
            self._failpoint("after-fold")
