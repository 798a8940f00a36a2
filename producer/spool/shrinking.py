"""The appending half of a queue's contract, where nothing is ever appended: orphans, and what a ship process reads."""

from ..forecast import Level
from ..letter import Letter
from ..record import Record


class Shrinking:
    """A Queue's appending side, of one that only shrinks."""

    durability = "disk"
    refusal = "shrinking"

    def append(self, record: Record, *, force: bool = False) -> bool:  # noqa: ARG002 - the contract's
        """Refuse: whoever delivers for others emits nothing here."""
        return False

    def put_aside(self, letter: Letter) -> None:
        """Do nothing: nothing is emitted here."""

    def full(self, event_type: str = "") -> bool:  # noqa: ARG002 - the contract's
        """Tell that append() refuses."""
        return True

    def levels(self, now_ms: int) -> list[Level]:  # noqa: ARG002 - the contract's
        """Return nothing: it only shrinks."""
        return []

    def usage(self) -> None:
        """Return None: the apps' own queues tell."""
