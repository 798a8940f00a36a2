"""What can go wrong with a replay or a check, by what the person who asked has to do about it.

ReplayError
├── RequestRefused     the request cannot be met as it stands: correct it
│   ├── TopicUnknown   the archive has no such topic
│   ├── RangeMissing   the archive does not have this range
│   └── TargetUnfit    the target would alter or lose records, or holds others already
├── ArchiveDamaged     the archive does not hold what its log says: restore the object that is named
├── NothingChecked     no record was read, so nothing was shown
├── ReplayDiffers      what arrived is not what was sent
└── KafkaUnusable      Kafka does not answer, or refuses
"""

from collections.abc import Iterable

NAMES_SHOWN = 10


def named(items: Iterable[object], if_none: str = "none") -> str:
    """Return names for an error message, so many that it can still be read."""
    names = sorted(str(item) for item in items)
    shown = ", ".join(names[:NAMES_SHOWN]) or if_none
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"


class ReplayError(Exception):
    """A replay or a check did not do what was asked."""


class RequestRefused(ReplayError):
    """The request cannot be met; the message says what would be possible."""


class TopicUnknown(RequestRefused):
    """The archive has no log for this topic."""


class RangeMissing(RequestRefused):
    """The archive does not have the range that was asked for."""


class TargetUnfit(RequestRefused):
    """The replay's target would alter, refuse or lose records, or is not empty."""


class ArchiveDamaged(ReplayError):
    """An object of the archive is missing or is not what the commit log says."""


class NothingChecked(ReplayError):
    """A run ended without having read anything: that is never a success."""


class ReplayDiffers(ReplayError):
    """The target, read back, does not hold what was sent."""


class KafkaUnusable(ReplayError):
    """Kafka cannot be reached, refuses, or gave up in the middle."""
