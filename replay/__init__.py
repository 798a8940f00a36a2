"""Read, verify and send what the archive holds; every part is checked against its digest.

In Python: `headrace.replay.open("s3://bucket/prefix").read("pin", from_="2026-11-23T10:00:00Z")` gives records, Arrow,
DuckDB or pandas. Below it, `read(store, "pin", Selection(start=0, end=1000))` gives record batches of one partition
each, offsets rising, and `open_reading()` the plan and the counts too.
"""

from .archive import Archive, Record, Records
from .archive import open_archive as open  # noqa: A004 - headrace.replay.open is what it is called by
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
from .spark_frame import spark

__all__ = [
    "Archive",
    "ArchiveDamaged",
    "Chunk",
    "KafkaUnusable",
    "NothingChecked",
    "Plan",
    "RangeMissing",
    "ReadCounts",
    "Reading",
    "Record",
    "Records",
    "ReplayDiffers",
    "ReplayError",
    "RequestRefused",
    "Selection",
    "TargetUnfit",
    "TopicUnknown",
    "open",
    "open_reading",
    "parse_selection",
    "read",
    "spark",
]
