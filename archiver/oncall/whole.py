"""What is known beside partitions: schema texts that clash, and what sessions said of their events. Plain values."""

from dataclasses import dataclass

CLOSED_FOR_US = frozenset({"refused", "undelivered", "expired", "damaged", "unreadable"})
"""Reasons of loss after emit() had accepted: see docs/producer.md."""


@dataclass(frozen=True, slots=True)
class SchemaConflict:
    """Two schema texts share a fingerprint; rows are read with the first, the other is kept under its SHA-256."""

    fingerprint: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Account:
    """The newest audit event of one reporter about one session's events in one topic.

    `lost`: accepted and lost after all. `seconds_until_drop`: None while the queue does not grow.
    """

    topic: str
    service: str
    host: str
    session: str
    own: bool
    closed: bool
    in_memory: bool
    told_ms: int
    accepted: int
    acked: int
    waiting: int
    lost: int
    refused: int
    seconds_until_drop: float | None

    @property
    def unexplained(self) -> int:
        """Events that were accepted, and are neither acknowledged nor waiting nor lost. An adopter saw only a part."""
        return max(0, self.accepted - self.acked - self.waiting - self.lost) if self.own else 0


@dataclass(frozen=True)
class Whole:
    """All of it. `accounts`: of the last hour."""

    conflicts: tuple[SchemaConflict, ...] = ()
    accounts: tuple[Account, ...] = ()
