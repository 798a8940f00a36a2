"""How one worker's memory is divided, and the heap kept from growing by itself. Pure but for bound_heap().

The budget is what a worker takes beyond the bare process, which is about 190 MB of libraries. What it holds is bounded
in bytes; all else (the client's queue, a batch on its way into columns, a file in the making) is bounded by the shares
below. While a worker builds or uploads it does not read, so a slow store makes nothing grow: the client's queue fills
up, and fetching pauses.
"""

import ctypes
from dataclasses import dataclass

import pyarrow as pa

MIB = 1 << 20
MEMORY_BYTES = 256 * MIB
QUEUED_MESSAGE_BYTES = 512
"""What the client takes for a small message in its queue (measured: 350 to 500 bytes beside the payload)."""

# glibc's numbers for mallopt(), and what it is told.
_ARENA_MAX, _ARENAS = -8, 2
_MMAP_THRESHOLD, _MMAP_BYTES = -3, 1 << 20
_TRIM_THRESHOLD, _TRIM_BYTES = -1, 16 << 20


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """Shares of a worker's memory.

    held_bytes: uncommitted records as columns; files are built of them, which takes as much again, twice where records
    do not compress. poll_bytes: a batch, which exists up to five times while it is decoded. queue_kb: payload in the
    client's queue. queued_messages: in a partition's queue, below which more are fetched. fetch_bytes: one answer of a
    broker, compressed; fetch_partition_bytes: of one partition in it.
    """

    held_bytes: int
    poll_bytes: int
    queue_kb: int
    queued_messages: int
    fetch_bytes: int
    fetch_partition_bytes: int

    @classmethod
    def of(cls, memory_bytes: int = MEMORY_BYTES, partitions: int = 1) -> "MemoryBudget":
        """Divide `memory_bytes`; `partitions`: of all topics together, any of which a worker may have."""
        return cls(
            held_bytes=memory_bytes * 5 // 32,
            poll_bytes=memory_bytes // 32,
            queue_kb=memory_bytes // 16 // 1024,
            queued_messages=max(16, memory_bytes // 8 // QUEUED_MESSAGE_BYTES // max(1, partitions)),
            fetch_bytes=memory_bytes // 64,
            fetch_partition_bytes=memory_bytes // 1024,
        )

    def fetch_settings(self) -> dict[str, int]:
        """Return what librdkafka is told, beside the size of its queue."""
        return {
            "queued.min.messages": self.queued_messages,
            "fetch.max.bytes": self.fetch_bytes,
            "fetch.message.max.bytes": self.fetch_partition_bytes,
        }


def bound_heap() -> None:
    """Have freed memory go back.

    Arrow's own pool keeps what it once had. glibc keeps an arena for each thread, and learns from the first large piece
    that is freed to cut such pieces out of the heap, which then has holes: with records of a megabyte it grew by 50 MB.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # only glibc has it
    if mallopt is not None:
        mallopt(_ARENA_MAX, _ARENAS)
        mallopt(_MMAP_THRESHOLD, _MMAP_BYTES)
        mallopt(_TRIM_THRESHOLD, _TRIM_BYTES)
