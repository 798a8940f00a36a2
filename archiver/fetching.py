"""What some stores do better than the narrow interface asks: many objects at once, and folders without their contents.

Deciding code asks for a list of keys and gets a list of bodies. A store that can fetch side by side says so by having
get_many (S3Store does, with a bounded number of threads); any other, such as a simulated one, is asked one by one. This
is the one place that decides how far reading runs ahead.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar, runtime_checkable

from .object_store import ObjectNotFound, ObjectStore

WINDOW_OBJECTS = 64
"""So many objects are asked for at once, at most: what is read ahead is bounded by so many bodies."""
LOGS_AT_ONCE = 4
"""So many topics' logs are read side by side, at most."""

Found = TypeVar("Found")


@runtime_checkable
class FetchesMany(Protocol):
    """A store that can fetch objects side by side."""

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the bodies in the order of the keys, None for what does not exist. Raises what get() raises."""
        ...


@runtime_checkable
class ListsFolders(Protocol):
    """A store that can list what is next to a prefix without listing all that is below it."""

    def folders(self, prefix: str) -> list[str]:
        """Return what follows `prefix` in keys, up to and without the next `/`, each once, sorted."""
        ...


def folders_of(store: ObjectStore, prefix: str) -> list[str]:
    """Return what follows `prefix` in keys, up to and without the next `/`, each once, sorted. Raises StoreError."""
    if isinstance(store, ListsFolders):
        return store.folders(prefix)
    below = (info.key.removeprefix(prefix) for info in store.list(prefix))
    return sorted({key.partition("/")[0] for key in below if "/" in key})


def fetch_many(store: ObjectStore, keys: Sequence[str]) -> list[bytes | None]:
    """Return the bodies of objects in the order of their keys, None for what does not exist. Raises StoreError."""
    if isinstance(store, FetchesMany):
        return store.get_many(keys)
    return [_get(store, key) for key in keys]


def window_of(store: ObjectStore) -> int:
    """Return how many objects it is worth asking a store for at once: one where it fetches one by one."""
    return WINDOW_OBJECTS if isinstance(store, FetchesMany) else 1


def fetch_each(store: ObjectStore, keys: Sequence[str]) -> Iterator[bytes | None]:
    """Yield the bodies of objects in the order of their keys; at most a window of them is in memory."""
    window = window_of(store)
    for begin in range(0, len(keys), window):
        yield from fetch_many(store, keys[begin : begin + window])


def side_by_side(store: ObjectStore, reads: Sequence[Callable[[], Found]]) -> list[Found]:
    """Return what these reads of a store return, in their order: in threads where the store fetches side by side.

    Each must keep to what is its own. Raises what the first of them raises that does.
    """
    if len(reads) < 2 or not isinstance(store, FetchesMany):
        return [read() for read in reads]
    with ThreadPoolExecutor(min(LOGS_AT_ONCE, len(reads)), thread_name_prefix="headrace-logs") as pool:
        return [each.result() for each in [pool.submit(read) for read in reads]]


def _get(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.get(key)
    except ObjectNotFound:
        return None
