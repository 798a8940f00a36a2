"""Read, verify and send what the archive holds; every part is checked against its digest.

In Python: `headrace.replay.open("s3://bucket/prefix").read("pin", from_="2026-11-23T10:00:00Z")` gives records, Arrow,
DuckDB or pandas. Below it, `read(store, "pin", Selection(start=0, end=1000))` gives record batches of one partition
each, offsets rising, and `open_reading()` the plan and the counts too.

Each name is loaded when it is first asked for: whoever needs an error only does not wait for all decoders.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_FROM = {
    "Archive": ("archive", "Archive"),
    "ArchiveDamaged": ("errors", "ArchiveDamaged"),
    "Chunk": ("reader", "Chunk"),
    "KafkaUnusable": ("errors", "KafkaUnusable"),
    "NothingChecked": ("errors", "NothingChecked"),
    "Plan": ("plan", "Plan"),
    "RangeMissing": ("errors", "RangeMissing"),
    "ReadCounts": ("reader", "ReadCounts"),
    "Reading": ("reader", "Reading"),
    "Record": ("archive", "Record"),
    "Records": ("archive", "Records"),
    "ReplayDiffers": ("errors", "ReplayDiffers"),
    "ReplayError": ("errors", "ReplayError"),
    "RequestRefused": ("errors", "RequestRefused"),
    "Selection": ("selection", "Selection"),
    "TargetUnfit": ("errors", "TargetUnfit"),
    "TopicUnknown": ("errors", "TopicUnknown"),
    "open": ("archive", "open_archive"),
    "open_reading": ("reader", "open_reading"),
    "parse_selection": ("selection", "parse_selection"),
    "read": ("reader", "read"),
    "spark": ("spark_frame", "spark"),
}


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _FROM[name]
    value = getattr(import_module(f".{module}", __name__), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_FROM})
