"""The archive's view of an object store: what headrace needs of S3, and what each call promises.

    StoreError                 something is wrong with the store; the message says what, where and what to do next
    ├── OutcomeUnknown         a PUT may or may not have happened: ask with a GET, or send the same again
    ├── ObjectNotFound         the key does not exist
    ├── ObjectArchived         the object is there, in a storage class that must be restored before it can be read
    ├── StoreDenied            credentials are wrong, expired, or lack a right
    ├── StoreMissing           the bucket itself does not exist
    ├── StoreUnreachable       no answer from the store (a read; a PUT without an answer is OutcomeUnknown)
    └── StoreUnfit             the store lacks what correctness rests on (see probe.py)

Two adapters exist, `s3.S3Store` and `memory_store.MemoryStore`; one contract suite holds both to this file.
Adapters never retry a PUT: a retried conditional PUT can report "exists" against its own first success, and only the
caller can tell whose object that is. Reads may be retried, since they change nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol


class StoreError(Exception):
    """Something went wrong between headrace and the object store."""


class OutcomeUnknown(StoreError):
    """A PUT got no clear answer (time-out, reset, 5xx, 409): it may have been applied, now or later."""


class ObjectNotFound(StoreError):
    """There is no object under this key."""


class ObjectArchived(StoreError):
    """The object is there, but cannot be read before it is restored from its storage class (Glacier)."""


class StoreDenied(StoreError):
    """The store refused the credentials or the right to do this."""


class StoreMissing(StoreError):
    """The bucket does not exist."""


class StoreUnreachable(StoreError):
    """The store did not answer a read, or answered that it cannot serve now."""


class StoreUnfit(StoreError):
    """The store does not keep the promises that exactness rests on."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One listed object. `key` is relative to the archive's prefix, `size` in bytes."""

    key: str
    size: int


class ObjectStore(Protocol):
    """Objects under one prefix of one bucket. Keys are relative to the prefix, with `/` between their parts."""

    @property
    def url(self) -> str:
        """Where this is, for messages: `s3://bucket/prefix`."""
        ...

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """Create the object atomically, its bytes checked by the store against a SHA-256.

        Returns True when this call created it, False when a different or equal object was there already.
        Raises OutcomeUnknown when no answer tells; StoreDenied, StoreMissing as they are.
        """
        ...

    def put(self, key: str, body: bytes) -> None:
        """Write the object whether or not it exists. Only for what may be lost: markers, never data or log."""
        ...

    def get(self, key: str) -> bytes:
        """Return the whole object. Raises ObjectNotFound, StoreDenied, StoreUnreachable."""
        ...

    def get_tail(self, key: str, length: int) -> bytes:
        """Return the last `length` bytes, or the whole object where it is shorter."""
        ...

    def size(self, key: str) -> int:
        """Return the object's size in bytes. Raises ObjectNotFound."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield all objects whose key begins with `prefix`, in key order."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; one that is not there is no error."""
        ...
