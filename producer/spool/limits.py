"""The bounds of a spool, and what they mean for the next event: which classes of events are refused at which level."""

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from ..forecast import CLASSES, Level

Class = Literal["low", "normal", "high"]

_REFUSED_AT = {"low": 1, "normal": 2, "high": 3}
_SHARES = {"low": 0.7, "normal": 0.85, "high": 1.0}
DEFAULT_CLASSES: Mapping[str, Class] = MappingProxyType({"feed_load": "low", "login": "high", "error": "high"})


@dataclass(frozen=True)
class SpoolLimits:
    """Bounds of the spool folder of a host: they count what all processes of all services have in it."""

    bytes_max: int = 4 << 30
    """Bytes of the whole folder. New events of class low are refused from 70% on, normal from 85%, high at 100%."""
    age_s_max: float = 7 * 86_400.0
    """Events that have waited longer are dropped instead of sent, oldest first."""
    free_bytes_min: int = 256 << 20
    """What must stay free on the disk: below it nothing is appended."""
    segment_bytes: int = 8 << 20
    """Size of a segment file. The first one of a process is smaller, and all are in a small spool."""
    dead_letter_bytes_max: int = 64 << 20
    """Bytes of a service's dead letters: beyond it they are only counted."""
    classes: Mapping[str, Class] = field(default_factory=lambda: DEFAULT_CLASSES)
    """Class by event type; types that are not named are normal."""

    def __post_init__(self) -> None:
        """Raise ValueError for bounds that cannot work."""
        if self.bytes_max < 1 << 20:
            raise ValueError("SpoolLimits.bytes_max must be at least 1 MiB (1048576)")
        if self.age_s_max <= 0 or self.free_bytes_min < 0 or self.segment_bytes < 64 << 10:
            raise ValueError("SpoolLimits: age_s_max must be positive, free_bytes_min >= 0, segment_bytes >= 65536")
        if self.dead_letter_bytes_max < 0:
            raise ValueError("SpoolLimits.dead_letter_bytes_max must not be negative; 0 keeps none")
        # A setting from JSON may be anything.
        wrong = [each for each in self.classes.values() if not isinstance(each, str) or each not in _REFUSED_AT]
        if wrong:
            raise ValueError(f"SpoolLimits.classes: {wrong[0]!r} is no class; use 'low', 'normal' or 'high'")

    @property
    def next_segment_bytes(self) -> int:
        """What a segment takes: a small spool has small ones, so that its bounds mean something."""
        return max(64 << 10, min(self.segment_bytes, self.bytes_max // 32))

    @property
    def first_segment_bytes(self) -> int:
        """What a process takes that has emitted one event."""
        return min(1 << 20, self.next_segment_bytes)


@dataclass(slots=True)
class Usage:
    """What a spool folder takes, and what its disk has left."""

    spool_bytes: int
    free_bytes: int


def measure(spool: Path) -> Usage:
    """Add up a spool folder: SPOOL/service/process/file. Files that go meanwhile count for nothing."""
    total = 0
    for service in _folders(spool):
        for process in _folders(service):
            try:
                with os.scandir(process) as files:
                    total += sum(_size(each) for each in files)
            except OSError:
                continue
    for folder in (spool, spool.parent):  # a spool that is just removed will be made anew, and its disk is not full
        with contextlib.suppress(OSError):
            disk = os.statvfs(folder)
            return Usage(total, disk.f_bavail * disk.f_frsize)
    return Usage(total, 0)


def _folders(parent: Path | str) -> list[str]:
    try:
        with os.scandir(parent) as found:
            return [each.path for each in found if each.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _size(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return 0


class Gate:
    """Decides whether an event may be appended. look() is for the shipper's thread; refusal() costs no system call."""

    def __init__(self, spool: Path, limits: SpoolLimits, measured: Callable[[Path], Usage] = measure) -> None:
        self._spool = spool
        self._limits = limits
        self._measured = measured
        self._ranks = {kind: _REFUSED_AT[each] for kind, each in limits.classes.items()}
        self._usage = Usage(0, 0)
        self._level = 0
        self._low_disk = False
        self.open = True  # whether refusal() has nothing against any event: the hot path looks at this alone
        self.look()

    def look(self) -> None:
        """Measure the folder and the disk again."""
        self._usage = self._measured(self._spool)
        self._decide()

    def added(self, size: int) -> None:
        """Count a file that was just made, until the next look()."""
        self._usage = Usage(self._usage.spool_bytes + size, self._usage.free_bytes - size)
        self._decide()

    def no_room_for(self, size: int) -> str | None:
        """Return why a new file of this size would pass the bounds: full (the spool's), disk_full; or None."""
        usage = self._usage
        if usage.free_bytes - size < self._limits.free_bytes_min:
            return "disk_full"
        return "full" if usage.spool_bytes + size > self._limits.bytes_max else None

    @property
    def spool_bytes(self) -> int:
        """What the folder takes, as it was last measured."""
        return self._usage.spool_bytes

    def levels(self, own_bytes: int) -> list[Level]:
        """Return how near the bounds of bytes are. `own_bytes`: what the asking process's events take, which grows
        evenly, while files come in large steps."""
        used, limits = self._usage, self._limits
        rising = (used.spool_bytes, own_bytes)
        return [
            *(Level((each,), _SHARES[each] * limits.bytes_max - used.spool_bytes, rising) for each in CLASSES),
            Level(CLASSES, used.free_bytes - limits.free_bytes_min, (-used.free_bytes,)),
        ]

    def refusal(self, event_type: str) -> str | None:
        """Return why an event of this type is refused now: full, shed (only its class is), disk_full; or None."""
        if self._low_disk:
            return "disk_full"
        level = self._level
        if level and level >= self._ranks.get(event_type, 2):
            return "full" if level == 3 else "shed"
        return None

    def _decide(self) -> None:
        share = self._usage.spool_bytes / self._limits.bytes_max
        self._level = sum(share >= each for each in _SHARES.values())
        self._low_disk = self._usage.free_bytes < self._limits.free_bytes_min
        self.open = not (self._level or self._low_disk)
