"""Event ids: UUID version 7 (RFC 9562), strictly increasing within one generator.

48 bits of Unix milliseconds, then 74 bits of which the first is zero and the rest random, drawn once a millisecond and
counted up by one within it. A clock that steps back keeps the last millisecond, so ids never go back. Not thread-safe:
the event log calls it under its lock. After fork make a new one: two processes must not share a draw.
"""

from collections.abc import Callable

_DRAW_BYTES = 10
_DRAWS = 100
_VERSION = 7 << 76
_VARIANT = 2 << 62
_LOW_BITS = 62
_LOW_MASK = (1 << _LOW_BITS) - 1
_RANDOM_MASK = (1 << 73) - 1
_TAIL_END = 1 << 74


class Uuid7:
    """A generator of event ids; `randomness(n)` returns n random bytes."""

    __slots__ = ("_drawn", "_ms", "_randomness", "_tail", "_used")

    def __init__(self, randomness: Callable[[int], bytes]) -> None:
        self._randomness = randomness
        self._ms = -1
        self._tail = 0
        self._drawn = b""  # random bytes for the next draws: asking the kernel for each takes longer than all the rest
        self._used = 0

    def next(self, unix_ms: int) -> bytes:
        """Return the next id, 16 bytes big-endian, for a time in Unix milliseconds (0 to 2**48 - 1)."""
        if unix_ms > self._ms:
            self._ms = unix_ms
            if self._used >= len(self._drawn):
                self._drawn, self._used = self._randomness(_DRAW_BYTES * _DRAWS), 0
            tail = int.from_bytes(self._drawn[self._used : self._used + _DRAW_BYTES], "big") & _RANDOM_MASK
            self._used += _DRAW_BYTES
        else:
            tail = self._tail + 1
            if tail == _TAIL_END:
                self._ms += 1
                tail = 0
        self._tail = tail
        value = self._ms << 80 | _VERSION | tail >> _LOW_BITS << 64 | _VARIANT | tail & _LOW_MASK
        return value.to_bytes(16, "big")
