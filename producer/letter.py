"""A dead letter: an event that cannot be delivered as things are, with the reason; put aside, never dropped in silence.

With the whole record, as the spool would hold it (personal fields are tokens by then), where there is one: too large,
or refused by Kafka for good. Without any value of the event where it could not be made or encoded: what a value holds
that does not fit, nobody knows, so that not even a part of it is kept.
"""

from dataclasses import dataclass
from typing import Any

from headrace.schemas.errors import InvalidEvent
from headrace.schemas.event import Event

from .record import Record

ERROR_CHARS_MAX = 500


@dataclass(frozen=True, slots=True)
class Letter:
    """One event put aside. `record` is None when there is nothing that could be sent again."""

    reason: str
    error: str
    event_type: str
    record: Record | None = None


def refused(record: Record, error: str) -> Letter:
    """Return the letter of a record that Kafka refused for good."""
    return Letter("refused", error[:ERROR_CHARS_MAX], record.event_type or record.topic, record)


def unmade(reason: str, what: object, values: dict[str, Any], error: Exception) -> Letter:
    """Return the letter of an event that could not be made or encoded: types and names, no values."""
    text = type(error).__name__
    if isinstance(error, InvalidEvent):
        text = f"{error.where} does not fit"
        field = error.where.rpartition(".")[2]
        if field in values:
            text = f"{error.where}: a value of type {type(values[field]).__name__} does not fit"
    cls = what if isinstance(what, type) else type(what)
    kind = cls.TYPE if issubclass(cls, Event) and hasattr(cls, "TYPE") else cls.__name__
    return Letter(reason, text[:ERROR_CHARS_MAX], kind)
