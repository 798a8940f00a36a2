"""Erases rows for good, while archivers run (docs/archive-format.md, "Erasures"): for whoever has to forget a person.

Files that hold such rows are taken in groups; each is replaced by one without them, and one entry says what went: which
offsets of which partitions, by whose order and why, never what stood there. Intent, upload, entry, removal are those of
every rewrite, so that dying at any step is harmless. In the end what the bucket keeps as old versions goes too.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .commit_log import Fenced
from .erasing import Judge, Trimmed, trim_file
from .log_entries import Entry
from .log_removals import ErasedPart
from .log_state import CommittedFile
from .object_store import ObjectStore, StoreError
from .parquet_file import FileCorrupt
from .rewriting import Rewriter

log = logging.getLogger("headrace.archiver")

GROUP_BYTES_MAX = 64 << 20
GROUP_RANGES_MAX = 50_000
GROUP_FILES_MAX = 1_000
"""Of the files that one entry replaces: bound memory, and the size of the entry."""
PASSES_MAX = 20


@dataclass(frozen=True, slots=True)
class Order:
    """What an `erase` entry says of its reason. `condition_hmac`: of the condition, under a key that is not kept."""

    erasure: str
    why: str
    who: str
    condition_hmac: str

    def as_details(self) -> Mapping[str, str]:
        """Return the entry's fields."""
        return {
            "erasure": self.erasure,
            "why": self.why,
            "who": self.who,
            "condition_hmac": self.condition_hmac,
        }


@dataclass(frozen=True, slots=True)
class FileFound:
    """A file with rows that match: how many of how many, in which partitions."""

    committed: CommittedFile
    erased: tuple[ErasedPart, ...]

    @property
    def rows(self) -> int:
        """How many rows match."""
        return sum(part.rows for part in self.erased)


@dataclass(slots=True)
class Erased:
    """What was found, or done. `snapshot`: all that was archived up to this entry was looked at.

    `unjudged`: quarantined rows that were looked at; they have no columns of their own. `old_versions`: versions that
    the bucket keeps of what left the archive; None where the store does not let us look.
    """

    snapshot: int = 0
    files_looked_at: int = 0
    unjudged: int = 0
    files: list[FileFound] = field(default_factory=list)
    entries: list[int] = field(default_factory=list)
    fenced: int = 0
    old_versions: int | None = 0
    may_remove: bool = True

    @property
    def rows(self) -> int:
        """How many rows match, or are erased."""
        return sum(found.rows for found in self.files)


