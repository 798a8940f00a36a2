"""What a process's event log reads off its instruments, and who may be told: the input of every kind of metrics.

Plain values. What serves or sends them takes any function that returns Readings, so that the same metrics serve an
event log and a process that only delivers spools.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from .counts import Counts


@dataclass(frozen=True)
class Readings:
    """The instruments at one moment. Times are seconds, sizes bytes."""

    counts: Counts
    queued_bytes: int = 0
    oldest_waiting_s: float = 0.0
    """How long the oldest event that is not acknowledged has waited; 0 when nothing waits."""
    spool_bytes: int | None = None
    """What all processes of this host have in the spool folder; None without a spool."""
    spool_bytes_max: int | None = None
    seconds_until_drop: Mapping[str, float] = field(default_factory=dict)
    """By class of events: when the first would be refused, or dropped for its age, at the present growth. 0: now.
    Infinite while nothing grows."""


class Sink(Protocol):
    """Takes readings to somewhere. Called on a thread of its own, once a second."""

    def report(self, readings: Readings, *, last: bool) -> None:
        """Take readings; `last`: the log was closed, no others follow from this process."""
