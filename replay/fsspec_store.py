"""Any filesystem that fsspec knows (S3 through s3fs, a local folder, another cloud's store) as a place to read from.

Read only: an archive is written through archiver/s3.py alone, whose conditional writes correctness rests on.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from headrace.archiver.object_key import checked_key
from headrace.archiver.object_store import (
    ObjectInfo,
    ObjectNotFound,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreUnreachable,
)
from headrace.archiver.s3_errors import ARCHIVED, archived

from .errors import RequestRefused


class FsspecStore:
    """An ObjectStore for reading. `url`: s3://bucket/prefix, a folder, or any URL that fsspec understands.

    `options` go to the filesystem as they are. Writing raises StoreError.
    """

    def __init__(self, url: str, **options: Any) -> None:
        import fsspec  # noqa: PLC0415 - it comes with the replay extra, and not all of this package needs that

        if url.startswith("s3://"):
            options = {"use_listings_cache": False, **options}
        try:
            self._files, self._root = fsspec.core.url_to_fs(url.rstrip("/"), **options)
        except (ValueError, ImportError) as error:
            raise RequestRefused(f"cannot open the archive {url}: {error}") from error
        self._url = url.rstrip("/") if "://" in url else str(self._root)

    @property
    def url(self) -> str:
        """Where this is."""
        return self._url

    def _path(self, key: str) -> str:
        return f"{self._root}/{checked_key(self.url, key)}"

    def get(self, key: str) -> bytes:
        """Return the whole object."""
        path = self._path(key)
        try:
            body: bytes = self._files.cat_file(path)
        except Exception as error:  # noqa: BLE001 - each filesystem has errors of its own; all are told apart below
            self._refuse("reading", key, error)
        return body

    def get_tail(self, key: str, length: int) -> bytes:
        """Return at most the last `length` bytes."""
        path = self._path(key)
        try:
            size = int(self._files.size(path))
            body: bytes = self._files.cat_file(path, start=max(0, size - length), end=size)
        except Exception as error:  # noqa: BLE001 - as above
            self._refuse("reading", key, error)
        return body

    def size(self, key: str) -> int:
        """Return the object's size in bytes."""
        path = self._path(key)
        try:
            return int(self._files.size(path))
        except Exception as error:  # noqa: BLE001 - as above
            self._refuse("asking for the size of", key, error)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield all objects whose key begins with `prefix`, in key order."""
        folder = self._path(prefix).rpartition("/")[0]
        try:
            found: dict[str, dict[str, Any]] = self._files.find(folder, detail=True)
        except FileNotFoundError:
            return
        except Exception as error:  # noqa: BLE001 - as above
            self._refuse("listing", prefix, error)
        begin = len(str(self._root)) + 1
        for path, info in sorted(found.items()):
            if path[begin:].startswith(prefix):
                yield ObjectInfo(path[begin:], int(info["size"]))

    def put_if_absent(self, key: str, body: bytes) -> bool:  # noqa: ARG002 - the interface's signature
        """Refuse: see the module's docstring."""
        raise StoreError(f"{self.url} was opened for reading; {key} is not written")

    def put(self, key: str, body: bytes) -> None:
        """Refuse: see the module's docstring."""
        self.put_if_absent(key, body)

    def delete(self, keys: Iterable[str]) -> None:
        """Refuse: see the module's docstring."""
        raise StoreError(f"{self.url} was opened for reading; {', '.join(keys)} is not deleted")

    def _refuse(self, doing: str, key: str, error: Exception) -> NoReturn:
        where = f"{doing} {self.url}/{key}"
        if isinstance(error, FileNotFoundError):
            if "bucket does not exist" in str(error):
                raise StoreMissing(f"{where}: {error}") from error
            raise ObjectNotFound(f"{self.url}/{key} does not exist") from error
        if isinstance(error, PermissionError):
            if ARCHIVED in f"{error} {error.__cause__}":
                raise archived(f"{self.url}/{key}") from error
            raise StoreDenied(f"{where}: access denied ({error}); check the credentials and their rights") from error
        raise StoreUnreachable(f"{where}: {type(error).__name__}: {error}; is the address right and the store up?")
