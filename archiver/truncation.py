"""Where a truncated partition's new history begins.

After an unclean election Kafka may have fewer records than the archive, and may have written others in their place.
librdkafka checks the leader epoch at which we stood and reports the offset at which the epochs part; nothing else in
its interface tells that offset. Where the report does not hold it, all that Kafka still has is read again as the new
lineage: that may repeat records which both histories share, and can never miss one.
"""

import re

_END_OFFSET = re.compile(r"broker end offset is (\d+)")


def divergence_offset(detail: str, *, low: int, end: int, archived_to: int) -> int:
    """Return the offset at which the new lineage begins, between `low` and `end`.

    `detail` is the client's error text; `low` and `end` are Kafka's log start and end; `archived_to` the next offset of
    the closed lineage.
    """
    found = _END_OFFSET.search(detail)
    if found is None:
        return low
    return max(low, min(int(found.group(1)), end, archived_to))
