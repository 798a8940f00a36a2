"""What the entries of one topic's log add up to, for the checker, and how a violation is said."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .codec import Place, Row
from .history import Identity

ZERO = "0" * 64


class Violation(Exception):
    """An invariant does not hold. `invariant` is its name."""

    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant
        self.what = what


def must(holds: bool, invariant: str, what: str) -> None:
    """Raise Violation unless something holds."""
    if not holds:
        raise Violation(invariant, what)


@dataclass(frozen=True)
class KnownFile:
    """A file that the log names: the entry that did, what it is, its rows, and which of them say that they are late."""

    seq: int
    kind: str
    dt: str
    topic_id: str
    lineages: Mapping[int, int]
    rows: list[Row]
    late: set[Place]


@dataclass
class TopicLog:
    """The sum of a log's entries. `removed`: key -> the entry that took it out; `intents`: id -> keys, of open ones.

    `expired`: date -> the first entry that took it out; `gone`: identity -> offset -> the entry that took that row out.
    """

    seq: int = 0
    sha256: str = ZERO
    topic_id: str = ""
    identities: dict[tuple[str, int, int], Identity] = field(default_factory=dict)
    newest: dict[tuple[str, int], Identity] = field(default_factory=dict)
    files: dict[str, KnownFile] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    intents: dict[str, list[str]] = field(default_factory=dict)
    sealed: set[str] = field(default_factory=set)
    expired: dict[str, int] = field(default_factory=dict)
    gone: dict[tuple[str, int, int], dict[int, int]] = field(default_factory=dict)
    commits: int = 0
    ends: list[dict[tuple[str, int, int], int]] = field(default_factory=list)  # of each identity, after each entry

    def of_partition(self, topic_id: str, partition: int) -> list[Identity]:
        """Return the identities of a partition of a topic's incarnation, oldest first."""
        return [each for (i, p, _), each in self.identities.items() if (i, p) == (topic_id, partition)]

    def take_row_out(self, file: KnownFile, row: Row, seq: int) -> None:
        """Note that entry `seq` took a row out for good."""
        self.gone.setdefault((file.topic_id, row[0], file.lineages[row[0]]), {})[row[1]] = seq

    def closed(self, date: str) -> bool:
        """Whether rows that come to a date are late."""
        return date in self.sealed or date in self.expired

    def dates(self) -> list[str]:
        """Return the dates of all files, each once for each file."""
        return [each.dt for each in self.files.values()]
