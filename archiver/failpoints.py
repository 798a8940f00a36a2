"""Named points in the archiver's path at which tests kill or pause it, to prove that no step between loses or doubles.

`FAILPOINTS` are those that each flush passes, in their order; `UPKEEP_FAILPOINTS` those of folds and seals, which come
now and then; `COMPACT_FAILPOINTS` those of `headrace compact`, `RETRY_FAILPOINTS` those of `headrace quarantine retry`,
`ERASE_FAILPOINTS` and `EXPIRE_FAILPOINTS` those of `headrace erase` and `headrace expire`. In production every hit is a
no-op.
"""

import os
import signal
from collections.abc import Callable

FAILPOINTS = (
    "after-fetch",
    "after-decode",
    "flush-begun",
    "files-built",
    "one-file-uploaded",
    "files-uploaded",
    "before-commit",
    "after-commit",
    "before-offset-commit",
    "after-offset-commit",
    "after-cleaning",
)

UPKEEP_FAILPOINTS = ("before-fold", "after-fold", "before-seal", "after-seal", "before-marker", "after-marker")
REWRITE_STEPS = ("built", "intent", "uploaded", "before-rewrite", "after-rewrite", "removed")
COMPACT_FAILPOINTS = tuple(f"compact-{step}" for step in REWRITE_STEPS)
RETRY_FAILPOINTS = tuple(f"retry-{step}" for step in REWRITE_STEPS)
ERASE_FAILPOINTS = tuple(f"erase-{step}" for step in REWRITE_STEPS)
EXPIRE_FAILPOINTS = ("expire-before-entry", "expire-after-entry", "expire-removed")

Failpoint = Callable[[str], None]


def no_failpoint(_name: str) -> None:
    """Pass every point."""


def signal_at(point: str, hits: int, number: int = signal.SIGKILL) -> Failpoint:
    """Return a failpoint that sends this process a signal at the given hit (1, 2, ...) of a point.

    SIGKILL ends it there, SIGSTOP makes it a zombie that wakes when somebody sends SIGCONT. Raises ValueError for a
    point that does not exist, so that a misspelt test fails instead of passing.
    """
    rewrites = (*COMPACT_FAILPOINTS, *RETRY_FAILPOINTS, *ERASE_FAILPOINTS, *EXPIRE_FAILPOINTS)
    known = (*FAILPOINTS, *UPKEEP_FAILPOINTS, *rewrites)
    if point not in known:
        raise ValueError(f"no failpoint {point!r}; there are: {', '.join(known)}")
    left = hits

    def hit(name: str) -> None:
        nonlocal left
        if name == point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), number)

    return hit
