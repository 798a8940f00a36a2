"""Takes old dates out of an archive as entries of its log (docs/archive-format.md, "Expiry"), while archivers run.

First the entry, then the objects go: dying in between leaves garbage that the log tells. Rows that come to a date after
it expired are archived as ever, marked late, and stay until it is let expire again.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .commit_log import Fenced
from .log_removals import counted, dates_of
from .log_state import CommittedFile
from .object_store import ObjectStore, StoreDenied, StoreError
from .rewriting import Rewriter
from .sealing import NO_DATE, marker_key

log = logging.getLogger("headrace.archiver")

FILES_PER_ENTRY_MAX = 5_000
"""Bounds the size of an entry, which names each file."""
FENCED_MAX = 20


@dataclass(frozen=True, slots=True)
class DateFound:
    """A date that is to go: its files, data rows, quarantined rows and bytes."""

    dt: str
    files: tuple[CommittedFile, ...]

    def rows(self, kind: str) -> int:
        """How many rows of a kind it has."""
        return sum(each.file.rows for each in self.files if each.file.kind == kind)

    @property
    def bytes(self) -> int:
        """The size of its files together."""
        return sum(each.file.bytes for each in self.files)


@dataclass(slots=True)
class Expired:
    """What was done: dates, by which entries; how many old versions went. None: the store does not let us."""

    dates: list[DateFound] = field(default_factory=list)
    entries: list[int] = field(default_factory=list)
    old_versions: int | None = 0
    may_remove: bool = True


class Expirer(Rewriter):
    """Lets dates of one topic expire: all before `before`, also those without any date where `undated`."""

    VERB = "expire"

    def __init__(self, store: ObjectStore, topic: str, *, before: str, undated: bool = False, **more: Any) -> None:
        super().__init__(store, topic, **more)
        self._before = before
        self._undated = undated

    def plan(self) -> list[DateFound]:
        """Return the dates that are to go, as the log is now. Raises what reading the log raises."""
        state = self.log.refresh()
        self.log.refuse_hole()
        dates: dict[str, list[CommittedFile]] = defaultdict(list)
        for each in state.files.select():
            if each.file.dt < self._before and (self._undated or each.file.dt != NO_DATE):
                dates[each.file.dt].append(each)
        return [DateFound(dt, tuple(files)) for dt, files in sorted(dates.items())]

    def run(self, on_files: Callable[[int], None] = lambda _files: None, *, old_versions: bool = False) -> Expired:
        """Let them expire. `on_files(n)` after each n files. Raises StoreError and what the log raises.

        What went until then is gone, and the next call goes on with the rest.
        """
        done = Expired()
        self._end_abandoned()
        for date in self.plan():
            files = date.files
            for _ in range(FENCED_MAX):
                if self._expire(files, done, on_files):
                    break
                files = next((each.files for each in self.plan() if each.dt == date.dt), ())
            else:
                raise StoreError(f"{self._topic}: other rewrites of {date.dt} came first again and again; try later")
            done.dates.append(date)
        done.may_remove = self._clean_up()
        expired = [date for date in self.log.state.expired if date < self._before]
        if old_versions and expired:  # no dates would mean all
            done.old_versions = self._sweep(expired, remove=True)
        return done

    def _expire(self, files: Sequence[CommittedFile], done: Expired, on_files: Callable[[int], None]) -> bool:
        """Append the entries of a date and remove the objects; False when a rewrite of the date came first."""
        for at in range(0, len(files), FILES_PER_ENTRY_MAX):
            some = files[at : at + FILES_PER_ENTRY_MAX]
            removes = [each.file.key for each in some]
            details = {
                "before": self._before,
                "removes": removes,
                "rows": [list(each) for each in counted(some)],
                "dates": {dt: list(rows) for dt, rows in dates_of(some).items()},
            }
            self._reached("before-entry")
            outcome = self.log.append(self._entry("expire", "", details=details))
            self._reached("after-entry")
            if isinstance(outcome, Fenced):
                log.warning("%s: another entry came first, looking again: %s", self._topic, outcome.reason)
                return False
            done.entries.append(outcome.entry.seq)
            self._remove(removes, outcome.entry.seq)
            self._reached("removed")
            on_files(len(removes))
        return True

    def _clean_up(self) -> bool:
        """Remove what this run or a dead one left of dates that are gone, and their markers: none is to wait for them.

        Returns False without the right to.
        """
        expired = {marker_key(self._topic, date) for date in self.log.refresh().expired}
        try:
            found = [info.key for info in self._store.list(f"data/topic={self._topic}/") if info.key in expired]
            self._store.delete(found)
        except StoreDenied as error:
            log.warning("%s: no right to remove the markers of dates that are gone: %s", self._topic, error)
            return False
        return self._clean(None)
