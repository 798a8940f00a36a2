"""Reads a chain whose newest segment another process is writing: what is there so far, and past damage only slowly.

Bytes there that are no good record are either the write of this moment or damage. They are damage when a good record
stands behind them, still and again after a while; else they are waited for.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .chain_reader import WINDOW_BYTES, ChainReader, Place, Start
from .segment_files import Segment
from .segment_format import Stored, find_good, parse_at

_DAMAGE_S = 1.0  # how long bytes before a good record must stay bad
_LOOK_S_MIN, _LOOK_S_MAX, _LOOK_BLANK_S = 0.001, 0.25, 60.0


@dataclass(slots=True)
class _Bad:
    """A place where no good record stands, in a segment that another process writes."""

    offset: int
    look_at: float = 0.0
    good_since: float | None = None
    """Since when a good record is known to stand behind it."""
    pause_s: float = _LOOK_S_MIN


class GrowingReader(ChainReader):
    """The reading half of a folder that another process appends to."""

    def __init__(
        self,
        start: Start,
        schemas: dict[bytes, str],
        *,
        clock_ms: Callable[[], int],
        age_ms_max: int,
        monotonic: Callable[[], float],
    ) -> None:
        super().__init__(start, schemas, clock_ms=clock_ms, age_ms_max=age_ms_max)
        self._monotonic = monotonic
        self._bad = _Bad(-1)

    def refresh(self) -> None:
        """Forget what was read ahead: more has been written since, or the segment is complete now."""
        self._window = (None, 0, b"")

    def _parse(self, segment: Segment, end: int, after: int) -> tuple[Place, Stored] | None:
        """Return the next good record; None, going no further, while there is none in a segment that may grow."""
        if segment.sealed or after >= 0:
            return super()._parse(segment, end, after)
        return self._parse_growing(segment, end)

    def _parse_growing(self, segment: Segment, end: int) -> tuple[Place, Stored] | None:
        """Return the next good record of a segment that another process writes; None while there is none."""
        low, offset = self._expected or 0, self._offset
        data, at = self._bytes(segment, offset, end, 0)
        stored = None if data is None else parse_at(data, at, segment.seed)
        if stored is None or stored.position < low:
            # The window is older than what was written since; or it cuts the record.
            self.refresh()
            if segment.read(offset, offset + 4) == bytes(4):
                return self._beyond_bad(segment, end, low, _LOOK_BLANK_S, _LOOK_BLANK_S)
            stored = parse_at(segment.read(offset, min(end, offset + WINDOW_BYTES)), 0, segment.seed)
        if stored is None or stored.position < low:
            return self._beyond_bad(segment, end, low, 0.0, _LOOK_S_MAX)
        return Place(segment, offset, stored.length), stored

    def _beyond_bad(
        self, segment: Segment, end: int, low: int, first_s: float, pause_s_max: float
    ) -> tuple[Place, Stored] | None:
        """Look behind bytes that are no record: a write of this moment, or damage once they stayed so for a while."""
        now, offset, bad = self._monotonic(), self._offset, self._bad
        if bad.offset != offset:
            bad = self._bad = _Bad(offset, now + first_s, pause_s=max(first_s, _LOOK_S_MIN))
        if now < bad.look_at:
            return None
        data = segment.read(offset, end)
        good = find_good(data, 0, segment.seed, low)
        stored = None if good is None else parse_at(data, good, segment.seed)
        if good is None or stored is None:
            bad.good_since = None
        elif good == 0 or (bad.good_since is not None and now - bad.good_since >= _DAMAGE_S):
            self.holes += good > 0
            return Place(segment, offset + good, stored.length), stored
        elif bad.good_since is None:
            bad.good_since, pause_s_max = now, _LOOK_S_MAX
        bad.pause_s = min(bad.pause_s * 2, pause_s_max)
        bad.look_at = now + bad.pause_s
        return None
