"""Counts: what one process's event log did, in plain numbers."""

from dataclasses import dataclass, field

LOST_AFTER_ACCEPTANCE = frozenset({"refused", "undelivered", "expired", "damaged", "unreadable"})


@dataclass
class Counts:
    """What one process's event log did. Plain numbers, read without stopping anything."""

    durability: str
    accepted: int = 0
    acked: int = 0
    queued: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """By reason. Not accepted: not_an_event, invalid, pii_key (no key for personal fields), oversize, full, shed (its
    class is refused already), disk_full, unwritable, closed, forked, internal. Accepted and lost: refused (by Kafka),
    undelivered (at exit, memory only), expired, damaged, unreadable."""
    restarts: int = 0
    """How often delivery failed and began again from the lowest record that was not acknowledged."""
    schemas_failed: int = 0
    adopted: int = 0
    """Events of dead processes that this one delivered; they are in none of the other numbers."""
    adopted_lost: dict[str, int] = field(default_factory=dict)
    """Events of dead processes that could not be delivered, by reason: refused, expired, damaged, unreadable."""
    last_error: str | None = None

    @property
    def emitted(self) -> int:
        """How many events were given to emit(): accepted, or dropped there."""
        return self.accepted + sum(n for reason, n in self.dropped.items() if reason not in LOST_AFTER_ACCEPTANCE)
