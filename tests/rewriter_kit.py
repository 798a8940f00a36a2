"""What tests give a verb that rewrites files: a clock that stands, ids that count, nobody dead."""

import itertools
from typing import Any

from headrace.archiver.failpoints import no_failpoint

_ids = itertools.count(1)


class Stopped(BaseException):
    """The process dies here: nothing of it runs any more."""


class StandingClock:
    """A clock that stands still."""

    def now(self) -> str:
        return "2026-11-24T00:00:00.000000Z"

    def monotonic(self) -> float:
        return 0.0

    def pause(self, seconds: float) -> None:
        del seconds


def rewriter_options(writer: str, **more: Any) -> dict[str, Any]:
    """Return what every rewriter takes beside a store and a topic, `more` in the place of what is usual."""
    return {
        "writer": writer,
        "clock": StandingClock(),
        "new_id": lambda: f"new{next(_ids):06}",
        "failpoint": no_failpoint,
        "is_gone": lambda _writer: False,
        **more,
    }
