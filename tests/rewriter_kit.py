"""What tests give a verb that rewrites files: an archive of all sorts, a clock that stands, nobody dead."""

import itertools
import random
from typing import Any

from small_archive import DAY_MS, NOV_23_MS, Rec, SmallArchive, pin_value, rows

from headrace.archiver.failpoints import no_failpoint
from headrace.replay.reader import read

_ids = itertools.count(1)


class Stopped(BaseException):
    """The process dies here: nothing of it runs any more."""


class StandingClock:
    """A clock that stands still."""

    def now(self) -> str:
        return "2026-11-24T00:00:00.000000Z"

    def monotonic(self) -> float:
        return 0.0

    def pause(self, seconds: float) -> None:
        del seconds


def rewriter_options(writer: str, **more: Any) -> dict[str, Any]:
    """Return what every rewriter takes beside a store and a topic, `more` in the place of what is usual."""
    return {
        "writer": writer,
        "clock": StandingClock(),
        "new_id": lambda: f"new{next(_ids):06}",
        "failpoint": no_failpoint,
        "is_gone": lambda _writer: False,
        **more,
    }


def archive_of(commits: int, *, seed: int = 1) -> SmallArchive:
    """Commits of three partitions over two dates, with headers, tombstones, quarantined and non-canonical records."""
    archive, at_random = SmallArchive(), random.Random(seed)
    starts = [0, 0, 0]
    for _ in range(commits):
        records: list[Rec] = []
        for partition in at_random.sample(range(3), at_random.randint(1, 3)):
            for _ in range(at_random.randint(1, 4)):
                offset = starts[partition]
                starts[partition] += at_random.randint(1, 2)
                at_ms = NOV_23_MS + at_random.choice([0, 0, DAY_MS])
                value = at_random.choice(
                    [pin_value(offset, at_ms=at_ms), pin_value(offset, at_ms=at_ms), None, b"junk"]
                )
                headers = [("h", None), ("h", b"2")] if at_random.random() < 0.3 else []
                records.append(Rec(partition, offset, value, b"k", at_ms, headers))
        archive.commit(sorted(records, key=lambda r: (r.partition, r.offset)))
    return archive


def everything(archive: SmallArchive, at: int | None = None) -> list[Rec]:
    return sorted(rows(list(read(archive.store, "pin", at=at))), key=lambda r: (r.partition, r.offset))
