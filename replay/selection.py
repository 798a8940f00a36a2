"""What to replay: offsets, times, dates, partitions, keys and columns of one identity of a topic. Pure; reads nothing.

Offsets choose by position and must be in the archive. Times and keys filter records, since timestamps need not rise
with offsets; `where` filters by columns. Dates choose files by their `dt`. All conditions hold together.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from .errors import RequestRefused

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OFFSET = re.compile(r"-?\d+")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records. None (or an empty tuple) means no limit.

    `partitions`: partition numbers. `start`, `end`: offsets [start, end) in each of them. `since_ms`, `until_ms`:
    Kafka timestamps [since, until), milliseconds since 1970. `dates`: `dt` values, YYYY-MM-DD. `topic_id`, `lineage`:
    an identity other than the newest. `keys`: the records' keys, exactly. `where`: a condition in SQL on the decoded
    columns. `starts`, `ends`: (partition, offset) pairs, for ranges that differ by partition, as checkpoints have them.
    """

    partitions: tuple[int, ...] = ()
    start: int | None = None
    end: int | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    dates: tuple[str, ...] = ()
    topic_id: str | None = None
    lineage: int | None = None
    keys: tuple[bytes, ...] = ()
    where: str | None = None
    starts: tuple[tuple[int, int], ...] = ()
    ends: tuple[tuple[int, int], ...] = ()

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
        return self.by_time or bool(self.keys) or self.where is not None

    @property
    def by_time(self) -> bool:
        """Whether records are chosen by their timestamps."""
        return self.since_ms is not None or self.until_ms is not None

    def bounds(self, partition: int) -> tuple[int | None, int | None]:
        """Return the offsets [start, end) that are asked for in a partition, None for no limit."""
        return dict(self.starts).get(partition, self.start), dict(self.ends).get(partition, self.end)

    def describe(self) -> str:
        """Return the conditions in one line, in a form that is the same for equal selections."""
        words = []
        if self.partitions:
            words.append("partitions " + ",".join(str(p) for p in sorted(set(self.partitions))))
        if self.start is not None or self.end is not None:
            words.append(f"offsets [{_or_open(self.start)}, {_or_open(self.end)})")
        for name, pairs in (("from", self.starts), ("to", self.ends)):
            if pairs:
                words.append(f"{name} offsets " + ",".join(f"{p}:{offset}" for p, offset in sorted(pairs)))
        if self.by_time:
            words.append(f"timestamps [{_or_open(self.since_ms)}, {_or_open(self.until_ms)}) ms")
        if self.dates:
            words.append("dt " + ",".join(sorted(set(self.dates))))
        if self.topic_id is not None:
            words.append(f"topic id {self.topic_id}")
        if self.lineage is not None:
            words.append(f"lineage {self.lineage}")
        if self.keys:
            words.append("keys " + ",".join(key.hex() for key in sorted(set(self.keys))))
        if self.where is not None:
            words.append(f"where {self.where}")
        return "; ".join(words) or "everything"

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form: only what limits anything. Keys are in hex."""
        value: dict[str, Any] = {
            "partitions": list(self.partitions),
            "from": self.start,
            "to": self.end,
            "since_ms": self.since_ms,
            "until_ms": self.until_ms,
            "dates": list(self.dates),
            "topic_id": self.topic_id,
            "lineage": self.lineage,
            "keys": [key.hex() for key in self.keys],
            "where": self.where,
            "starts": [list(pair) for pair in self.starts],
            "ends": [list(pair) for pair in self.ends],
        }
        return {name: each for name, each in value.items() if each is not None and each != []}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Selection":
        """Return the selection that as_json() gave. Raises KeyError, TypeError, ValueError for anything else."""
        return cls(
            partitions=tuple(value.get("partitions", ())),
            start=value.get("from"),
            end=value.get("to"),
            since_ms=value.get("since_ms"),
            until_ms=value.get("until_ms"),
            dates=tuple(value.get("dates", ())),
            topic_id=value.get("topic_id"),
            lineage=value.get("lineage"),
            keys=tuple(bytes.fromhex(key) for key in value.get("keys", ())),
            where=value.get("where"),
            starts=tuple((int(p), int(offset)) for p, offset in value.get("starts", ())),
            ends=tuple((int(p), int(offset)) for p, offset in value.get("ends", ())),
        )


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
    keys: Sequence[bytes] = (),
    where: str | None = None,
    tz: str | None = None,
) -> Selection:
    """Make a selection from what people type. A bound is an offset (`1500`) or a time (`2026-11-23T10:00:00Z`).

    `tz` is the name of the zone of times without one. Raises RequestRefused for anything that would have to be guessed
    at, such as a time without a zone, or one that a change of clocks makes come twice.
    """
    zone = _zone(tz)
    start, since_ms = _bound("from", from_, zone)
    end, until_ms = _bound("to", to, zone)
    return Selection(
        partitions=tuple(sorted(set(partitions))),
        start=start,
        end=end,
        since_ms=since_ms,
        until_ms=until_ms,
        dates=tuple(sorted({_date(text) for text in dates})),
        topic_id=topic_id,
        lineage=lineage,
        keys=tuple(sorted(set(keys))),
        where=where,
    )


def _zone(name: str | None) -> ZoneInfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise RequestRefused(f"--tz {name}: no such time zone; they are named like Europe/Berlin or UTC") from None


def _bound(name: str, text: str | None, zone: ZoneInfo | None) -> tuple[int | None, int | None]:
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
    if moment.tzinfo is None and zone is not None:
        moment = _placed(name, moment, zone)
    if moment.tzinfo is None:
        advice = "add Z for UTC, or an offset such as +01:00, or name the zone by --tz"
        raise RequestRefused(f"--{name} {text} has no time zone: {advice}")
    # Rounded up, so that [since, until) means the same records as with the exact moment.
    return None, -((EPOCH - moment) // timedelta(milliseconds=1))


def _placed(name: str, moment: datetime, zone: tzinfo) -> datetime:
    """Return a time of the clock on the wall as a moment, where it is exactly one."""
    earlier, later = moment.replace(tzinfo=zone), moment.replace(tzinfo=zone, fold=1)
    if earlier.utcoffset() != later.utcoffset():
        exists = earlier.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == moment
        what = "comes twice" if exists else "does not exist"
        raise RequestRefused(
            f"--{name} {moment.isoformat()} {what} in {zone}, where the clocks change: write it with its offset, such "
            f"as {earlier.isoformat()}"
        )
    return earlier


def _date(text: str) -> str:
    if not _DATE.fullmatch(text):
        raise RequestRefused(f"--dt {text!r} is not a date of the form YYYY-MM-DD")
    try:
        date.fromisoformat(text)
    except ValueError as error:
        raise RequestRefused(f"--dt {text}: {error}") from None
    return text
