"""Which events of a partition were counted already, by event_id, for as long as a repeat could still be counted.

An event that came again carries the same time. So its id need only be kept until an event of that time would be late
for every rule: memory is bounded by the longest hop and grace, and `ids_max` above that.
"""

from collections.abc import Iterator

PACKED_BYTES = 24


class SeenIds:
    """Ids in buckets by the events' time. `keep_us`: how far behind the watermark a time is late for every rule."""

    def __init__(self, keep_us: int, *, ids_max: int = 2_000_000) -> None:
        self._keep_us = keep_us
        self._ids_max = ids_max
        self._buckets: dict[int, set[bytes]] = {}
        self._count = 0
        self._oldest = 0
        self.forgotten = 0

    def __len__(self) -> int:
        return self._count

    def add(self, event_id: bytes, occurred_us: int) -> bool:
        """Note an id; return whether it is new."""
        number = occurred_us // self._keep_us
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = set()
            self._oldest = min(self._buckets)
        before = len(bucket)
        bucket.add(event_id)
        if len(bucket) == before:
            return False
        self._count += 1
        if self._count > self._ids_max:
            self._forget(self._oldest)
        return True

    def expire(self, watermark_us: int) -> None:
        """Let go of ids whose repeats would be late."""
        while self._buckets and (self._oldest + 2) * self._keep_us <= watermark_us:
            self._forget(self._oldest, expected=True)

    def _forget(self, number: int, *, expected: bool = False) -> None:
        gone = len(self._buckets.pop(number))
        self._count -= gone
        self.forgotten += 0 if expected else gone
        self._oldest = min(self._buckets, default=0)


def packed(event_id: bytes, occurred_us: int) -> bytes:
    """Return an id with its time, in PACKED_BYTES."""
    return occurred_us.to_bytes(8, "big", signed=True) + event_id


def unpacked(body: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield (id, time) of what packed() gave, one after the other."""
    for at in range(0, len(body), PACKED_BYTES):
        yield body[at + 8 : at + PACKED_BYTES], int.from_bytes(body[at : at + 8], "big", signed=True)
