"""What takes events out of a process's queue: the contract of the shipper, and of the keeper that only looks after it.

Kept apart from the shipper, so that a process that ships nothing itself never loads the Kafka client.
"""

from typing import Protocol


class Sender(Protocol):
    """Runs on a thread of its own; the emitting side calls nudge() and stop(), and reads the numbers."""

    stopped: bool
    """Whether run() has ended."""

    idle: bool
    """Whether it sleeps until nudge()."""

    @property
    def acked(self) -> int:
        """How many records were delivered."""

    @property
    def restarts(self) -> int:
        """How often delivery failed and began again."""

    @property
    def schemas_failed(self) -> int:
        """How many schemas could not be published."""

    @property
    def delivered_to(self) -> int:
        """The lowest position that is not delivered, as far as is known."""

    @property
    def last_error(self) -> str | None:
        """What went wrong last."""

    def run(self) -> None:
        """Work until stop(); never raises."""

    def advance(self) -> bool:
        """Do one step on the calling thread; return whether there may be more to do at once."""

    def nudge(self) -> None:
        """Say that something was appended. Called by emit(): takes no lock that Python code could hold."""

    def stop(self) -> None:
        """Ask run() to end soon."""
