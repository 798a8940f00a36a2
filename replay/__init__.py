"""Read, verify and send what the archive holds; every part is checked against its digest.

In Python: `for batch in headrace.replay.read(store, "pin", Selection(start=0, end=1000)): ...` gives record batches of
one partition each, offsets rising; `open_reading()` gives the plan and the counts too.
"""

from .errors import (
    ArchiveDamaged,
    KafkaUnusable,
    NothingChecked,
    RangeMissing,
    ReplayDiffers,
    ReplayError,
    RequestRefused,
    TargetUnfit,
    TopicUnknown,
)
from .plan import Plan
from .reader import Chunk, ReadCounts, Reading, open_reading, read
from .selection import Selection, parse_selection

__all__ = [
    "ArchiveDamaged",
    "Chunk",
    "KafkaUnusable",
    "NothingChecked",
    "Plan",
    "RangeMissing",
    "ReadCounts",
    "Reading",
    "ReplayDiffers",
    "ReplayError",
    "RequestRefused",
    "Selection",
    "TargetUnfit",
    "TopicUnknown",
    "open_reading",
    "parse_selection",
    "read",
]
