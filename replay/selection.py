"""What to replay: offsets, times, dates and partitions of one identity of a topic. Pure; reads nothing.

Offsets choose by position and must be in the archive. Times filter records, since timestamps need not rise with
offsets. Dates choose files by their `dt`. All conditions hold together.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from .errors import RequestRefused

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OFFSET = re.compile(r"-?\d+")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records. None (or an empty tuple) means no limit.

    `partitions`: partition numbers. `start`, `end`: offsets [start, end) in each of them. `since_ms`, `until_ms`:
    Kafka timestamps [since, until), milliseconds since 1970. `dates`: `dt` values, YYYY-MM-DD. `topic_id`, `lineage`:
    an identity other than the newest.
    """

    partitions: tuple[int, ...] = ()
    start: int | None = None
    end: int | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    dates: tuple[str, ...] = ()
    topic_id: str | None = None
    lineage: int | None = None

    def __post_init__(self) -> None:
        """Refuse what can only be a mistake. Raises RequestRefused."""
        for name, offset in (("from", self.start), ("to", self.end)):
            if offset is not None and offset < 0:
                raise RequestRefused(f"--{name} {offset}: offsets begin at 0")
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise RequestRefused(f"the range [{self.start}, {self.end}) is empty: --to is exclusive, and after --from")
        if self.since_ms is not None and self.until_ms is not None and self.since_ms >= self.until_ms:
            raise RequestRefused("the time range is empty: --to is exclusive, and after --from")
        if any(partition < 0 for partition in self.partitions):
            raise RequestRefused("partitions are numbered from 0")

    @property
    def filters_records(self) -> bool:
        """Whether records within the chosen offsets may be left out."""
        return self.since_ms is not None or self.until_ms is not None

    def describe(self) -> str:
        """Return the conditions in one line, in a form that is the same for equal selections."""
        words = []
        if self.partitions:
            words.append("partitions " + ",".join(str(p) for p in sorted(set(self.partitions))))
        if self.start is not None or self.end is not None:
            words.append(f"offsets [{_or_open(self.start)}, {_or_open(self.end)})")
        if self.filters_records:
            words.append(f"timestamps [{_or_open(self.since_ms)}, {_or_open(self.until_ms)}) ms")
        if self.dates:
            words.append("dt " + ",".join(sorted(set(self.dates))))
        if self.topic_id is not None:
            words.append(f"topic id {self.topic_id}")
        if self.lineage is not None:
            words.append(f"lineage {self.lineage}")
        return "; ".join(words) or "everything"


def _or_open(bound: int | None) -> str:
    return "..." if bound is None else str(bound)


def parse_selection(
    *,
    from_: str | None = None,
    to: str | None = None,
    partitions: Sequence[int] = (),
    dates: Sequence[str] = (),
    topic_id: str | None = None,
    lineage: int | None = None,
) -> Selection:
    """Make a selection from what people type. A bound is an offset (`1500`) or a time (`2026-11-23T10:00:00Z`).

    Raises RequestRefused for anything that would have to be guessed at, such as a time without a zone.
    """
    start, since_ms = _bound("from", from_)
    end, until_ms = _bound("to", to)
    return Selection(
        partitions=tuple(sorted(set(partitions))),
        start=start,
        end=end,
        since_ms=since_ms,
        until_ms=until_ms,
        dates=tuple(sorted({_date(text) for text in dates})),
        topic_id=topic_id,
        lineage=lineage,
    )


def _bound(name: str, text: str | None) -> tuple[int | None, int | None]:
    """Return (offset, None), (None, milliseconds) or (None, None)."""
    if text is None:
        return None, None
    if _OFFSET.fullmatch(text):
        return int(text), None
    if _DATE.fullmatch(text):
        advice = f"a whole date is --dt {text}; a moment is --{name} {text}T00:00:00Z"
        raise RequestRefused(f"--{name} {text} is a date without a time and a zone: {advice}")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        advice = f"neither an offset (--{name} 1500) nor a time (--{name} 2026-11-23T10:00:00Z)"
        raise RequestRefused(f"--{name} {text!r} is {advice}") from None
    if moment.tzinfo is None:
        raise RequestRefused(f"--{name} {text} has no time zone: add Z for UTC, or an offset such as +01:00")
    # Rounded up, so that [since, until) means the same records as with the exact moment.
    return None, -((EPOCH - moment) // timedelta(milliseconds=1))


def _date(text: str) -> str:
    if not _DATE.fullmatch(text):
        raise RequestRefused(f"--dt {text!r} is not a date of the form YYYY-MM-DD")
    try:
        date.fromisoformat(text)
    except ValueError as error:
        raise RequestRefused(f"--dt {text}: {error}") from None
    return text
