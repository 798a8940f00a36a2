"""An object store in memory, with the semantics that archiver/object_store.py states: for simulation and unit tests.

It is held to the same contract suite as S3. `fault` is asked before each call and may raise, or return "lose-answer"
for a PUT that is applied and then reported as OutcomeUnknown.
"""

from collections.abc import Callable, Iterable, Iterator

from .object_key import checked_key
from .object_store import ObjectInfo, ObjectNotFound, OutcomeUnknown

Fault = Callable[[str, str], str | None]


def _no_fault(_operation: str, _key: str) -> str | None:
    return None


class MemoryStore:
    """Objects in a dict. `fault(operation, key)` runs before each operation; see the module's docstring."""

    def __init__(self, fault: Fault = _no_fault) -> None:
        self.objects: dict[str, bytes] = {}
        self.fault = fault

    @property
    def url(self) -> str:
        """A name for messages."""
        return "memory://archive"

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """Create once; see ObjectStore."""
        checked_key(self.url, key)
        verdict = self.fault("put_if_absent", key)
        created = key not in self.objects
        if created:
            self.objects[key] = bytes(body)
        if verdict == "lose-answer":
            raise OutcomeUnknown(f"putting {key}: the answer was lost")
        return created

    def put(self, key: str, body: bytes) -> None:
        """Write or overwrite."""
        checked_key(self.url, key)
        self.fault("put", key)
        self.objects[key] = bytes(body)

    def get(self, key: str) -> bytes:
        """Return the object's bytes, or raise ObjectNotFound."""
        checked_key(self.url, key)
        self.fault("get", key)
        try:
            return self.objects[key]
        except KeyError:
            raise ObjectNotFound(f"{self.url}/{key} does not exist") from None

    def get_tail(self, key: str, length: int) -> bytes:
        """Return at most the last `length` bytes."""
        return self.get(key)[-length:]

    def size(self, key: str) -> int:
        """Return the object's size in bytes."""
        return len(self.get(key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects under a prefix in key order."""
        checked_key(self.url, prefix)
        self.fault("list", prefix)
        for key in sorted(self.objects):
            if key.startswith(prefix):
                yield ObjectInfo(key, len(self.objects[key]))

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects, silently where they are not there."""
        for key in keys:
            checked_key(self.url, key)
            self.fault("delete", key)
            self.objects.pop(key, None)
