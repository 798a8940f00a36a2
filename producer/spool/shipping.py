"""`headrace ship` without its command line: delivers a whole spool folder, says what changes, ends when asked to."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..auditing import AuditSettings
from ..letter import Letter
from ..shipper import ProducerFactory, Shipper
from . import ownership
from .dead_letters import FOLDER as DEAD_LETTERS
from .limits import SpoolLimits
from .ship_audit import ShipAudit
from .ship_queue import ShipQueue

_IDLE_S = 0.05
_SAME_AGAIN_S = 600.0
_ANYWAY = frozenset({"lost+found"})
_READ_S = 1.0


@dataclass(frozen=True)
class ShipReadings:
    """What a ship process shows at one moment. Times are seconds, sizes bytes; `lost` is by reason.

    waiting, oldest_waiting_s: of what was read from the spool and is not acknowledged. folders: those delivered now.
    """

    delivered: int = 0
    lost: Mapping[str, int] = field(default_factory=dict)
    restarts: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
    oldest_waiting_s: float = 0.0
    folders: int = 0
    away: bool = False


class Shipping:
    """One ship process. run() is its main function; stop() may be called by a signal handler."""

    def __init__(
        self,
        spool: Path,
        *,
        config: Mapping[str, Any],
        make_producer: ProducerFactory,
        in_flight_records_max: int,
        limits: SpoolLimits,
        grace_s: float,
        say: Callable[[str], None],
        clock_ns: Callable[[], int],
        monotonic: Callable[[], float],
        audit: AuditSettings | None = None,
        host: str = "unknown",
        randomness: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """`say` takes one line for each change; `audit`: tell of the sessions that are delivered, by audit events.

        Raises OSError or ValueError for a folder that is no spool, or in which audit events could not wait.
        """
        check_is_spool(spool)
        telling: ShipAudit | None = None
        if audit is not None:
            telling = ShipAudit(
                spool, host=host, limits=limits, settings=audit, clock_ns=clock_ns, monotonic=monotonic,
                randomness=randomness,
            )  # fmt: skip
        self._say = say
        self._grace_s = grace_s
        self._monotonic = monotonic
        self._deadline: float | None = None
        self._until_empty = False
        self.refused = 0
        self.readings = ShipReadings()
        """The newest readings, made once a second: whole values, so that any thread may look at them."""
        self._next_reading = float("-inf")
        self._clock_ns = clock_ns
        self.queue = ShipQueue(
            spool, limits=limits, clock_ns=clock_ns, monotonic=monotonic, on_change=say, audit=telling
        )
        self._shipper = Shipper(
            queue=self.queue,
            config=config,
            make_producer=make_producer,
            on_refused=self._refused,
            in_flight_records_max=in_flight_records_max,
            idle_s=_IDLE_S,
            monotonic=monotonic,
        )
        self._told: dict[str, float] = {}
        self._last_error: str | None = None
        self._away = False
        self._delivered_when_away = 0

    def run(self, *, until_empty: bool = False) -> bool:
        """Deliver until stop(), or until nothing is left if so asked; return whether nothing is left."""
        self._until_empty = until_empty
        self._shipper.run(self._done)
        empty = self.queue.empty
        self.queue.close()
        return empty

    def stop(self) -> None:
        """Read no more, wait for what is on its way for at most the grace, and end. A second call ends at once."""
        now = self._monotonic()
        self._deadline = now + self._grace_s if self._deadline is None else now
        self.queue.paused = True

    @property
    def lost(self) -> dict[str, int]:
        """Events that could not be delivered, by reason."""
        return dict(self.queue.losses) | ({"refused": self.refused} if self.refused else {})

    def _done(self) -> bool:
        self._tell()
        self._read_instruments()
        if self._deadline is not None:
            return self.queue.depth()[0] == 0 or self._monotonic() >= self._deadline
        return self._until_empty and self.queue.empty

    def _read_instruments(self) -> None:
        now, queue = self._monotonic(), self.queue
        if now < self._next_reading:
            return
        self._next_reading = now + _READ_S
        waiting, size = queue.depth()
        oldest_ms = queue.oldest_ms()
        age_s = 0.0 if oldest_ms is None else max(0.0, self._clock_ns() / 1e9 - oldest_ms / 1000)
        self.readings = ShipReadings(
            queue.delivered, self.lost, self._shipper.restarts, waiting, size, age_s, queue.reading, self._away
        )

    def _tell(self) -> None:
        """Say when Kafka goes away, with what error, and when it is back."""
        error, shipper = self._shipper.last_error, self._shipper
        if error is not self._last_error and error is not None:
            self._last_error = error
            kind, now = error.split(":", maxsplit=1)[0], self._monotonic()
            if now - self._told.get(kind, float("-inf")) > _SAME_AGAIN_S:
                self._told[kind] = now
                self._say(f"Kafka: {error}")
            if not kind.startswith("topic "):
                self._away, self._delivered_when_away = True, shipper.acked
        if self._away and shipper.acked > self._delivered_when_away:
            self._away = False
            self._told = {kind: at for kind, at in self._told.items() if kind.startswith("topic ")}
            self._say("Kafka: delivering again")

    def _refused(self, letter: Letter) -> None:
        self.refused += 1
        self._say(f"{letter.event_type}: an event was refused for good and put aside: {letter.error}")


def check_is_spool(folder: Path) -> None:
    """Raise NotADirectoryError or ValueError, saying why, for a folder that cannot be a spool. An empty one can."""
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.name in _ANYWAY:
            continue
        if ownership.is_process(entry.name):
            raise ValueError(f"{folder} is one service's folder in a spool: give the folder above it, {folder.parent}")
        if not entry.is_dir():
            above = f": give {folder.parent.parent}" if entry.name == ownership.LOCK else ""
            raise ValueError(f"{folder} is not a spool, a file {entry.name} lies in it{above}")
        strange = next((each.name for each in _entries(entry) if not _belongs(each)), None)
        if strange is not None:
            raise ValueError(
                f"{folder} is not a spool: {entry.name}/{strange} is no process's folder. "
                f"Give the folder that EventLog(spool=...) has"
            )


def _entries(folder: Path) -> list[Path]:
    try:
        return [each for each in folder.iterdir() if not each.name.startswith(".")]
    except PermissionError:
        return []  # another user's service


def _belongs(entry: Path) -> bool:
    return ownership.is_process(entry.name) or entry.name == DEAD_LETTERS
