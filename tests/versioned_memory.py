"""The store in memory, as a bucket with versioning: a delete only puts a marker over the object."""

from collections.abc import Iterable, Iterator

from headrace.archiver.memory_store import MemoryStore
from headrace.archiver.versions import ObjectVersion


class VersionedMemory(MemoryStore):
    """`kept`: all versions by (key, id), None for a delete marker; the last one of a key is the current one."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], bytes | None] = {}
        self._puts = 0

    def put_if_absent(self, key: str, body: bytes) -> bool:
        created = super().put_if_absent(key, body)
        if created:
            self._keep(key, bytes(body))
        return created

    def put(self, key: str, body: bytes) -> None:
        super().put(key, body)
        self._keep(key, bytes(body))

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            super().delete([key])
            self._keep(key, None)

    def versions(self, prefix: str) -> Iterator[ObjectVersion]:
        self.fault("versions", prefix)
        newest = dict(sorted(self.kept, key=lambda each: int(each[1])))
        for (key, number), body in list(self.kept.items()):
            if key.startswith(prefix):
                yield ObjectVersion(key, number, len(body or b""), newest[key] == number, body is None)

    def delete_versions(self, versions: Iterable[ObjectVersion]) -> None:
        for each in versions:
            self.fault("delete version", each.key)
            self.kept.pop((each.key, each.version_id), None)
            if each.current and not each.marker:
                self.objects.pop(each.key, None)

    def _keep(self, key: str, body: bytes | None) -> None:
        self._puts += 1
        self.kept[key, str(self._puts)] = body
