"""What it means that the next offset of a partition is not there: deleted by retention, or another history.

After an unclean election Kafka may have fewer records than the archive, and may have written others in their place.
librdkafka checks the leader epoch at which we stood and reports the offset at which the epochs part; nothing else in
its interface tells that offset. Where the report does not hold it, all that Kafka still has is read again as the new
lineage: that may repeat records which both histories share, and can never miss one.

The epoch that the log knows is that of the last record. What follows it, markers and aborted records, may have been
written under a later one, so that the epochs seem to part although nothing was lost: then the offsets in between are
read again, and only a record among them shows another history.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from .held import Held

_END_OFFSET = re.compile(r"broker end offset is (\d+)")


@dataclass(frozen=True, slots=True)
class Retained:
    """The offsets before `low` were deleted before they were archived."""

    low: int


@dataclass(frozen=True, slots=True)
class ReadAgain:
    """Nothing is decided yet: drop what is not committed, and read again from `offset`."""

    offset: int


@dataclass(frozen=True, slots=True)
class Diverged:
    """Kafka lost what is archived. The new history is read from `begin` on, which is right at leader epoch `epoch`."""

    begin: int
    epoch: int


def meaning_of(
    detail: str, held: Held, *, low: int, end: int, rows_end: Callable[[], int]
) -> Retained | ReadAgain | Diverged:
    """Decide what a lost offset means.

    `detail` is the client's error text; `low` and `end` are Kafka's log start and end. `rows_end()` looks up one past
    the last archived record of the partition's lineage.
    """
    found = _END_OFFSET.search(detail)
    if found is not None and (cut := int(found.group(1))) < held.start:
        if held.taken and held.epoch >= 0:
            return ReadAgain(held.start)  # the client compares again, for where the log stands
        return ReadAgain(cut) if not held.taken and cut >= rows_end() else Diverged(cut, held.epoch)
    if held.again_from is not None and held.again_from < low <= held.start and not held.taken:
        return ReadAgain(low)  # retention took some of what is only read again
    if held.end < low:
        return Retained(low)
    if held.taken:
        return ReadAgain(held.start)
    return Diverged(low if found is None else min(end, held.start), -1)