class Eraser(Rewriter):
    """Erases the rows of one topic that `judge` names, of the dates given (none: all), in files that are `wanted`."""

    VERB = "erase"

    def __init__(
        self,
        store: ObjectStore,
        topic: str,
        *,
        judge: Judge,
        dates: tuple[str, ...] = (),
        order: Order,
        wanted: Callable[[CommittedFile], bool] = lambda _file: True,
        **more: Any,
    ) -> None:
        super().__init__(store, topic, **more)
        self._judge = judge
        self._dates = dates
        self._order = order
        self._wanted = wanted

    def files(self) -> list[CommittedFile]:
        """Return the files that may hold such rows, as the log is now. Raises what reading the log raises."""
        state = self.log.refresh()
        self.log.refuse_hole()
        return [each for each in state.files.select(dates=self._dates) if self._wanted(each)]

    def survey(self, on_rows: Callable[[int], None] = lambda _rows: None) -> Erased:
        """Say what run() would do, and change nothing. Raises what run() raises."""
        found = Erased()
        for committed in self.files():
            trimmed = self._trim(committed, found, on_rows)
            if trimmed is not None:
                found.files.append(FileFound(committed, trimmed.erased))
        found.snapshot = self.log.state.seq
        self.log.refresh()
        found.old_versions = self._sweep(self._dates, remove=False)
        return found

    def run(self, on_rows: Callable[[int], None] = lambda _rows: None) -> Erased:
        """Erase. `on_rows(n)` after each n rows that were looked at.

        Raises FileCorrupt when a file is not what the log says, and then leaves it alone; StoreError; what the log
        raises. What was erased until then stays so, and the next call goes on with the rest.
        """
        done = Erased()
        self._end_abandoned()
        looked_at: set[str] = set()
        for _ in range(PASSES_MAX):
            before = len(done.entries), done.fenced
            left = [each for each in self.files() if each.file.key not in looked_at]
            done.snapshot = self.log.state.seq
            for group in self._groups(left, looked_at, done, on_rows):
                self._erase(group, looked_at, done)
            if (len(done.entries), done.fenced) == before:
                break
        else:
            raise StoreError(f"{self._topic}: other rewrites came first again and again; run this again later")
        done.may_remove = self._clean(None)
        self.log.refresh()
        done.old_versions = self._sweep(self._dates, remove=True)
        return done

    def tidy(self) -> None:
        """Remove what an interrupted run had uploaded, as far as the store answers; gc would do it too."""
        try:
            self._clean(None)
        except StoreError as error:
            log.warning("%s: something is left for `headrace gc`: %s", self._topic, error)

    # -- what to take ------------------------------------------------------------------------------------------------

    def _groups(
        self, files: list[CommittedFile], looked_at: set[str], done: Erased, on_rows: Callable[[int], None]
    ) -> Iterator[list[Trimmed]]:
        """Yield files with rows that are to go, together as far as one entry may name them."""
        group: list[Trimmed] = []
        for committed in files:
            trimmed = self._trim(committed, done, on_rows)
            looked_at.add(committed.file.key)
            if trimmed is None:
                continue
            if group and not _fits(group, trimmed):
                yield group
                group = []
            group.append(trimmed)
        if group:
            yield group

    def _trim(self, committed: CommittedFile, done: Erased, on_rows: Callable[[int], None]) -> Trimmed | None:
        """Return what becomes of a file, None where all stays or a rewrite has taken it."""
        try:
            trimmed = trim_file(
                *(self._store, committed, self._judge), topic=self._topic, writer=self._writer, new_id=self._new_id
            )
        except FileCorrupt:
            if not self._taken([committed]):
                raise
            done.fenced += 1  # its rows are in other files now, which the next pass looks at
            return None
        done.files_looked_at += 1
        if committed.file.kind == "quarantine":
            done.unjudged += committed.file.rows - (0 if trimmed is None else trimmed.rows)
        on_rows(committed.file.rows)
        return trimmed

    # -- what becomes of it ------------------------------------------------------------------------------------------

    def _erase(self, group: list[Trimmed], looked_at: set[str], done: Erased) -> None:
        """Put one entry's files in the place of the old ones; where another came first they are looked at anew."""
        self._reached("built")
        lineages: dict[int, int] = {}
        for each in group:
            lineages.update(each.committed.lineages)
        details = {
            **self._order.as_details(),
            "erased": [part.as_json() for each in group for part in each.erased],
        }
        old = [each.committed for each in group]
        new = [each.file for each in group if each.file is not None]
        entry = (
            self._replace(old, new, lineages, kind="erase", details=details) if new else self._take_out(old, details)
        )
        if entry is None:
            done.fenced += 1
            looked_at.difference_update(each.file.key for each in old)
            return
        done.entries.append(entry.seq)
        done.files += [FileFound(each.committed, each.erased) for each in group]

    def _take_out(self, old: list[CommittedFile], details: Mapping[str, object]) -> Entry | None:
        """Take files out of which no row is left: nothing is uploaded, so that no intent is needed."""
        removes = [each.file.key for each in old]
        entry = self._entry("erase", old[0].topic_id, details={**details, "removes": removes, "lineages": {}})
        self._reached("before-rewrite")
        outcome = self.log.append(entry)
        self._reached("after-rewrite")
        if isinstance(outcome, Fenced):
            log.warning("%s: another entry came first, nothing was erased: %s", self._topic, outcome.reason)
            return None
        self._remove(removes, outcome.entry.seq)
        self._reached("removed")
        return outcome.entry


def _fits(group: list[Trimmed], new: Trimmed) -> bool:
    """Whether one entry may take a file too: one topic id, one lineage a partition, and within the bounds."""
    lineages = {p: of for each in group for p, of in each.committed.lineages.items()}
    return (
        group[0].committed.topic_id == new.committed.topic_id
        and all(lineages.get(p, of) == of for p, of in new.committed.lineages.items())
        and len(group) < GROUP_FILES_MAX
        and sum(each.ranges for each in group) + new.ranges <= GROUP_RANGES_MAX
        and sum(each.committed.file.bytes for each in group) + new.committed.file.bytes <= GROUP_BYTES_MAX
    )
