"""What a log record says beside its sentence: an event's name and fields, for logs that machines read.

Fields are numbers, offsets, names and keys: never a record's key, value or headers, and nothing of the configuration.
"""

from typing import Any

FIELDS = "headrace"


def fields(event: str, **more: Any) -> dict[str, dict[str, Any]]:
    """Return what goes into `extra` of a logging call."""
    return {FIELDS: {"event": event, **more}}
