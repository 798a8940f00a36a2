"""Which files of a date become one: pure.

Files that follow each other in the log are put together until one is as large as it should be. A file that is large
already stays, and none is put over it: the offsets of files that were made so never interleave, which keeps what a
replay must hold in memory small.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from .log_state import CommittedFile


@dataclass(frozen=True, slots=True)
class CompactLimits:
    """How large a file may become: rows, and bytes of the files that it is made of. Both bound the memory it takes."""

    rows_max: int = 1_000_000
    bytes_max: int = 64 << 20


@dataclass(frozen=True, slots=True)
class Group:
    """Files of one kind, date and topic id, and of one lineage a partition, that are to become one, in their order."""

    files: tuple[CommittedFile, ...]

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(each.file.rows for each in self.files)

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(each.file.bytes for each in self.files)


def plan_groups(files: Iterable[CommittedFile], limits: CompactLimits) -> list[Group]:
    """Group a date's files, given in the order of their entries. Single files are in no group."""
    groups: list[Group] = []
    for line in _lines(files):
        held: list[CommittedFile] = []
        lineages: dict[int, int] = {}
        for each in line:
            if held and not _fits(held, lineages, each, limits):
                groups.append(Group(tuple(held)))
                held, lineages = [], {}
            held.append(each)
            lineages.update(each.lineages)
        groups.append(Group(tuple(held)))
    return [group for group in groups if len(group.files) > 1]


def _lines(files: Iterable[CommittedFile]) -> list[list[CommittedFile]]:
    """Sort files into lines of one kind and topic id, in which each partition's offsets only rise."""
    lines: dict[tuple[str, str], list[CommittedFile]] = defaultdict(list)
    for each in files:
        lines[each.file.kind, each.topic_id].append(each)
    return [_by_offsets(lines[key]) for key in sorted(lines)]


def _by_offsets(files: list[CommittedFile]) -> list[CommittedFile]:
    """Order files so: that of their entries will not do, since a rewrite's entry comes late and its offsets early."""
    before: dict[int, set[int]] = {index: set() for index in range(len(files))}
    parts: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for index, each in enumerate(files):
        for part in each.file.parts:
            parts[part.partition, each.lineages.get(part.partition, -1)].append((part.first, index))
    for firsts in parts.values():
        for (_, earlier), (_, later) in pairwise(sorted(firsts)):
            before[later].add(earlier)
    try:
        return [files[index] for index in TopologicalSorter(before).static_order()]
    except CycleError:
        return files  # they interleave; the merge ends where they do


def _fits(held: list[CommittedFile], lineages: dict[int, int], new: CommittedFile, limits: CompactLimits) -> bool:
    group = Group((*held, new))
    return (
        group.rows <= limits.rows_max
        and group.bytes <= limits.bytes_max
        and all(lineages.get(partition, lineage) == lineage for partition, lineage in new.lineages.items())
    )
