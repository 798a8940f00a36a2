"""Old versions of objects: what a versioned bucket keeps of what was removed, and how it is removed for good.

A plain DELETE in a bucket with versioning only puts a delete marker over the object. Whoever must be rid of the bytes
lists the versions under a prefix and deletes each by its id, markers too. Which of them may go the log decides: see
gone_for_good().
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from .log_state import LogState


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One version of an object, or a delete marker. `current`: a plain GET of the key finds it (or the marker)."""

    key: str
    version_id: str
    size: int
    current: bool
    marker: bool


@runtime_checkable
class KeepsVersions(Protocol):
    """What a store that may keep old versions has, beside ObjectStore. Without versioning it lists what there is."""

    def versions(self, prefix: str) -> Iterator[ObjectVersion]:
        """Yield all versions and delete markers of the keys that begin with `prefix`. Raises StoreError."""
        ...

    def delete_versions(self, versions: Iterable[ObjectVersion]) -> None:
        """Remove these versions for good; one that is not there is no error. Raises StoreError."""
        ...


def gone_for_good(found: Iterable[ObjectVersion], state: "LogState", root: str) -> list[ObjectVersion]:
    """Return the versions under `root` of keys that an entry took out, or that none names and nobody can see any more.

    A key that an entry may still name has a current object that is no marker: it stays, and cleaning judges it.
    """
    intended = {key for intent in state.intents.values() for key in intent.adds}
    by_key: dict[str, list[ObjectVersion]] = defaultdict(list)
    for each in found:
        if each.key.startswith(root) and each.key.endswith(".parquet"):
            by_key[each.key].append(each)
    gone: list[ObjectVersion] = []
    for key, versions in by_key.items():
        if key in state.files or key in intended:
            continue
        visible = any(each.current and not each.marker for each in versions)
        if key in state.files.removed or not visible:
            gone += versions
    return gone


def prefixes_of(topic: str, dates: Collection[str]) -> list[str]:
    """Return the prefixes of a topic's files of these dates (none: all), data and quarantine."""
    roots = [f"{kind}/topic={topic}/" for kind in ("data", "quarantine")]
    return [f"{root}dt={date}/" for root in roots for date in sorted(dates)] if dates else roots
