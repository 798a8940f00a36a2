"""Which date (`dt`) a record is filed under: its event time's, unless that is implausible; then the broker's.

docs/archive-format.md, section "dt", has the rule. All arithmetic is on whole columns of int64 and never overflows,
whatever the timestamps.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)
_MIN_DAY = (date.min - _EPOCH).days
_MAX_DAY = (date.max - _EPOCH).days
_MIN_MS = _MIN_DAY * DAY_MS
_END_MS = (_MAX_DAY + 1) * DAY_MS
_PER_MS = {"us": 1_000, "ns": 1_000_000}


@dataclass(frozen=True, slots=True)
class EventTimes:
    """Event times in milliseconds (floored); `present` is None where every row has one."""

    milliseconds: np.ndarray  # int64
    present: np.ndarray | None  # bool

    @classmethod
    def of(cls, column: pa.Array) -> "EventTimes | None":
        """Read a timestamp column; None for other types, and for local timestamps, which are no instant in time."""
        if not pa.types.is_timestamp(column.type) or column.type.tz is None:
            return None
        present = column.is_valid().to_numpy(zero_copy_only=False) if column.null_count else None
        raw = column.cast(pa.int64())
        ticks = (raw.fill_null(0) if column.null_count else raw).to_numpy()
        if column.type.unit == "s":
            return cls(np.clip(ticks, _MIN_MS // 1000 - 1, _END_MS // 1000) * 1000, present)
        divisor = _PER_MS.get(column.type.unit)
        return cls(ticks // divisor if divisor else ticks, present)


@dataclass(frozen=True, slots=True)
class Dates:
    """The chosen day of each row (days since 1970-01-01, int32), and how many have another day than their event."""

    days: np.ndarray
    exceptions: int


def choose_dates(events: EventTimes | None, timestamps: np.ndarray, *, past_days: int, future_days: int) -> Dates:
    """Choose the day of each row. `timestamps`: the broker's, int64 milliseconds, any value."""
    has_broker = (timestamps >= 0) & (timestamps < _END_MS)
    broker = np.where(has_broker, timestamps, 0)
    if events is None:
        return Dates(_days(broker), 0)
    sane = (events.milliseconds >= _MIN_MS) & (events.milliseconds < _END_MS)
    if events.present is not None:
        sane &= events.present
    event = np.where(sane, events.milliseconds, 0)
    ahead = event - broker
    near = (ahead >= -past_days * DAY_MS) & (ahead <= future_days * DAY_MS)
    by_event = sane & (near | ~has_broker)
    days = _days(np.where(by_event, event, broker))
    present = len(timestamps) if events.present is None else int(np.count_nonzero(events.present))
    if np.count_nonzero(by_event) == present:
        return Dates(days, 0)
    refused = ~by_event if events.present is None else events.present & ~by_event
    other_day = (_days(event) != days) | ~sane
    return Dates(days, int(np.count_nonzero(refused & other_day)))


def _days(milliseconds: np.ndarray) -> np.ndarray:
    if len(milliseconds):
        low, high = int(milliseconds.min()) // DAY_MS, int(milliseconds.max()) // DAY_MS
        if low == high:  # most batches lie within one day: no division a row
            return np.full(len(milliseconds), low, np.int32)
    return (milliseconds // DAY_MS).astype(np.int32)


def date_text(day: int) -> str:
    """Return a day, counted from 1970-01-01, as YYYY-MM-DD."""
    return (_EPOCH + timedelta(days=day)).isoformat()
