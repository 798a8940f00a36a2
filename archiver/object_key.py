"""Keys of objects that stay below the archive's prefix, whoever made them up.

Keys come from topics' names and from entries of the log, which somebody else may have written into the bucket. S3 takes
`..` as it takes any other text; HTTP libraries, proxies, servers on a file system and local folders do not.
"""

from .object_store import StoreError


class KeyRefused(StoreError):
    """A key that could lead out of the archive. Nothing was asked of the store."""


def stays_below(key: str) -> bool:
    """Whether a key, or the beginning of one, names something below the prefix for every kind of store."""
    parts = key.split("/")
    if key.startswith("/") or "\0" in key or "\\" in key:
        return False
    return not any(part in (".", "..") for part in parts) and "" not in parts[:-1]


def checked_key(url: str, key: str) -> str:
    """Return a key that stays below. Raises KeyRefused."""
    if not stays_below(key):
        raise KeyRefused(
            f"{url}: {key!r} is no key of an archive's object, and could lead out of it: nothing was read or written. "
            "Is the topic's name right? If so, somebody else wrote it into the archive: `headrace verify TOPIC`"
        )
    return key


class Prefix(str):
    """What all keys of an archive begin with. Only a key that stays below can be added to it: raises KeyRefused."""

    __slots__ = ()

    def __add__(self, key: str) -> str:
        return str(self) + checked_key(str(self).rstrip("/") or "the bucket", key)
